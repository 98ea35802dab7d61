"""Boards, as the exchange lists them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, select

from app.core.markets import Board
from app.repository import refusals
from app.repository.sql.collection import SqlCollection, table_of
from db_schema import models

_BOARD = table_of(models.Board)
_NAMES = [column.name for column in _BOARD.c]


@dataclass(frozen=True)
class SqlBoardRepository(SqlCollection[Board]):
    """Boards by code."""

    table = _BOARD
    key = ("code",)

    async def get(self, code: str, /) -> Board:
        for row in await self._transaction.rows(select(_BOARD).where(_BOARD.c.code == code)):
            return self._entity(row)
        raise refusals.unknown_board(code)

    async def add(self, items: Iterable[Board], /) -> None:
        await self._upsert([{name: getattr(board, name) for name in _NAMES} for board in items])

    async def remove(self, items: Iterable[Board], /) -> None:
        await self._delete([{"code": board.code} for board in items])

    def _ordered(self) -> Select[Any]:
        return select(_BOARD).where(*self._filters()).order_by(_BOARD.c.code)

    def _entity(self, row: Row[Any]) -> Board:
        return Board(**{name: getattr(row, name) for name in _NAMES})
