"""What somebody asked to have loaded."""

from dataclasses import dataclass, replace
from typing import Self

from app.core.date_time import Timestamp
from app.core.updates import Update, UpdatePart
from app.repository import refusals
from app.repository.memory.collection import MemoryCollection
from app.repository.memory.of_series import MemorySeriesCollection
from app.repository.memory.transaction import Key, series_key


@dataclass(frozen=True)
class MemoryUpdateRepository(MemoryCollection[Update]):
    """Updates by id."""

    _newest_first: bool = False

    table = "updates"

    def _key(self, item: Update) -> Key:
        return (item.id,)

    def filter_asked_before(self, moment: Timestamp, /) -> Self:
        return self._where(lambda update: update.asked_at < moment)

    def newest_first(self) -> Self:
        self._window.require_whole()
        return replace(self, _newest_first=True)

    def _order(self, rows: list[Update]) -> list[Update]:
        return sorted(rows, key=lambda row: (row.asked_at, row.id), reverse=True) if self._newest_first else rows

    async def get(self, update_id: str, /) -> Update:
        update: Update | None = self._rows.get((update_id,))
        if update is None:
            raise refusals.unknown_update(update_id)
        return update


@dataclass(frozen=True)
class MemoryUpdatePartRepository(MemorySeriesCollection[UpdatePart]):
    """Parts by series and update."""

    table = "update_parts"

    def _key(self, item: UpdatePart) -> Key:
        return (*series_key(item.series), item.update_id)

    def filter_by_update(self, update_id: str, /) -> Self:
        return self._where(lambda part: part.update_id == update_id)

    def filter_unfinished(self) -> Self:
        return self._where(lambda part: part.done_at is None)
