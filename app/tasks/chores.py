"""What is done beside the candles: lists of the exchange are read, each once a night or once an hour.

When one was begun and when it was done is kept in the store, so that of many processes one does it; one that failed is
tried again ten minutes later.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta

import structlog
from taskiq import AsyncBroker, TaskiqDepends, async_shared_broker

from app.answers.prepare_answers import prepare_answers
from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.errors import SourceError
from app.core.schedule import last_night
from app.core.storage import IStorage
from app.tasks.oddities import log_splits
from app.use_cases import refresh_calendar as calendars
from app.use_cases.audit_candles import audit_candles
from app.use_cases.find_due import last_close
from app.use_cases.forget_asked import forget_unasked, forget_updates
from app.use_cases.looks import remember, seen
from app.use_cases.record_renames import record_renames
from app.use_cases.record_splits import record_splits
from app.use_cases.refresh_reference import refresh_reference

_log = structlog.stdlib.get_logger(__name__)
_SERVICE: Service = TaskiqDepends()
_RETRY = timedelta(minutes=10)
_HOURLY = timedelta(hours=1)
_AT_ONCE = timedelta()
_CALENDAR, _REFERENCE, _SPLITS = "refresh_calendar", "refresh_reference", "record_splits"
_ANSWERS, _AUDIT = "prepare_answers", "audit_candles"
_SETTLED = timedelta(minutes=30)
"""So long after a close everything of the session is final and stored, if nothing is wrong."""
_UPDATES_KEPT = timedelta(days=30)
_AUDITED_FIRST = timedelta(days=7)
_AUDITED_AGAIN = timedelta(days=2)
"""Bars that were not stored yet when they would have been audited, or were corrected after."""


async def kick(service: Service, broker: AsyncBroker, now: Timestamp, *, is_anything_due: bool) -> None:
    """Wake workers up for the chores that are due.

    Splits matter only while candles are asked for; the audit and the cache want all that can be stored.
    """
    looks = await seen(service.storage)
    chores = {_CALENDAR: refresh_calendar, _REFERENCE: refresh}
    if is_anything_due:
        chores[_SPLITS] = look_for_splits
    else:
        chores[_AUDIT] = audit
        if service.cache is not None:
            chores[_ANSWERS] = prepare
    for name, task in chores.items():
        begun = looks.get(_begun(name))
        if (begun is None or now - begun >= _RETRY) and not await _is_done(service.storage, name, looks, now):
            await task.kicker().with_broker(broker).with_task_id(name).kiq()


@async_shared_broker.task(_REFERENCE)
async def refresh(service: Service = _SERVICE) -> None:
    """Read the boards of the exchange, the cards of what is followed, and which tickers were replaced; once a night.

    What nobody wants any more is forgotten before.
    """
    async with _once(service, _REFERENCE) as is_due:
        if is_due:
            await _forget(service)
            ports = (service.storage, service.adapter, service.directory, service.clock)
            found = await refresh_reference(*ports, every=_AT_ONCE)
            for security, error in found.failures.items():
                _log.warning("the card stays as it was", security=str(security), error=str(error))
            for move in found.moves:
                _log.warning("trades on another board now", **asdict(move))
            renames = await record_renames(service.storage, service.directory, service.clock, every=_AT_ONCE)
            _log_skipped(renames, "renames")


@async_shared_broker.task(_SPLITS)
async def look_for_splits(service: Service = _SERVICE) -> None:
    """Read which shares were split, once an hour; what is stored of such a share is read again by the next updates."""
    async with _once(service, _SPLITS) as is_due:
        if is_due:
            found = await record_splits(service.storage, service.directory, service.clock)
            log_splits(found.splits)
            _log_skipped(found.skipped, "splits")


@async_shared_broker.task(_CALENDAR)
async def refresh_calendar(service: Service = _SERVICE) -> None:
    """Read the days of the engines of what is followed, once a night."""
    async with _once(service, _CALENDAR) as is_due:
        if is_due:
            ports = (service.storage, service.calendar, service.clock)
            found = await calendars.refresh_calendar(*ports, every=_AT_ONCE)
            for engine, error in found.failures.items():
                _log.warning("the calendar stays as it was", engine=engine, error=str(error))
            if found.failures:
                raise SourceError("the calendar could not be read whole")


@async_shared_broker.task(_AUDIT)
async def audit(service: Service = _SERVICE) -> None:
    """Compare the exchange with itself in what came since the last audit, once a night; what differs is asked again."""
    async with _once(service, _AUDIT) as is_due:
        if is_due:
            now = await service.clock.now()
            since = (await seen(service.storage)).get(_AUDIT, now - _AUDITED_FIRST) - _AUDITED_AGAIN
            for each in await audit_candles(service.storage, service.clock, since=since):
                _log.warning(
                    "longer bars are not what their minutes add up to",
                    series=str(each.series),
                    what=each.what,
                    first=str(each.where),
                    bars=each.times,
                )


@async_shared_broker.task(_ANSWERS)
async def prepare(service: Service = _SERVICE) -> None:
    """Give the cache the newest candles of what is followed, once after each close."""
    async with _once(service, _ANSWERS) as is_due:
        if is_due:
            await prepare_answers(service)


async def _forget(service: Service) -> None:
    """Forget updates of long ago, and stop following what grew from a question and nobody asks for."""
    await forget_updates(service.storage, service.clock, after=_UPDATES_KEPT)
    if (days := service.settings.unfollow_after_days) is not None:
        for series in await forget_unasked(service.storage, service.clock, after=timedelta(days=days)):
            _log.info("not followed any more, nobody asked for it", series=str(series))


@asynccontextmanager
async def _once(service: Service, name: str) -> AsyncIterator[bool]:
    """Tell whether a chore is due; keep that it was begun, and when nothing fails, that it was done."""
    now = await service.clock.now()
    is_due = not await _is_done(service.storage, name, await seen(service.storage), now)
    if is_due:
        await remember(service.storage, _begun(name), now)
    yield is_due
    if is_due:
        await remember(service.storage, name, now)


async def _is_done(storage: IStorage, name: str, looks: Mapping[str, Timestamp], now: Timestamp) -> bool:
    done = looks.get(name)
    if name == _SPLITS:
        return done is not None and now - done < _HOURLY
    due_at = last_night(now)
    if name == _ANSWERS:
        due_at = await last_close(storage, now - _SETTLED) + _SETTLED
        if due_at == now:  # still open
            return True
    return done is not None and done >= due_at


def _begun(name: str) -> str:
    return f"{name} begun"


def _log_skipped(rows: Sequence[str], of: str) -> None:
    if rows:
        _log.info("rows of a list make no sense", list=of, count=len(rows), first=rows[0])
