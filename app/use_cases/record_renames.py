"""Keep which tickers of shares were replaced."""

from collections.abc import Sequence
from datetime import timedelta

from app.core.corporate_actions import Chains, Lineage
from app.core.entities import SecurityCard
from app.core.market_data import IClock
from app.core.markets import IDirectory
from app.core.storage import IStorage, IUnitOfWork
from app.use_cases.looks import is_due, remember

LOOK = "renames"
EVERY = timedelta(days=1)


async def record_renames(
    storage: IStorage, directory: IDirectory, clock: IClock, *, every: timedelta = EVERY
) -> Sequence[str]:
    """Read the exchange's list, unless that was done less than `every` ago. Returns what makes no sense in it."""
    now = await clock.now()
    if not await is_due(storage, LOOK, now, every=every):
        return []
    listed = await directory.renames()
    async with storage.begin() as uow:
        await uow.renames.add(listed.rows)
    await remember(storage, LOOK, now)
    return listed.skipped


async def chains(uow: IUnitOfWork) -> Chains:
    """Read every rename and every move between boards that is known."""
    return Chains([rename async for rename in uow.renames], [move async for move in uow.board_moves])


async def lineage(uow: IUnitOfWork, card: SecurityCard) -> Lineage:
    """Return under which names and where else a security traded."""
    return (await chains(uow)).of(card)
