"""What every repository of boards owes the core."""

from dataclasses import replace

import pytest

from app.core.errors import BoardNotFoundError
from app.core.markets import WELL_KNOWN, Board
from app.core.storage import IStorage
from app.tests.builders import T0

TQBR = Board(
    "TQBR", "stock", "shares", "Т+: Акции и ДР - безадрес.", "Фондовый рынок", "Рынок акций", 57, "stock_shares_tplus",
    "Т+: Основной режим", is_default_group=True, is_traded=False, has_candles=False, is_primary=False, seen_at=T0,
)  # fmt: skip
CETS = WELL_KNOWN["CETS"]


async def test_a_board_comes_back_as_it_was(storage: IStorage) -> None:
    async with storage.begin() as writer:
        await writer.boards.add([TQBR, CETS])

    async with storage.read() as reader:
        assert [board async for board in reader.boards] == [CETS, TQBR]
        assert await reader.boards.get("TQBR") == TQBR
        assert await reader.boards[1:].count() == 1


async def test_an_unknown_board_is_named(storage: IStorage) -> None:
    async with storage.read() as reader:
        with pytest.raises(BoardNotFoundError, match="TQXX"):
            await reader.boards.get("TQXX")


async def test_add_replaces_and_remove_forgets(storage: IStorage) -> None:
    async with storage.begin() as writer:
        await writer.boards.add([TQBR, CETS])
        await writer.boards.add([replace(TQBR, title="new")])
        await writer.boards.remove([CETS])

        assert [board.title async for board in writer.boards] == ["new"]
        await writer.boards.clear()
        assert await writer.boards.count() == 0
