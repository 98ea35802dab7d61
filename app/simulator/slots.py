"""Slots of bars on the naive Moscow wall clock, as ISS writes it; fast, because every page walks over them."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from app.core.entities import SOURCED, Timeframe

MINUTES = {Timeframe.M1: 1, Timeframe.M10: 10, Timeframe.H1: 60}
"""The length of an intraday bar."""

BY_INTERVAL = {timeframe.interval: timeframe for timeframe in SOURCED}
_LONGER_THAN = {Timeframe.W1: 7, Timeframe.MN1: 31, Timeframe.Q1: 92}
_DAY = timedelta(days=1)


def first_day(timeframe: Timeframe, day: date) -> date:
    """Return the first day of the slot that holds the day; the day itself for D1 and shorter."""
    match timeframe:
        case Timeframe.W1:
            return day - timedelta(days=day.weekday())
        case Timeframe.MN1:
            return day.replace(day=1)
        case Timeframe.Q1:
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case _:
            return day


def next_day(timeframe: Timeframe, first: date) -> date:
    """Return the first day of the next slot."""
    return first_day(timeframe, first + timedelta(days=_LONGER_THAN.get(timeframe, 1)))


def floor(timeframe: Timeframe, wall: datetime) -> datetime:
    """Return the beginning of the slot that holds the moment."""
    if step := MINUTES.get(timeframe):
        return wall.replace(
            minute=wall.minute // step * step if step < MINUTES[Timeframe.H1] else 0, second=0, microsecond=0
        )
    return datetime.combine(first_day(timeframe, wall.date()), time())


def after(timeframe: Timeframe, begin: datetime) -> datetime:
    """Return the end of the slot that holds the moment."""
    if step := MINUTES.get(timeframe):
        return floor(timeframe, begin) + timedelta(minutes=step)
    return datetime.combine(next_day(timeframe, first_day(timeframe, begin.date())), time())


def days(timeframe: Timeframe, first: date, last: date, *, reverse: bool) -> Iterator[date]:
    """Walk over the first days of the slots that touch `[first, last]`."""
    low, high = first_day(timeframe, first), first_day(timeframe, last)
    day = high if reverse else low
    while low <= day <= high:
        yield day
        day = first_day(timeframe, day - _DAY) if reverse else next_day(timeframe, day)
