"""A subset of a table as a frozen value: SQLAlchemy's Select already is an immutable description of one."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from app.repository.sql.transaction import Transaction
from app.repository.windows import WHOLE, Window

_NO_LIMIT = 2**62
"""SQLite knows no OFFSET without LIMIT; what SQLAlchemy would put there cannot stand in a text without parameters."""

Entity = TypeVar("Entity")
Values = Mapping[str, object]


def table_of(model: type[object]) -> Table:
    """Return the table of a declarative model; SQLAlchemy types it as something more general."""
    return cast("Table", cast("FromClause", model.__table__))  # type: ignore[attr-defined]  # every model has one


@dataclass(frozen=True)
class SqlCollection(Generic[Entity]):
    """Filters are clauses over `table` alone, so that the same subset can be read, counted and deleted."""

    _transaction: Transaction
    _clauses: tuple[ColumnElement[bool], ...] = ()
    _window: Window = WHOLE

    table: ClassVar[Table]
    is_large: ClassVar[bool] = False
    """Whether to read through a cursor, some thousand rows at a time; all at once costs less where rows are few."""
    key: ClassVar[Sequence[str]]
    """The columns of the natural key."""

    def __getitem__(self, window: slice, /) -> Self:
        return replace(self, _window=self._window.narrow(window))

    def _where(self, clause: ColumnElement[bool]) -> Self:
        self._window.require_whole()
        return replace(self, _clauses=(*self._clauses, clause))

    async def __aiter__(self) -> AsyncIterator[Entity]:
        rows = self._window_of(self._ordered())
        if self.is_large:
            async for row in self._transaction.stream(rows):
                yield self._entity(row)
        else:
            for row in await self._transaction.rows(rows):
                yield self._entity(row)

    async def count(self) -> int:
        """Count; of a slice no more is looked at than it can hold."""
        if self._window == WHOLE:
            counted = select(func.count()).select_from(self.table).where(*self._filters())
        else:
            held = self._window_of(select(literal(1)).select_from(self.table).where(*self._filters()))
            counted = select(func.count()).select_from(held.subquery())
        [(total,)] = await self._transaction.rows(counted)
        return int(total)

    async def clear(self) -> None:
        self._window.require_whole()
        await self._transaction.write(delete(self.table).where(*self._filters()))

    def _filters(self) -> tuple[ColumnElement[bool], ...]:
        return self._clauses

    def _ordered(self) -> Select[Any]:
        """Return the rows of this subset in the order of the natural key."""
        raise NotImplementedError

    def _entity(self, row: Row[Any]) -> Entity:
        raise NotImplementedError

    def _window_of(self, rows: Select[Any]) -> Select[Any]:
        start, stop = self._window.start, self._window.stop
        if self._window == WHOLE:
            return rows
        limited = rows.limit(_NO_LIMIT if stop is None else stop - start)
        return limited.offset(start) if start else limited

    async def _upsert(self, rows: Iterable[Values]) -> None:
        """Insert, or replace under the same key: sorted, each key once, equal rows left alone."""
        if folded := self._folded(rows):
            await self._transaction.write(upsert(self._transaction, self.table, self.key), folded)

    async def _delete(self, keys: Iterable[Values]) -> None:
        if rows := self._folded(keys):
            statement = delete(self.table).where(*(self.table.c[name] == bindparam(name) for name in self.key))
            await self._transaction.write(statement, rows)

    def _folded(self, rows: Iterable[Values]) -> list[Values]:
        """Keep the last row of each key, in order: two writers that sort alike cannot deadlock."""
        by_key = {tuple(row[name] for name in self.key): row for row in rows}
        return [by_key[key] for key in sorted(by_key)]


def upsert(transaction: Transaction, table: Table, key: Sequence[str]) -> "postgresql.Insert | sqlite.Insert":
    """Write the statement that inserts, or updates only what differs."""
    insert = postgresql.insert(table) if transaction.is_postgresql else sqlite.insert(table)
    rest = {c.name: insert.excluded[c.name] for c in table.c if c.name not in (*key, "id")}
    differs = or_(*(table.c[name].is_distinct_from(new) for name, new in rest.items()))
    return insert.on_conflict_do_update(index_elements=key, set_=rest, where=and_(differs))
