"""Tables whose columns are the fields of an entity, under its natural key."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sqlalchemy import Row, Select, select

from app.core.corporate_actions import BoardMove, ListedSplit, Rename
from app.core.markets import Board
from app.core.storage import Look
from app.repository import refusals
from app.repository.sql.collection import Entity, SqlCollection, Values, table_of
from db_schema import models


@dataclass(frozen=True)
class _Flat(SqlCollection[Entity]):
    """Writes the fields of an entity as they are, and reads them back."""

    entity: ClassVar[type]

    async def add(self, items: Iterable[Entity], /) -> None:
        await self._upsert([self._values(item) for item in items])

    async def remove(self, items: Iterable[Entity], /) -> None:
        await self._delete([{name: getattr(item, name) for name in self.key} for item in items])

    def _values(self, item: Entity) -> Values:
        return {column.name: getattr(item, column.name) for column in self.table.c}

    def _ordered(self) -> Select[Any]:
        return select(self.table).where(*self._filters()).order_by(*(self.table.c[name] for name in self.key))

    def _entity(self, row: Row[Any]) -> Entity:
        entity: Entity = self.entity(**{column.name: getattr(row, column.name) for column in self.table.c})
        return entity


@dataclass(frozen=True)
class SqlBoardRepository(_Flat[Board]):
    """Boards by code."""

    entity = Board
    table = table_of(models.Board)
    key = ("code",)

    async def get(self, code: str, /) -> Board:
        for row in await self._transaction.rows(select(self.table).where(self.table.c.code == code)):
            return self._entity(row)
        raise refusals.unknown_board(code)


@dataclass(frozen=True)
class SqlListedSplitRepository(_Flat[ListedSplit]):
    """Splits as the exchange lists them, by ticker and day."""

    entity = ListedSplit
    table = table_of(models.ListedSplit)
    key = ("ticker", "day")

    def filter_by_ticker(self, ticker: str, /) -> Self:
        return self._where(self.table.c.ticker == ticker)


@dataclass(frozen=True)
class SqlRenameRepository(_Flat[Rename]):
    """Renames by old ticker and day."""

    entity = Rename
    table = table_of(models.Rename)
    key = ("old", "day")


@dataclass(frozen=True)
class SqlBoardMoveRepository(_Flat[BoardMove]):
    """Moves from board to board by ticker and day."""

    entity = BoardMove
    table = table_of(models.BoardMove)
    key = ("ticker", "day")


@dataclass(frozen=True)
class SqlLookRepository(_Flat[Look]):
    """Looks by what was read."""

    entity = Look
    table = table_of(models.Look)
    key = ("name",)
