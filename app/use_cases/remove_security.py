"""Stop following a security."""

from dataclasses import replace

from app.core.entities import Security, SeriesState
from app.core.errors import SecurityNotFoundError
from app.core.market_data import IClock
from app.core.storage import IStorage, IUnitOfWork


async def remove_security(storage: IStorage, clock: IClock, security: Security, *, purge: bool = False) -> None:
    """Stop following every series of a security; with `purge`, forget its candles, spans and revisions too.

    The series themselves stay, so that their counters never come again (I16). Raises SecurityNotFoundError when the
    store does not hold it.
    """
    now = await clock.now()
    async with storage.begin() as uow:
        await uow.securities.get(security)
        states = [state async for state in uow.series.filter_by_security(security)]
        for state in states:
            locked = await uow.series.lock(state.series)
            if purge:
                await _forget(uow, locked)
                version = max(locked.version + 1, now.microseconds // 1000)
                locked = replace(locked, version=version, history_version=version)
                locked = replace(locked, watermark=None, as_of=None, stale_before=None)
            await uow.series.add([replace(locked, followed_from=None)])
    if not states:
        raise SecurityNotFoundError(f"{security} is not followed")


async def _forget(uow: IUnitOfWork, state: SeriesState) -> None:
    await uow.spans.filter_by_series(state.series).clear()
    await uow.candles.filter_by_series(state.series).clear()
    await uow.revisions.filter_by_series(state.series).clear()
    await uow.quarantine.filter_by_series(state.series).clear()
