from collections.abc import Callable
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.date_time import Timestamp
from app.core.entities import Security, Timeframe

moments = st.integers(870_000_000, 1_800_000_000).map(Timestamp.from_unix)


def moscow(*parts: int) -> Timestamp:
    return Timestamp.from_moscow(datetime(*parts))  # type: ignore[arg-type]  # year, month, day and what follows


@pytest.mark.parametrize(
    ("timeframe", "begin", "end"),
    [
        (Timeframe.M1, (2024, 2, 29, 10, 17), (2024, 2, 29, 10, 18)),
        (Timeframe.M10, (2024, 2, 29, 10, 10), (2024, 2, 29, 10, 20)),
        (Timeframe.H1, (2024, 2, 29, 10), (2024, 2, 29, 11)),
        (Timeframe.M5, (2024, 2, 29, 10, 15), (2024, 2, 29, 10, 20)),
        (Timeframe.M15, (2024, 2, 29, 10, 15), (2024, 2, 29, 10, 30)),
        (Timeframe.M30, (2024, 2, 29, 10), (2024, 2, 29, 10, 30)),
        (Timeframe.H2, (2024, 2, 29, 10), (2024, 2, 29, 12)),
        (Timeframe.H4, (2024, 2, 29, 8), (2024, 2, 29, 12)),
        (Timeframe.D1, (2024, 2, 29), (2024, 3, 1)),
        (Timeframe.W1, (2024, 2, 26), (2024, 3, 4)),
        (Timeframe.MN1, (2024, 2, 1), (2024, 3, 1)),
        (Timeframe.Q1, (2024, 1, 1), (2024, 4, 1)),
    ],
)
def test_a_bar_begins_and_ends_by_the_moscow_wall_clock(
    timeframe: Timeframe, begin: tuple[int, ...], end: tuple[int, ...]
) -> None:
    moment = moscow(2024, 2, 29, 10, 17, 42)

    assert timeframe.floor(moment) == moscow(*begin)
    assert timeframe.after(moscow(*begin)) == timeframe.ceil(moment) == moscow(*end)


def test_a_beginning_is_its_own_floor_and_ceiling() -> None:
    begin = moscow(2024, 1, 1)

    for timeframe in Timeframe:
        assert timeframe.floor(begin) == timeframe.ceil(begin) == begin


@given(moments, st.sampled_from(Timeframe))
def test_slots_tile_the_time(moment: Timestamp, timeframe: Timeframe) -> None:
    begin = timeframe.floor(moment)

    end = timeframe.after(begin)

    assert begin <= moment < end
    assert timeframe.floor(end) == end
    assert timeframe.floor(end - timedelta(microseconds=1)) == begin


_KEYS: dict[Timeframe, Callable[[date], object]] = {
    Timeframe.D1: lambda day: day,
    Timeframe.W1: lambda day: day.isocalendar()[:2],
    Timeframe.MN1: lambda day: (day.year, day.month),
    Timeframe.Q1: lambda day: (day.year, (day.month + 2) // 3),
}


@pytest.mark.parametrize("timeframe", _KEYS)
def test_t4_every_bar_of_1997_to_2029_holds_the_days_of_its_calendar_and_no_others(timeframe: Timeframe) -> None:
    days = [date(1996, 12, 2) + timedelta(days=number) for number in range(33 * 365)]
    bars = [list(group) for _, group in groupby(days, _KEYS[timeframe])][1:]

    for bar, following in pairwise(bars):
        begin, end = Timestamp.midnight(bar[0]), Timestamp.midnight(following[0])
        assert timeframe.after(begin) == end
        assert timeframe.floor(Timestamp.midnight(bar[-1])) == begin
        assert timeframe.floor(end - timedelta(seconds=1)) == begin


@pytest.mark.parametrize(
    ("day", "timeframe", "lengths"),
    [
        ((2010, 3, 28), Timeframe.H2, [2, 1, 2]),  # 02:00 became 03:00
        ((2010, 3, 28), Timeframe.H4, [3, 4]),
        ((2010, 10, 31), Timeframe.H2, [2, 3, 2]),  # 03:00 became 02:00
        ((2010, 10, 31), Timeframe.H4, [5, 4]),
        ((2011, 3, 27), Timeframe.H4, [3, 4]),
        ((2014, 10, 26), Timeframe.H2, [3, 2]),  # 02:00 became 01:00
        ((2014, 10, 26), Timeframe.H4, [5, 4, 4, 4, 4, 4]),
        ((2024, 1, 3), Timeframe.H4, [4, 4, 4, 4, 4, 4]),
    ],
)
def test_hours_are_counted_on_the_wall_clock_when_the_clocks_are_changed(
    day: tuple[int, int, int], timeframe: Timeframe, lengths: list[int]
) -> None:
    begin = moscow(*day)

    for length in lengths:
        end = timeframe.after(begin)
        assert end - begin == timedelta(hours=length)
        for minutes in range(0, length * 60, 7):
            assert timeframe.floor(begin + timedelta(minutes=minutes)) == begin
        begin = end


def test_a_security_reads_as_people_write_it() -> None:
    assert str(Security("SBER", "TQBR")) == "TQBR:SBER"
