"""What every repository of renames, moves between boards and looks owes the core."""

from dataclasses import replace
from datetime import date

from app.core.corporate_actions import BoardMove, Rename
from app.core.storage import IStorage, Look
from app.tests.builders import T0, minute

TCSG = Rename("TCSG", "T", date(2024, 11, 28))
MOVE = BoardMove("SBMX", "TQTF", "TQBR", date(2026, 6, 1))


async def test_renames_are_kept_by_old_ticker_and_day(storage: IStorage) -> None:
    again = replace(TCSG, new="T2", day=date(2025, 1, 9))
    async with storage.begin() as writer:
        await writer.renames.add([again, TCSG])
        await writer.renames.add([TCSG, replace(again, new="T3")])

    async with storage.read() as reader:
        assert [rename async for rename in reader.renames] == [TCSG, replace(again, new="T3")]


async def test_moves_are_kept_by_ticker_and_day(storage: IStorage) -> None:
    back = BoardMove("SBMX", "TQBR", "TQTF", date(2026, 7, 1))
    async with storage.begin() as writer:
        await writer.board_moves.add([back, MOVE])
        await writer.board_moves.remove([replace(MOVE, from_board="SMAL"), replace(back, day=date(2026, 7, 2))])

        assert [move async for move in writer.board_moves] == [back]


async def test_a_look_is_kept_by_its_name(storage: IStorage) -> None:
    async with storage.begin() as writer:
        await writer.looks.add([Look("splits", T0), Look("renames", T0)])
        await writer.looks.add([Look("splits", minute(60))])

        assert [look async for look in writer.looks] == [Look("renames", T0), Look("splits", minute(60))]
