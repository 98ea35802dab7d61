"""Tables of entities under a natural key of their own fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Self

from app.core.calendar import CalendarDay
from app.core.corporate_actions import BoardMove, ListedSplit, Rename
from app.core.markets import Board
from app.core.storage import Look
from app.repository import refusals
from app.repository.memory.collection import Entity, MemoryCollection
from app.repository.memory.transaction import Key


@dataclass(frozen=True)
class _Flat(MemoryCollection[Entity]):
    """Keeps entities under fields of theirs."""

    key: ClassVar[Sequence[str]]
    """The fields of the natural key."""

    def _key(self, item: Entity) -> Key:
        return tuple(getattr(item, name) for name in self.key)


@dataclass(frozen=True)
class MemoryBoardRepository(_Flat[Board]):
    """Boards by code."""

    table = "boards"
    key = ("code",)

    async def get(self, code: str, /) -> Board:
        board: Board | None = self._rows.get((code,))
        if board is None:
            raise refusals.unknown_board(code)
        return board


@dataclass(frozen=True)
class MemoryCalendarRepository(_Flat[CalendarDay]):
    """Days by engine."""

    table = "calendar"
    key = ("engine", "day")

    def filter_by_engine(self, engine: str, /) -> Self:
        return self._where(lambda day: day.engine == engine)

    def filter_by_days(self, first: date, last: date, /) -> Self:
        return self._where(lambda day: first <= day.day <= last)


@dataclass(frozen=True)
class MemoryListedSplitRepository(_Flat[ListedSplit]):
    """Splits as the exchange lists them, by ticker and day."""

    table = "listed_splits"
    key = ("ticker", "day")

    def filter_by_ticker(self, ticker: str, /) -> Self:
        return self._where(lambda split: split.ticker == ticker)


@dataclass(frozen=True)
class MemoryRenameRepository(_Flat[Rename]):
    """Renames by old ticker and day."""

    table = "renames"
    key = ("old", "day")


@dataclass(frozen=True)
class MemoryBoardMoveRepository(_Flat[BoardMove]):
    """Moves from board to board by ticker and day."""

    table = "board_moves"
    key = ("ticker", "day")


@dataclass(frozen=True)
class MemoryLookRepository(_Flat[Look]):
    """Looks by what was read."""

    table = "looks"
    key = ("name",)
