"""Load what is followed and not stored yet."""

from collections.abc import Collection

from app.core.date_time import Timestamp
from app.core.entities import Security, SecurityCard, SeriesState, Timeframe
from app.core.errors import InputError, SecurityNotFoundError, SeriesNotFoundError
from app.core.market_data import IClock, ILoadProgress, IMarketDataLoader, LoadOutcome, Wish
from app.core.repository import FEW, IStorage, read_cards
from app.core.spans import Period
from app.use_cases.record_splits import record_rescaled


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
    progress: ILoadProgress | None = None,
) -> LoadOutcome:
    """Bring followed series up to now, or only these securities, timeframes and the half-open `[time_from, time_till)`.

    A derived timeframe means the minutes it is made of. `again` reads what is covered too. Raises
    SecurityNotFoundError for a security nobody follows, SeriesNotFoundError for a timeframe nobody follows, InputError
    for a period that ends before it begins, or for all history again.
    """
    if again and time_from is None:
        raise InputError("from", "to read again what is covered, say from where on")
    if time_from is not None and time_till is not None and time_from > time_till:
        raise InputError("till", f"the period ends ({time_till}) before it begins ({time_from})")
    followed = await followed_states(storage, securities, timeframes)
    till = time_till or await clock.now()
    async with storage.read() as uow:
        cards = await read_cards(uow, {state.series.security for state in followed})
    wishes = [_wish(state, cards[state.series.security], time_from, till, again=again) for state in followed]
    outcome = await loader.load(wishes, progress=progress)
    outcome.splits.extend(await record_rescaled(storage, outcome))
    return outcome


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


def _wish(
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
