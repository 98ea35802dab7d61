from datetime import datetime, timedelta

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


def test_a_security_reads_as_people_write_it() -> None:
    assert str(Security("SBER", "TQBR")) == "TQBR:SBER"
