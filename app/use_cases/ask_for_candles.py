"""Ask that candles be loaded. What is asked for is committed before anybody is woken up to load it."""

import secrets
from collections.abc import Collection, Sequence

from app.core.date_time import Timestamp
from app.core.entities import Security, Timeframe
from app.core.market_data import IClock, Wish
from app.core.storage import IStorage, IUnitOfWork, read_cards
from app.core.updates import Update, UpdatePart
from app.use_cases.measure_coverage import measure_coverage
from app.use_cases.update_candles import check_period, followed_states, wish_of


async def ask_for_candles(
    storage: IStorage,
    clock: IClock,
    *,
    securities: Collection[Security] = (),
    timeframes: Collection[Timeframe] = (),
    time_from: Timestamp | None = None,
    time_till: Timestamp | None = None,
    again: bool = False,
) -> Update:
    """Ask for what `update_candles` would load. Raises what it does."""
    check_period(time_from, time_till, again=again)
    followed = await followed_states(storage, securities, timeframes)
    now = await clock.now()
    async with storage.begin() as uow:
        cards = await read_cards(uow, {state.series.security for state in followed})
        till = min(time_till or now, now)
        wishes = [wish_of(state, cards[state.series.security], time_from, till, again=again) for state in followed]
        return await record_wish(uow, wishes, now)


async def record_wish(uow: IUnitOfWork, wishes: Sequence[Wish], now: Timestamp) -> Update:
    """Record what is wished for: the schedule finds what is not done, even if whoever recorded it does no more."""
    update = Update(secrets.token_hex(8), now)
    wanted = [wish for wish in wishes if wish.period]
    measured = await measure_coverage(uow, [(wish.series, wish.period) for wish in wanted])
    await uow.updates.add([update])
    await uow.update_parts.add(
        UpdatePart(update.id, now, wish.series, wish.period, wish.again, 0 if wish.again else minutes.covered)
        for wish, minutes in zip(wanted, measured, strict=True)
    )
    return update
