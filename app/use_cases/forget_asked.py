"""Forget what people asked for long ago."""

from dataclasses import replace
from datetime import timedelta

from app.core.entities import Series
from app.core.market_data import IClock
from app.core.storage import IStorage


async def forget_updates(storage: IStorage, clock: IClock, *, after: timedelta) -> int:
    """Forget the updates that were asked for so long ago, done or not; return how many. Their candles stay."""
    before = await clock.now() - after
    async with storage.begin() as uow:
        old = [update async for update in uow.updates.filter_asked_before(before)]
        for update in old:
            await uow.update_parts.filter_by_update(update.id).clear()
        await uow.updates.remove(old)
    return len(old)


async def forget_unasked(storage: IStorage, clock: IClock, *, after: timedelta) -> list[Series]:
    """Stop following series that grew from a question and that nobody asked for since; return them. Candles stay."""
    before = await clock.now() - after
    async with storage.begin() as uow:
        grown = [state.series async for state in uow.series.filter_followed().filter_grown()]
        states = [await uow.series.lock(series) for series in sorted(grown)]
        unasked = [state for state in states if state.asked_at is not None and state.asked_at < before]
        for state in unasked:
            await uow.series.add([replace(state, followed_from=None)])
    return [state.series for state in unasked]
