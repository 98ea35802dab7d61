"""Note that somebody asked for the candles of a series: what nobody asks for may be left alone."""

from dataclasses import replace
from datetime import timedelta

from app.core.entities import Series
from app.core.market_data import IClock
from app.core.storage import IStorage

EVERY = timedelta(hours=1)


async def note_asked(storage: IStorage, clock: IClock, series: Series) -> None:
    """Note it, to the hour. Raises SeriesNotFoundError for a series the store does not know."""
    now = await clock.now()
    async with storage.begin() as uow:
        state = await uow.series.lock(series)
        if state.asked_at is None or now - state.asked_at >= EVERY:
            await uow.series.add([replace(state, asked_at=now)])
