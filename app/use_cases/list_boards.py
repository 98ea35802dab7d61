"""Where things are traded."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

from app.core.errors import BoardNotFoundError, SourceError
from app.core.market_data import IClock
from app.core.markets import WELL_KNOWN, Board, IDirectory
from app.core.storage import IStorage


async def list_boards(storage: IStorage) -> Sequence[Board]:
    """Return every known board by code: the exchange's own list, or the well-known ones as long as nobody read it."""
    async with storage.read() as uow:
        stored = [board async for board in uow.boards]
    return stored or sorted(WELL_KNOWN.values(), key=lambda board: board.code)


async def get_board(storage: IStorage, directory: IDirectory, clock: IClock, code: str) -> Board:
    """Return a board; one that is not stored is looked for at the exchange, and the list is then stored.

    When the exchange fails, the well-known boards still do. Raises BoardNotFoundError, which names similar ones.
    """
    async with storage.read() as uow:
        stored = [board async for board in uow.boards if board.code == code]
    if stored:
        return stored[0]
    try:
        listed = await directory.boards()
    except SourceError:
        if code in WELL_KNOWN:
            return WELL_KNOWN[code]
        raise
    found = {board.code: board for board in listed}
    if code not in found:
        similar = ", ".join(get_close_matches(code, found)) or ", ".join(sorted(WELL_KNOWN))
        raise BoardNotFoundError(f"the exchange has no board {code}: did you mean {similar}?")
    await store_boards(storage, clock, listed)
    return found[code]


async def store_boards(storage: IStorage, clock: IClock, boards: Sequence[Board]) -> None:
    """Keep what the exchange listed, as of now; boards it lists no more stay as they were seen last."""
    now = await clock.now()
    async with storage.begin() as uow:
        await uow.boards.add(replace(board, seen_at=now) for board in boards)
