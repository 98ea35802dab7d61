"""Read again what the exchange says of itself and of what is followed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from app.core.corporate_actions import BoardMove
from app.core.entities import Security, SecurityCard
from app.core.errors import NotFoundError, SourceError
from app.core.market_data import IClock, IMarketDataAdapter
from app.core.markets import IDirectory
from app.core.storage import IStorage
from app.use_cases.list_boards import store_boards

_SOON = timedelta(days=14)  # holidays may lie between the last day on a board and the first on the next


@dataclass(frozen=True, slots=True)
class Refreshed:
    """How many boards were read and how many cards had changed; `failures` names the cards that could not be read.

    `moves`: what went on trading on another board.
    """

    boards: int = 0
    cards: int = 0
    failures: Mapping[Security, Exception] = field(default_factory=dict)
    moves: Sequence[BoardMove] = ()


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
    changed, failures, moves = 0, {}, []
    for card in cards:
        if card.expires is not None and card.expires < today:
            continue
        try:
            fresh = await adapter.card(card.security)
            move = await _move(storage, adapter, card, fresh, today)
        except (SourceError, NotFoundError) as error:
            failures[card.security] = error
            continue
        changed += fresh != card
        moves += [move] if move else []
        if move or fresh != card:
            async with storage.begin() as uow:
                await uow.securities.add([fresh])
                await uow.board_moves.add([move] if move else [])
    boards = await directory.boards()
    await store_boards(storage, clock, boards)
    return Refreshed(len(boards), changed, failures, moves)


async def _move(
    storage: IStorage, adapter: IMarketDataAdapter, card: SecurityCard, fresh: SecurityCard, today: date
) -> BoardMove | None:
    """Find out whether a security went to another board, if that is not known yet.

    It did when its primary board is another one now, or when it does not trade here any more and the primary board
    begins just after.
    """
    security, target = fresh.security, fresh.primary_board
    was_primary = card.primary_board == security.board
    if target in (None, security.board) or (fresh.is_traded and not was_primary):
        return None
    async with storage.read() as uow:
        known = [move async for move in uow.board_moves if move.ticker == security.ticker]
    if any((move.from_board, move.to_board) == (security.board, target) for move in known):
        return None
    begin, end = (await adapter.primary_card(security.ticker)).history_from, fresh.history_till
    if begin is not None and end is not None and timedelta() < begin - end <= _SOON:
        return BoardMove(security.ticker, security.board, target, begin)
    return BoardMove(security.ticker, security.board, target, today) if was_primary else None
