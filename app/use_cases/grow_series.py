"""Follow what somebody wants to read: growth by query."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from app.core.date_time import Timestamp
from app.core.entities import Series, SeriesState
from app.core.errors import FollowLimitError, SeriesNotFoundError
from app.core.spans import Period
from app.core.storage import IStorage, IUnitOfWork
from app.core.updates import UpdatePart
from app.use_cases.ask_for_candles import record_wish
from app.use_cases.create_security import follow_from, state_or_none
from app.use_cases.look_up_series import FoundSeries
from app.use_cases.record_splits import record_listed
from app.use_cases.update_candles import wish_of

TRIED_LATELY = timedelta(minutes=10)
"""What was loaded so short a time ago and is missing still will not be there now: nobody is sent for it again."""


LookUp = Callable[[Series, Timestamp], Awaitable[FoundSeries]]
"""How the exchange is asked; raises as `look_up_series` does."""


async def grow_series(
    storage: IStorage, look_up: LookUp, series: Series, period: Period, *, now: Timestamp, source: str, limit: int
) -> UpdatePart | None:
    """See that a stored timeframe of a security is followed since a period that somebody reads, and is loaded.

    Return what is under way; None where the period was just loaded, or begins before what is followed while `limit`
    series have grown already. The exchange is asked only for what the store does not know yet: a new series, or where
    its candles begin. All is recorded in one transaction. Raises FollowLimitError where a new series would be one too
    many, SeriesNotFoundError where the exchange has no candles, and what `look_up_series` does.
    """
    async with storage.read() as uow:
        state = await _state(uow, series)
        known = await _under_way(uow, state, period, now) or await _settled(uow, state, period, limit)
    if known is not None:
        return _unfinished(known)
    needs_look = state.first_candle is None and _is_new(state, period)
    found = await look_up(series, now) if needs_look else None
    async with storage.begin() as uow:
        await uow.claim_source(source)  # one at a time, so that the limit holds
        state = await _described(uow, series, found)
        part = await _under_way(uow, state, period, now) or await _grow(uow, state, period, now=now, limit=limit)
    if isinstance(part, UpdatePart) or state.followed_from is not None:
        return _unfinished(part)
    raise _nothing(state, period)


async def find_under_way(storage: IStorage, series: Series, period: Period, *, now: Timestamp) -> UpdatePart | None:
    """Return what is under way of a period of a stored timeframe, if it is."""
    async with storage.read() as uow:
        return _unfinished(await _under_way(uow, await _state(uow, series), period, now))


class _Nothing:
    """Nothing is to be done, and nothing is under way."""


_NOTHING = _Nothing()


async def _grow(
    uow: IUnitOfWork, state: SeriesState, period: Period, *, now: Timestamp, limit: int
) -> UpdatePart | _Nothing:
    card = await uow.securities.get(state.series.security)
    wish = wish_of(state, card, period.time_from, period.time_till, again=False)
    if not wish.period or await _settled(uow, state, wish.period, limit) is not None:
        return _NOTHING
    is_grown = state.is_grown or state.followed_from is None
    state = follow_from(state, wish.period.time_from)
    await uow.series.add([replace(state, is_grown=is_grown, asked_at=now)])
    await record_listed(uow, card)
    update = await record_wish(uow, [wish], now)
    [part] = [part async for part in uow.update_parts.filter_by_update(update.id)]
    return part


async def _described(uow: IUnitOfWork, series: Series, found: FoundSeries | None) -> SeriesState:
    """Keep what the exchange told, whether or not anything comes of it: it is not asked again."""
    if found is None:
        return await uow.series.lock(series)
    await uow.securities.add([found.card])
    state = replace(await state_or_none(uow, series) or SeriesState(series), first_candle=found.first_candle)
    await uow.series.add([state])
    return state


async def _settled(uow: IUnitOfWork, state: SeriesState, period: Period, limit: int) -> _Nothing | None:
    """Tell whether no more may or can be followed; raises where nothing is."""
    if not _is_new(state, period):
        return None
    if state.first_candle is not None and period.time_till <= state.first_candle:
        if state.followed_from is None:
            raise _nothing(state, period)
        return _NOTHING
    if state.is_grown and state.followed_from is not None:
        return None
    grown = await uow.series.filter_followed().filter_grown().count()
    if grown < limit:
        return None
    if state.followed_from is None:
        raise FollowLimitError(
            f"{grown} series are followed because somebody asked for candles, no more than FOLLOW_LIMIT allows: follow "
            f"{state.series} with POST /v1/securities"
        )
    return _NOTHING


def _is_new(state: SeriesState, period: Period) -> bool:
    return state.followed_from is None or _clipped(state, period).time_from < state.followed_from


def _clipped(state: SeriesState, period: Period) -> Period:
    return replace(period, time_from=max(period.time_from, state.first_candle or period.time_from))


async def _until_its_end(uow: IUnitOfWork, state: SeriesState, period: Period) -> Period:
    """Clip a period at the last day of a security, as a wish is."""
    end = (await uow.securities.get(state.series.security)).end
    return period if end is None else replace(period, time_till=min(period.time_till, state.series.timeframe.ceil(end)))


async def _state(uow: IUnitOfWork, series: Series) -> SeriesState:
    try:
        return await uow.series.get(series)
    except SeriesNotFoundError:
        return SeriesState(series)


async def _under_way(uow: IUnitOfWork, state: SeriesState, period: Period, now: Timestamp) -> UpdatePart | None:
    """Return a wish that holds a followed period: an unfinished one, or one that was done lately."""
    if _is_new(state, period):
        return None
    period = await _until_its_end(uow, state, _clipped(state, period))
    parts = [part async for part in uow.update_parts.filter_by_series(state.series) if _holds(part, period)]
    lately = [part for part in parts if part.done_at is None or now - part.done_at < TRIED_LATELY]
    return min(lately, key=lambda part: part.done_at is not None, default=None)


def _holds(part: UpdatePart, period: Period) -> bool:
    """Tell whether a part wants all of a period. What came after it was asked for is the schedule's business."""
    goes_on = part.period.time_till >= min(period.time_till, part.asked_at)
    return part.period.time_from <= period.time_from and goes_on


def _unfinished(part: UpdatePart | _Nothing | None) -> UpdatePart | None:
    return part if isinstance(part, UpdatePart) and part.done_at is None else None


def _nothing(state: SeriesState, period: Period) -> SeriesNotFoundError:
    since = "" if state.first_candle is None else f": its candles begin at {state.first_candle}"
    return SeriesNotFoundError(f"the exchange has no candles of {state.series} in {period}{since}")
