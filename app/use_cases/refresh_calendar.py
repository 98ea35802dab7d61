"""Read again what the exchange says of its days."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from app.core.calendar import CalendarDay, ICalendarSource
from app.core.date_time import Timestamp
from app.core.errors import SourceError
from app.core.market_data import IClock
from app.core.storage import IStorage, IUnitOfWork

SINCE = date(2018, 1, 1)
"""The first day that is read, once: the exchange tells of no earlier ones."""

_AGAIN = timedelta(days=14)
_AHEAD = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class RefreshedCalendar:
    """How many days of an engine changed, for each that was read; `failures` names those that could not be read."""

    changed: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, SourceError] = field(default_factory=dict)


async def refresh_calendar(
    storage: IStorage, source: ICalendarSource, clock: IClock, *, every: timedelta
) -> RefreshedCalendar:
    """Read the days of the engines of what is followed, each unless that was done less than `every` ago.

    When an engine was read last is told by its days. One that cannot be read keeps its days and stops nobody else.
    """
    now = await clock.now()
    async with storage.read() as uow:
        engines = await _followed_engines(uow)
        seen = {engine: await _seen_at(uow, engine, now) for engine in engines}
    changed, failures = {}, {}
    for engine, seen_at in seen.items():
        if seen_at is not None and now - seen_at < every:
            continue
        try:
            changed[engine] = await refresh_engine(storage, source, clock, engine)
        except SourceError as error:
            failures[engine] = error
    return RefreshedCalendar(changed, failures)


async def refresh_engine(storage: IStorage, source: ICalendarSource, clock: IClock, engine: str) -> int:
    """Read the days of one engine, from two weeks ago to a year ahead, the first time from 2018 on.

    Return how many were new or had changed.
    """
    now = await clock.now()
    today = now.moscow.date()
    async with storage.read() as uow:
        is_known = await uow.calendar.filter_by_engine(engine)[:1].count() > 0
    first, last = today - _AGAIN if is_known else SINCE, today + _AHEAD
    told = await source.days(engine, first, last)
    async with storage.begin() as uow:
        stored = {day.day: day async for day in uow.calendar.filter_by_engine(engine).filter_by_days(first, last)}
        days = [replace(_kept_hours(day, stored.get(day.day)), seen_at=now) for day in told]
        await uow.calendar.add(days)
    return sum(not _is_same(day, stored.get(day.day)) for day in days)


async def _followed_engines(uow: IUnitOfWork) -> list[str]:
    followed = {state.series.security async for state in uow.series.filter_followed()}
    return sorted({card.engine async for card in uow.securities if card.security in followed})


async def _seen_at(uow: IUnitOfWork, engine: str, now: Timestamp) -> Timestamp | None:
    """Return when an engine was read last: each time its next days are told."""
    today = now.moscow.date()
    days = uow.calendar.filter_by_engine(engine).filter_by_days(today - _AGAIN, today + _AHEAD)
    return max([day.seen_at async for day in days if day.seen_at is not None], default=None)


def _kept_hours(day: CalendarDay, stored: CalendarDay | None) -> CalendarDay:
    """Keep the hours that were told while the day was near: of the past the exchange tells none."""
    if stored is None or not day.is_traded or day.opens or day.closes:
        return day
    return replace(day, opens=stored.opens, closes=stored.closes)


def _is_same(day: CalendarDay, stored: CalendarDay | None) -> bool:
    return stored is not None and replace(day, seen_at=stored.seen_at) == stored
