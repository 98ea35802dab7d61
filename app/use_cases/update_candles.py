"""Load what is followed and not stored yet."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from app.core.date_time import Timestamp
from app.core.entities import Security, SecurityCard, Series, SeriesState, Timeframe
from app.core.errors import InputError, SecurityNotFoundError, SeriesNotFoundError
from app.core.market_data import IClock, ILoadProgress, IMarketDataLoader, LoadOutcome, Wish
from app.core.spans import Period
from app.core.storage import FEW, IStorage, IUnitOfWork, read_cards
from app.use_cases.record_splits import record_rescaled

_MARKED_AT_ONCE = 100


async def update_candles(  # noqa: PLR0913  # ports first, then what a command may ask for
    storage: IStorage,
    loader: IMarketDataLoader,
    clock: IClock,
    *,
    securities: Collection[Security] = (),
    timeframes: Collection[Timeframe] = (),
    time_from: Timestamp | None = None,
    time_till: Timestamp | None = None,
    again: bool = False,
    due_at: Timestamp | None = None,
    failed: Mapping[Series, Exception] = MappingProxyType({}),
    progress: ILoadProgress | None = None,
) -> LoadOutcome:
    """Bring followed series up to now, or only these securities, timeframes and the half-open `[time_from, time_till)`.

    A derived timeframe means the minutes it is made of. `again` reads what is covered too. `due_at`: the moment for
    which a schedule found them due, by its clock; they are not due for it any more. `failed`: what failed just before,
    and is to be tried again whatever happens here. Raises SecurityNotFoundError for a security nobody follows,
    SeriesNotFoundError for a timeframe nobody follows, InputError for a period that ends before it begins, or for all
    history again.
    """
    check_period(time_from, time_till, again=again)
    followed = await followed_states(storage, securities, timeframes)
    now = await clock.now()
    till = time_till or now
    async with storage.read() as uow:
        cards = await read_cards(uow, {state.series.security for state in followed})
    wishes = [wish_of(state, cards[state.series.security], time_from, till, again=again) for state in followed]
    outcome = await loader.load(wishes, progress=progress)
    outcome.splits.extend(await record_rescaled(storage, outcome))
    if time_from is None and time_till is None:
        split = {split.security for split in outcome.splits}
        whole = {state.series: state for state in followed if state.series.security not in split}
        done = whole.keys() - outcome.failures.keys() - {*failed}
        await _mark_failed(storage, failed, now)
        await _mark(storage, [whole[series] for series in sorted(done)], max(now, due_at or now))
    return outcome


async def _mark(storage: IStorage, loaded: Sequence[SeriesState], now: Timestamp) -> None:
    """Keep when all that was followed of these, as it was then, was gone for and that nothing of it failed.

    `loaded` is sorted: whoever holds several series takes them in that order.
    """
    for start in range(0, len(loaded), _MARKED_AT_ONCE):
        async with storage.begin() as uow:
            marked = [await _marked(uow, before, now) for before in loaded[start : start + _MARKED_AT_ONCE]]
            await uow.series.add(state for state in marked if state is not None)


async def _marked(uow: IUnitOfWork, before: SeriesState, now: Timestamp) -> SeriesState | None:
    """Return the state to keep of a series, held until the transaction ends.

    None if more is missing of it since: it is followed from an earlier moment, was split meanwhile, or is gone.
    """
    try:
        state = await uow.series.lock(before.series)
    except SeriesNotFoundError:
        return None
    was_cleared = before.checked_at is not None and state.checked_at is None
    is_stale = before.stale_before is None and state.stale_before is not None
    if was_cleared or is_stale or state.followed_from != before.followed_from:
        return None
    checked_at = max(now, state.checked_at or now)
    return replace(state, checked_at=checked_at, failures=0, failed_at=None, failure=None)


async def _mark_failed(storage: IStorage, failed: Mapping[Series, Exception], now: Timestamp) -> None:
    """Keep what failed before, although what followed went well."""
    for series, error in failed.items():
        async with storage.begin() as uow:
            state = await uow.series.lock(series)
            await uow.series.add([replace(state, failed_at=now, failure=str(error))])


def check_period(time_from: Timestamp | None, time_till: Timestamp | None, *, again: bool) -> None:
    """Raise InputError for a period that ends before it begins, or for all history again."""
    if again and time_from is None:
        raise InputError("from", "to read again what is covered, say from where on")
    if time_from is not None and time_till is not None and time_from > time_till:
        raise InputError("till", f"the period ends ({time_till}) before it begins ({time_from})")


async def followed_states(
    storage: IStorage, securities: Collection[Security], timeframes: Collection[Timeframe]
) -> list[SeriesState]:
    """Return the states of followed series, or only of these securities and timeframes. Raises as `update_candles`."""
    async with storage.read() as uow:
        series = uow.series.filter_followed()
        subsets = map(series.filter_by_security, sorted(set(securities))) if 0 < len(securities) <= FEW else [series]
        states = [state for subset in subsets async for state in subset]
    known = {state.series.security for state in states}
    if strange := [security for security in securities if security not in known]:
        names = ", ".join(map(str, strange))
        raise SecurityNotFoundError(f"{names} is not followed: add it with create-security first")
    stored = {timeframe.base for timeframe in timeframes}
    wanted = [state for state in states if not securities or state.series.security in securities]
    if absent := stored - {state.series.timeframe for state in wanted}:
        names = ", ".join(timeframe for timeframe in Timeframe if timeframe in absent)
        raise SeriesNotFoundError(f"{names} is not followed: add it with create-security --timeframe first")
    return [state for state in wanted if not stored or state.series.timeframe in stored]


def wish_of(
    state: SeriesState, card: SecurityCard, time_from: Timestamp | None, time_till: Timestamp, *, again: bool
) -> Wish:
    """Wish for what can be there: from the first candle to the end of the last day that can have any.

    Both ends are rounded up to the timeframe: a candle belongs to a period when its beginning does.
    """
    timeframe = state.series.timeframe
    begin = time_from or state.followed_from or time_till
    begin = max(begin, state.first_candle or begin)
    end = min(time_till, card.end or time_till)
    return Wish(state.series, Period(timeframe.ceil(begin), timeframe.ceil(end)), again=again)
