"""What hangs below a series: collections whose keys begin with that of the series."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from app.core.entities import Series
from app.repository.memory.collection import Entity, MemoryCollection


@dataclass(frozen=True)
class MemorySeriesCollection(MemoryCollection[Entity]):
    """Asks for the row of its series before it adds, as a foreign key would."""

    def _series(self, item: Entity) -> Series:
        return item.series  # type: ignore[attr-defined,no-any-return]  # of all but revisions

    def filter_by_series(self, series: Series, /) -> Self:
        return self._where(lambda item: self._series(item) == series)

    def _require_parents(self, items: Iterable[Entity]) -> None:
        self._transaction.require_series(self._series(item) for item in items)
