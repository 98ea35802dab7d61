"""Begin to follow a security."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app.core.corporate_actions import NO_LINEAGE, Lineage
from app.core.date_time import Timestamp
from app.core.entities import Security, SecurityCard, Series, SeriesState, Timeframe
from app.core.errors import InputError, SeriesNotFoundError
from app.core.market_data import IMarketDataAdapter
from app.core.storage import IStorage, IUnitOfWork
from app.core.updates import Update
from app.use_cases.ask_for_candles import record_wish
from app.use_cases.record_renames import lineage
from app.use_cases.record_splits import record_listed
from app.use_cases.update_candles import wish_of

Since = Timestamp | Literal["all"]
"""A moment, or "all": from the first candle the exchange has."""


@dataclass(frozen=True, slots=True)
class FollowedSecurity:
    """A security and what is followed of it, shortest timeframe first. `is_new`: it was not followed before.

    `update`: by which its candles are asked for, if they are.
    """

    card: SecurityCard
    series: Sequence[SeriesState]
    is_new: bool = False
    lineage: Lineage = NO_LINEAGE
    update: Update | None = None


async def create_security(
    storage: IStorage,
    adapter: IMarketDataAdapter,
    security: Security | str,
    *,
    since: Mapping[Timeframe, Since],
    asked_at: Timestamp | None = None,
) -> FollowedSecurity:
    """Follow a security in these timeframes, each since its moment or its first candle, whichever is later.

    A bare ticker means its primary board. Followed twice is no error: a series that is followed already begins at the
    earlier of both moments. A moment inside a bar means that bar. To follow a derived timeframe is to follow its base.
    Of those that begin with "all", timeframes without any candle are left out. With `asked_at` the candles of these
    timeframes are asked for up to that moment, in the same transaction. Raises SecurityNotFoundError when the
    exchange does not know it, InputError when there is nothing to follow.
    """
    if not since:
        raise InputError("timeframe", "name at least one timeframe to follow")
    card = await (adapter.primary_card(security) if isinstance(security, str) else adapter.card(security))
    borders = await adapter.borders(card)
    first = {timeframe: timeframe.floor(period.time_from) for timeframe, period in borders.items()}
    moments = _moments(card.security, since, first)
    async with storage.begin() as uow:
        await uow.claim_source(adapter.source)
        is_new = not await uow.series.filter_by_security(card.security).filter_followed().count()
        await uow.securities.add([card])
        for timeframe, moment in moments.items():
            series = Series(card.security, timeframe)
            await uow.series.add([await _followed(uow, series, moment, first.get(timeframe))])
        await record_listed(uow, card)
        update = None if asked_at is None else await _asked_for(uow, card, moments, asked_at)
        states = [state async for state in uow.series.filter_by_security(card.security).filter_followed()]
        names = await lineage(uow, card)
    return FollowedSecurity(card, shortest_first(states), is_new, names, update)


def shortest_first(states: Iterable[SeriesState]) -> list[SeriesState]:
    """Sort the series of one security by the length of their bars."""
    order = {timeframe: position for position, timeframe in enumerate(Timeframe)}
    return sorted(states, key=lambda state: order[state.series.timeframe])


def _moments(
    security: Security, since: Mapping[Timeframe, Since], first: Mapping[Timeframe, Timestamp]
) -> dict[Timeframe, Timestamp]:
    """Return where each series begins: never before its first candle, so that no request is spent there."""
    moments: dict[Timeframe, Timestamp] = {}
    for timeframe, moment in since.items():
        base, begin = timeframe.base, first.get(timeframe.base)
        if isinstance(moment, Timestamp):
            wanted = max(timeframe.floor(moment), begin or timeframe.floor(moment))
        elif begin is not None:
            wanted = begin
        else:
            continue
        moments[base] = min(wanted, moments.get(base, wanted))
    if not moments:
        names = ", ".join(since)
        raise InputError("since", f"{security} has no candles of {names} yet: give a date in place of all")
    return moments


async def _followed(uow: IUnitOfWork, series: Series, moment: Timestamp, first: Timestamp | None) -> SeriesState:
    state = replace(await state_or_none(uow, series) or SeriesState(series), is_grown=False)
    return follow_from(replace(state, first_candle=first or state.first_candle), moment)


async def state_or_none(uow: IUnitOfWork, series: Series) -> SeriesState | None:
    """Lock a series and return its state; None when it has no row."""
    try:
        return await uow.series.lock(series)
    except SeriesNotFoundError:
        return None


def follow_from(state: SeriesState, moment: Timestamp) -> SeriesState:
    """Follow a series from a moment on, or from where it was followed before, if that is earlier.

    Never before its first candle. What is new of it is missing for certain.
    """
    begin = min(moment, state.followed_from or moment)
    begin = max(begin, state.first_candle or begin)
    is_new = state.followed_from is None or begin < state.followed_from
    return replace(state, followed_from=begin, checked_at=None if is_new else state.checked_at)


async def _asked_for(uow: IUnitOfWork, card: SecurityCard, timeframes: Iterable[Timeframe], now: Timestamp) -> Update:
    states = [await uow.series.get(Series(card.security, timeframe)) for timeframe in timeframes]
    return await record_wish(uow, [wish_of(state, card, None, now, again=False) for state in states], now)
