"""Prices of the past that a split multiplied: known from corrections, and told apart from them."""

from collections.abc import Sequence
from math import isclose

from app.core.date_time import Timestamp
from app.core.pages import CandlePage, Row

_TOLERANCE = 1e-9
_FEWEST_BARS = 20
_FEWEST_DAYS = 2


def is_rescaled(old: Row, new: Row, factors: Sequence[float]) -> bool:
    """Tell whether a candle's prices are the old ones times one of the factors, and all else is as it was."""
    is_same = all(map(_is_close, old[5:7], new[5:7]))
    return is_same and any(all(_is_close(old[n] * factor, new[n]) for n in range(1, 5)) for factor in factors)


def common_factor(old: CandlePage, new: CandlePage) -> float | None:
    """Return the one factor between all prices of the candles that are in both pages: the evidence of a split.

    None if there is no such factor, if it is 1, or if these are fewer than 20 candles or of fewer than two Moscow days.
    """
    before = {row[0]: row[1:5] for row in old.rows}
    pairs = [(before[row[0]], row[1:5]) for row in new.rows if row[0] in before]
    days = {Timestamp.from_unix(begin).moscow.date() for begin in new.begins if begin in before}
    if len(pairs) < _FEWEST_BARS or len(days) < _FEWEST_DAYS or not pairs[0][0][0]:
        return None
    factor = pairs[0][1][0] / pairs[0][0][0]
    prices = [price for left, right in pairs for price in zip(left, right, strict=True)]
    is_common = all(_is_close(left * factor, right) for left, right in prices)
    return factor if is_common and not _is_close(factor, 1) else None


def _is_close(left: float, right: float) -> bool:
    return isclose(left, right, rel_tol=_TOLERANCE)
