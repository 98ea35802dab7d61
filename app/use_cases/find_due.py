"""Find out which followed series are due."""

from collections.abc import Sequence

from app.core.batches import Rules
from app.core.date_time import Timestamp
from app.core.entities import Series
from app.core.errors import SeriesNotFoundError
from app.core.reconciliation import retry_at
from app.core.schedule import Due, Schedule
from app.core.storage import IStorage, IUnitOfWork, read_calendar, read_cards


async def find_due(storage: IStorage, rules: Rules, now: Timestamp) -> Sequence[Due]:
    """Return the followed series that are due at a moment, in a handful of questions, be it of one or of thousands."""
    async with storage.read() as uow:
        states = [state async for state in uow.series.filter_followed()]
        cards = await read_cards(uow, {state.series.security for state in states})
        engines = {card.engine for card in cards.values()}
        days = [state.checked_at for state in states if state.checked_at is not None]
        first = min(days, default=now).moscow.date()
        calendars = {engine: await read_calendar(uow, engine, first, now.moscow.date()) for engine in engines}
        schedule = Schedule(rules, now, await _holes(uow))
    found = []
    for state in states:
        card = cards[state.series.security]
        if (due := schedule.due(state, card, calendars[card.engine])) is not None:
            found.append(due)
    return found


async def _holes(uow: IUnitOfWork) -> dict[Series, list[Timestamp]]:
    holes: dict[Series, list[Timestamp]] = {}
    async for row in uow.quarantine:
        holes.setdefault(row.series, []).append(retry_at(row))
    return holes


async def last_close(storage: IStorage, now: Timestamp) -> Timestamp:
    """Return when the stock market was last open; that is the moment itself while it may be."""
    day = now.moscow.date()
    async with storage.read() as uow:
        return (await read_calendar(uow, "stock", day, day)).closed_since(now)


async def is_done(storage: IStorage, series: Series, due_at: Timestamp) -> bool:
    """Tell whether a series was updated, or failed, for a moment for which it was due, or a later one."""
    async with storage.read() as uow:
        try:
            state = await uow.series.get(series)
        except SeriesNotFoundError:
            return True
    return any(moment is not None and moment >= due_at for moment in (state.checked_at, state.failed_at))
