"""Read again what the exchange says of itself and of what is followed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from app.core.entities import Security, SecurityCard
from app.core.errors import NotFoundError, SourceError
from app.core.market_data import IClock, IMarketDataAdapter
from app.core.markets import IDirectory
from app.core.repository import IStorage
from app.use_cases.list_boards import store_boards


@dataclass(frozen=True, slots=True)
class Refreshed:
    """How many boards were read and how many cards had changed; `failures` names the cards that could not be read."""

    boards: int = 0
    cards: int = 0
    failures: Mapping[Security, Exception] = field(default_factory=dict)


async def refresh_reference(
    storage: IStorage, adapter: IMarketDataAdapter, directory: IDirectory, clock: IClock, *, every: timedelta
) -> Refreshed:
    """Read the boards and the cards of followed securities, unless that was done less than `every` ago.

    Boards come last: they are the mark that it was done, so a crash on the way means once more. What has expired is
    not asked about any more. A card that cannot be read stays as it was and stops nobody else.
    """
    now = await clock.now()
    async with storage.read() as uow:
        seen = [board.seen_at async for board in uow.boards if board.seen_at is not None]
        followed = {state.series.security async for state in uow.series.filter_followed()}
        cards = [card async for card in uow.securities if card.security in followed]
    if seen and now - max(seen) < every:
        return Refreshed()
    today = now.moscow.date()
    changed, failures = 0, {}
    for card in cards:
        if card.expires is not None and card.expires < today:
            continue
        try:
            changed += await _refresh(storage, adapter, card)
        except (SourceError, NotFoundError) as error:
            failures[card.security] = error
    boards = await directory.boards()
    await store_boards(storage, clock, boards)
    return Refreshed(len(boards), changed, failures)


async def _refresh(storage: IStorage, adapter: IMarketDataAdapter, card: SecurityCard) -> bool:
    fresh = await adapter.card(card.security)
    if fresh == card:
        return False
    async with storage.begin() as uow:
        await uow.securities.add([fresh])
    return True
