"""Say how current what is followed is."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta

from app.core.batches import Rules
from app.core.date_time import Timestamp
from app.core.entities import Security, Series, SeriesState
from app.core.freshness import LOOKS_BACK, Judge, OpenTime, Outlook, worst_first
from app.core.market_data import SourceStatus
from app.core.storage import IStorage, IUnitOfWork, read_calendar, read_cards
from app.use_cases.list_securities import NAMED

_AT_ONCE = 250
"""So many series are judged before others have their turn."""


async def get_freshness(
    storage: IStorage,
    now: Timestamp | None,
    *,
    rules: Rules,
    tick: timedelta,
    source: SourceStatus,
    securities: Collection[Security] = (),
) -> Outlook:
    """Judge every followed series, or those of these securities, in a handful of questions, be it one or thousands.

    `now`: as of which moment; None for the last one that the store knows of. `tick`: how often is looked what is due;
    `source`: how we stand with the exchange. The worst come first.
    """
    async with storage.read() as uow:
        states, ends = await _stored(uow, securities)
        judge = Judge(rules, now or _last_known(states), tick, source)
        cards = await read_cards(uow, {state.series.security for state in states})
        engines = {card.engine for card in cards.values()}
        first = _first_day(judge, states, ends)
        opens = {engine: await _open_time(uow, engine, first, judge.now) for engine in engines}
    found = []
    for number, state in enumerate(states):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        card = cards[state.series.security]
        found.append(judge.judge(state, card, opens[card.engine], ends.get(state.series)))
    return Outlook(judge.now, source, worst_first(found))


async def _stored(
    uow: IUnitOfWork, securities: Collection[Security]
) -> tuple[list[SeriesState], Mapping[Series, Timestamp]]:
    """Return the states of what is followed, and where the last span of each series ends."""
    series = uow.series.filter_followed()
    if 0 < len(securities) <= NAMED:
        return [state async for state in series.filter_by_securities(securities)], await uow.spans.ends(securities)
    states = [state async for state in series if not securities or state.series.security in securities]
    return states, await uow.spans.ends()


def _last_known(states: Iterable[SeriesState]) -> Timestamp:
    """Return when anything of these happened last."""
    known = [moment for state in states for moment in (state.as_of, state.checked_at, state.failed_at) if moment]
    return max(known, default=Timestamp.from_unix(0))


def _first_day(judge: Judge, states: Collection[SeriesState], ends: Mapping[Series, Timestamp]) -> date:
    """Return since when the calendar matters."""
    current = [judge.current_till(state, ends.get(state.series)) or state.followed_from for state in states]
    known = [moment for moment in current if moment is not None]
    return max(min(known, default=judge.now), judge.now - LOOKS_BACK).moscow.date()


async def _open_time(uow: IUnitOfWork, engine: str, first: date, now: Timestamp) -> OpenTime:
    last = now.moscow.date()
    return OpenTime.of(await read_calendar(uow, engine, first, last), min(first, last), last)
