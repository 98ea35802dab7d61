"""How much of a period is trading time."""

from datetime import date, datetime, timedelta

import pytest

from app.core.calendar import CalendarDay, TradingCalendar
from app.core.date_time import Timestamp
from app.core.spans import Period
from app.core.updates import open_minutes

STOCK = TradingCalendar("stock")


def period(time_from: str, time_till: str) -> Period:
    return Period(*(Timestamp.from_moscow(datetime.fromisoformat(text)) for text in (time_from, time_till)))


def one_by_one(calendar: TradingCalendar, asked: Period) -> int:
    """Count minutes that lie within a session, by trying all."""
    moments = (asked.time_from + timedelta(minutes=n) for n in range(10_000))
    sessions = [each.period for n in range(-1, 9) for each in calendar.on(day_of(asked, n)).sessions]
    return sum(any(moment in session for session in sessions) for moment in moments if moment in asked)


def day_of(asked: Period, n: int) -> date:
    return asked.time_from.moscow.date() + timedelta(days=n)


@pytest.mark.parametrize(
    "asked",
    [
        period("2024-01-10T12:00", "2024-01-10T12:07"),
        period("2024-01-10T09:00", "2024-01-10T11:00"),
        period("2024-01-10T18:30", "2024-01-11T10:30"),
        period("2024-01-12T18:00", "2024-01-16T11:00"),
        period("2024-01-13T00:00", "2024-01-14T23:00"),
        period("2024-01-10T00:00", "2024-01-11T00:00"),
    ],
    ids=str,
)
def test_open_minutes_are_those_within_sessions(asked: Period) -> None:
    assert open_minutes(STOCK, [asked]) == one_by_one(STOCK, asked)


def test_what_is_asked_for_twice_counts_once_and_nothing_is_nothing() -> None:
    hour, half = period("2024-01-10T12:00", "2024-01-10T13:00"), period("2024-01-10T12:30", "2024-01-10T13:00")

    assert open_minutes(STOCK, [hour, half]) == 60
    assert open_minutes(STOCK, []) == open_minutes(STOCK, [Period(hour.time_till, hour.time_from)]) == 0


def test_what_the_exchange_told_counts() -> None:
    holiday = TradingCalendar.of("stock", [CalendarDay("stock", date(2024, 1, 11), is_traded=False)])
    asked = period("2024-01-10T00:00", "2024-01-13T00:00")

    assert open_minutes(STOCK, [asked]) - open_minutes(holiday, [asked]) == STOCK.minutes(date(2024, 1, 11))
