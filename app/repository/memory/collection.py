"""A subset of a table as a frozen value: the conditions that its rows meet, and a window over these rows."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

from app.repository.memory.transaction import Key, Rows, Transaction
from app.repository.windows import WHOLE, Window

Entity = TypeVar("Entity")


@dataclass(frozen=True)
class MemoryCollection(Generic[Entity]):
    """Filters are conditions on an entity; a row is in the subset if it meets all of them."""

    _transaction: Transaction
    _keeps: tuple[Callable[[Any], bool], ...] = ()
    _window: Window = WHOLE

    table: ClassVar[str]

    @property
    def _rows(self) -> Rows:
        return self._transaction.tables.rows[self.table]

    def _key(self, item: Entity) -> Key:
        raise NotImplementedError

    def _where(self, keep: Callable[[Any], bool]) -> Self:
        self._window.require_whole()
        return replace(self, _keeps=(*self._keeps, keep))

    def _order(self, rows: list[Entity]) -> list[Entity]:
        return rows

    def _select(self) -> list[Entity]:
        rows = [self._rows[key] for key in sorted(self._rows)]
        kept = self._order([row for row in rows if all(keep(row) for keep in self._keeps)])
        return kept[self._window.start : self._window.stop]

    def __getitem__(self, window: slice, /) -> Self:
        return replace(self, _window=self._window.narrow(window))

    async def __aiter__(self) -> AsyncIterator[Entity]:
        for row in self._select():
            yield row

    async def count(self) -> int:
        return len(self._select())

    async def add(self, items: Iterable[Entity], /) -> None:
        self._transaction.require_writer()
        added = list(items)
        self._require_parents(added)
        self._rows.update((self._key(item), item) for item in added)

    def _require_parents(self, items: Iterable[Entity]) -> None:
        """Refuse items whose security or series has no row."""

    async def remove(self, items: Iterable[Entity], /) -> None:
        self._transaction.require_writer()
        self._drop([self._key(item) for item in items])

    async def clear(self) -> None:
        self._window.require_whole()
        self._transaction.require_writer()
        self._drop([self._key(item) for item in self._select()])

    def _drop(self, keys: Iterable[Key]) -> None:
        dropped = set(keys)
        self._require_childless(dropped)
        for key in dropped:
            self._rows.pop(key, None)

    def _require_childless(self, keys: set[Key]) -> None:
        """Refuse to drop what other rows belong to."""
