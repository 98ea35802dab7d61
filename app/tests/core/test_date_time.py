from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.date_time import MOSCOW, Timestamp


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(ValueError, match="has none"):
        Timestamp(datetime(2024, 1, 3, 10))  # the naive one is the point


def test_any_zone_becomes_the_same_instant() -> None:
    in_vladivostok = Timestamp(datetime(2024, 1, 3, 17, tzinfo=timezone(timedelta(hours=10))))

    assert in_vladivostok == Timestamp(datetime(2024, 1, 3, 7, tzinfo=UTC))
    assert str(in_vladivostok) == "2024-01-03T07:00:00Z"


@pytest.mark.parametrize(
    ("wall", "utc"),
    [
        (datetime(2010, 1, 11, 10), "2010-01-11T07:00:00Z"),  # winter time, +3
        (datetime(2010, 7, 1, 10), "2010-07-01T06:00:00Z"),  # summer time, +4
        (datetime(2012, 1, 11, 10), "2012-01-11T06:00:00Z"),  # +4 all year from 2011
        (datetime(2014, 10, 25, 23), "2014-10-25T19:00:00Z"),
        (datetime(2014, 10, 26, 1, 30), "2014-10-25T21:30:00Z"),  # happened twice: the first is meant
        (datetime(2014, 10, 26, 2), "2014-10-25T23:00:00Z"),
        (datetime(2024, 1, 3, 10), "2024-01-03T07:00:00Z"),
    ],
)
def test_t1_moscow_wall_time_is_read_with_the_offset_of_its_day(wall: datetime, utc: str) -> None:
    assert str(Timestamp.from_moscow(wall)) == utc


@pytest.mark.parametrize("wall", [datetime(2010, 3, 28, 2, 30), datetime(2011, 3, 27, 2)])
def test_t1_an_hour_that_never_happened_is_an_error(wall: datetime) -> None:
    with pytest.raises(ValueError, match="never happened"):
        Timestamp.from_moscow(wall)


_MINUTES = int(timedelta(days=365.25 * 30) / timedelta(minutes=1))


@given(st.integers(0, _MINUTES))
def test_t1_every_minute_of_1997_to_2026_that_exists_once_survives_the_round_trip(minute: int) -> None:
    instant = Timestamp(datetime(1997, 1, 1, tzinfo=UTC) + timedelta(minutes=minute))
    wall = instant.moscow.replace(tzinfo=None, fold=0)
    happened_twice = wall.replace(tzinfo=MOSCOW, fold=0).utcoffset() != wall.replace(tzinfo=MOSCOW, fold=1).utcoffset()

    again = Timestamp.from_moscow(wall)

    assert again == instant or happened_twice
    assert Timestamp.from_unix(instant.unix) == instant


def test_a_moscow_day_begins_at_its_midnight() -> None:
    assert str(Timestamp.midnight(date(2024, 1, 3))) == "2024-01-02T21:00:00Z"


def test_instants_add_subtract_and_compare() -> None:
    one = Timestamp.from_unix(1_700_000_000)

    later = one + timedelta(minutes=1)

    assert later - one == timedelta(minutes=1)
    assert later - timedelta(minutes=1) == one
    assert one < later
    assert Timestamp.from_microseconds(one.microseconds) == one
