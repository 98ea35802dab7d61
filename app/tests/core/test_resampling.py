"""Rolling up against brute force over entities."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.date_time import Timestamp
from app.core.entities import SOURCED, Candle, Series, Timeframe
from app.core.pages import CandlePage
from app.core.resampling import Rollup, roll_up
from app.core.spans import Period, merge
from app.tests.builders import SBER, SBER_M1, T0, a_page, minute

LONGER = [timeframe for timeframe in Timeframe if timeframe is not Timeframe.M1]
DAYS = [
    datetime(2024, 1, 3, 6),
    datetime(2010, 3, 28),  # 02:00 became 03:00
    datetime(2010, 10, 31),  # 03:00 became 02:00
    datetime(2011, 3, 27),
    datetime(2014, 10, 25, 22),  # 02:00 became 01:00 on the 26th
]

prices = st.integers(1, 1000).map(lambda ticks: ticks / 100)


@st.composite
def minutes(draw: st.DrawFn) -> CandlePage:
    """Minutes of some hours, dense or sparse, around the days on which the clocks were changed."""
    origin = Timestamp.from_moscow(draw(st.sampled_from(DAYS)))
    numbers = draw(st.sets(st.integers(0, 400), max_size=120))
    return CandlePage.from_rows(SBER_M1, (draw(row((origin + timedelta(minutes=n)).unix)) for n in sorted(numbers)))


@st.composite
def row(draw: st.DrawFn, begin: int) -> tuple[int, float, float, float, float, float, float, int]:
    low, opened, close, high = sorted(draw(st.tuples(prices, prices, prices, prices)))
    volume, value = draw(st.integers(0, 10**9)), draw(st.floats(0, 1e9))
    return begin, opened, high, low, close, float(volume), value, draw(st.integers(0, 1))


def brute_force(base: CandlePage, timeframe: Timeframe, covered: Sequence[Period]) -> list[Candle]:
    bars = []
    for begin, group in groupby(base, key=lambda candle: timeframe.floor(candle.timestamp)):
        candles = list(group)
        bars.append(
            Candle(
                SBER,
                timeframe,
                begin,
                candles[0].open,
                max(candle.high for candle in candles),
                min(candle.low for candle in candles),
                candles[-1].close,
                fsum(candle.volume for candle in candles),
                fsum(candle.value for candle in candles),
                any(span.time_from <= begin and timeframe.after(begin) <= span.time_till for span in covered),
            )
        )
    return bars


def in_pages(base: CandlePage, cuts: Sequence[int]) -> list[CandlePage]:
    edges = [0, *sorted(cut for cut in cuts if cut < len(base)), len(base)]
    return [base[i:j] for i, j in pairwise(edges)]


@st.composite
def spans(draw: st.DrawFn, base: CandlePage) -> list[Period]:
    if not base:
        return []
    origin = base[0].timestamp
    lengths = draw(st.lists(st.tuples(st.integers(-60, 400), st.integers(1, 400)), max_size=4))
    return merge(Period(origin + timedelta(minutes=n), origin + timedelta(minutes=n + m)) for n, m in lengths)


@given(st.data(), minutes(), st.sampled_from(LONGER))
def test_rolling_up_equals_brute_force(data: st.DataObject, base: CandlePage, timeframe: Timeframe) -> None:
    covered = data.draw(spans(base))

    assert list(roll_up(base, timeframe, covered)) == brute_force(base, timeframe, covered)


@given(minutes(), st.sampled_from(LONGER), st.lists(st.integers(0, 120), max_size=20), st.sampled_from(["asc", "desc"]))
def test_how_the_base_is_cut_into_pages_changes_nothing(
    base: CandlePage, timeframe: Timeframe, cuts: list[int], order: str
) -> None:
    newest_first = order == "desc"
    rollup = Rollup(Series(SBER, timeframe), newest_first=newest_first)
    pages = in_pages(base, cuts)

    given_ = [*(rollup.feed(page) for page in (pages[::-1] if newest_first else pages)), rollup.end()]

    ordered = given_[::-1] if newest_first else given_
    assert CandlePage.join(Series(SBER, timeframe), ordered) == roll_up(base, timeframe)


@given(minutes(), st.sampled_from(LONGER))
def test_volumes_are_preserved(base: CandlePage, timeframe: Timeframe) -> None:
    rolled = roll_up(base, timeframe)

    assert sum(map(int, rolled.volumes)) == sum(map(int, base.volumes))
    assert fsum(rolled.values) == pytest.approx(fsum(base.values), rel=1e-12)


@given(minutes())
def test_by_way_of_ten_minutes_an_hour_is_the_same(base: CandlePage) -> None:
    direct = roll_up(base, Timeframe.H1)

    by_way = roll_up(roll_up(base, Timeframe.M10), Timeframe.H1)

    assert (by_way.begins, by_way.prices[:5]) == (direct.begins, direct.prices[:5])
    assert list(by_way.values) == pytest.approx(list(direct.values), rel=1e-12)


def test_a_bar_is_final_only_over_a_covered_base() -> None:
    base = a_page(range(15))

    def finals(*covered: Period) -> list[bool]:
        return [candle.is_final for candle in roll_up(base, Timeframe.M5, covered)]

    assert finals() == [False, False, False]
    assert finals(Period(T0, minute(10))) == [True, True, False]
    assert finals(Period(minute(1), minute(14))) == [False, True, False]
    assert finals(Period(T0, minute(5)), Period(minute(6), minute(15))) == [True, False, True]


def test_a_minute_without_a_trade_leaves_no_mark_and_an_empty_bar_none() -> None:
    rolled = roll_up(a_page([3, 11]), Timeframe.M5)

    assert [candle.timestamp for candle in rolled] == [T0, minute(10)]
    assert list(rolled.volumes) == [10.0, 10.0]


def test_sourced_timeframes_are_their_own_base() -> None:
    assert {timeframe: timeframe.base for timeframe in SOURCED} == {timeframe: timeframe for timeframe in SOURCED}
    derived = set(Timeframe) - set(SOURCED)
    assert derived == {Timeframe.M5, Timeframe.M15, Timeframe.M30, Timeframe.H2, Timeframe.H4}
    assert {timeframe.base for timeframe in derived} == {Timeframe.M1}
