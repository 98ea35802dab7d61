from collections.abc import Iterable

import pytest

from app.core.date_time import Timestamp
from app.core.entities import Security, Series, Timeframe
from app.core.pages import CandlePage, Row
from app.core.rescaling import common_factor, is_rescaled, rescaling
from app.tests.builders import T0

D1 = Series(Security("SBER", "TQBR"), Timeframe.D1)
DAY = 24 * 60 * 60
OLD: Row = (0, 688.5, 700.1, 650.3, 690.2, 10.0, 6_900.0, 1)


def scaled(row: Row, factor: float) -> Row:
    begin, opened, high, low, closed, *rest = row
    return begin, opened * factor, high * factor, low * factor, closed * factor, *rest  # type: ignore[return-value]  # a row


def bars(count: int, *, step: int = DAY, factor: float = 1.0, first: int = 0) -> list[Row]:
    rows = ((T0.unix + n * step, *OLD[1:]) for n in range(first, first + count))
    return [scaled(row, factor) for row in rows]


def a_page(rows: Iterable[Row]) -> CandlePage:
    return CandlePage.from_rows(D1, rows)


@pytest.mark.parametrize("factor", [0.1, 100, 1 / 3])
def test_prices_times_a_known_factor_are_rescaled(factor: float) -> None:
    assert is_rescaled(OLD, scaled(OLD, factor), [7.0, factor])


@pytest.mark.parametrize("column", range(1, 7))
def test_anything_else_that_changed_is_a_correction(column: int) -> None:
    new = list(scaled(OLD, 0.1))
    new[column] *= 1 + 1e-7

    assert not is_rescaled(OLD, tuple(new), [0.1])  # type: ignore[arg-type]  # a row


def test_without_factors_nothing_is_rescaled() -> None:
    assert not is_rescaled(OLD, OLD, [])


def test_twenty_bars_of_two_days_with_one_factor_are_evidence_of_a_split() -> None:
    assert common_factor(a_page(bars(20)), a_page(bars(20, factor=0.1))) == pytest.approx(0.1, rel=1e-12)
    assert common_factor(a_page(bars(25)), a_page(bars(25, factor=100, first=5))) == pytest.approx(100)


def test_fewer_bars_or_one_day_are_none() -> None:
    assert common_factor(a_page(bars(19)), a_page(bars(19, factor=0.1))) is None
    assert common_factor(a_page(bars(20)), a_page(bars(20, factor=0.1, first=1))) is None
    assert common_factor(a_page(bars(30, step=60)), a_page(bars(30, step=60, factor=0.1))) is None
    assert common_factor(a_page([]), a_page([])) is None


def test_two_factors_or_equal_prices_are_no_evidence() -> None:
    two = [*bars(20, factor=0.1), *bars(3, factor=0.2, first=20)]

    assert common_factor(a_page(bars(23)), a_page(two)) is None
    assert common_factor(a_page(bars(20)), a_page(bars(20))) is None


def test_a_correction_that_comes_with_a_split_does_not_hide_it() -> None:
    new = [*bars(20, factor=0.1), *bars(1, factor=0.2, first=20)]

    found = rescaling(a_page(bars(21)), a_page(new))

    assert found is not None
    factor, last = found
    assert factor == pytest.approx(0.1)
    assert last == Timestamp.from_unix(T0.unix + 19 * DAY)  # the last bar that fits


def test_one_bar_is_evidence_of_a_split_that_is_known() -> None:
    old, new = a_page(bars(3)), a_page(bars(1, factor=0.1, first=1))

    assert rescaling(old, new) is None
    assert rescaling(old, new, [0.5, 0.1]) == (0.1, Timestamp.from_unix(T0.unix + DAY))
