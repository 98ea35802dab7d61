"""Prices of the past that a split multiplied: known from corrections, and told apart from them."""

from collections.abc import Mapping, Sequence
from math import isclose
from statistics import median_low

from app.core.date_time import Timestamp
from app.core.pages import CandlePage, Row

_TOLERANCE = 1e-9
_FEWEST_BARS = 20
_FEWEST_DAYS = 2
_LEAST_SHARE = 0.9
"""So many of the candles that changed must fit: a correction may have come with the split."""


def is_rescaled(old: Row, new: Row, factors: Sequence[float]) -> bool:
    """Tell whether a candle's prices are the old ones times one of the factors, and all else is as it was."""
    is_same = all(map(_is_close, old[5:7], new[5:7]))
    return is_same and any(_fits(old, new, factor) for factor in factors)


def rescaling(old: CandlePage, new: CandlePage, factors: Sequence[float] = ()) -> tuple[float, Timestamp] | None:
    """Return by what factor a split multiplied the prices of candles that are in both pages, and the last such candle.

    One candle is enough where its factor is one of those known of the security; else see `common_factor`.
    """
    before = {row[0]: row for row in old.rows}
    for factor in (*factors, common_factor(old, new)):
        if factor is not None and (fitting := _fitting(before, new, factor)):
            return factor, Timestamp.from_unix(fitting[-1])
    return None


def common_factor(old: CandlePage, new: CandlePage) -> float | None:
    """Return the one factor between the prices of candles that are in both pages: the evidence of a split.

    None if it is 1, or if fewer than 20 candles, candles of fewer than two Moscow days, or fewer than nine in ten have
    it.
    """
    before = {row[0]: row for row in old.rows}
    ratios = [row[1] / before[row[0]][1] for row in new.rows if row[0] in before and before[row[0]][1]]
    if len(ratios) < _FEWEST_BARS:
        return None
    factor = median_low(ratios)
    fitting = _fitting(before, new, factor)
    days = {Timestamp.from_unix(begin).moscow.date() for begin in fitting}
    is_common = len(fitting) >= max(_FEWEST_BARS, _LEAST_SHARE * len(ratios)) and len(days) >= _FEWEST_DAYS
    return factor if is_common and not _is_close(factor, 1) else None


def _fitting(before: Mapping[int, Row], new: CandlePage, factor: float) -> list[int]:
    """Return where the candles begin whose prices were multiplied by the factor."""
    return [row[0] for row in new.rows if row[0] in before and _fits(before[row[0]], row, factor)]


def _fits(old: Row, new: Row, factor: float) -> bool:
    return all(_is_close(old[n] * factor, new[n]) for n in range(1, 5))


def _is_close(left: float, right: float) -> bool:
    return isclose(left, right, rel_tol=_TOLERANCE)
