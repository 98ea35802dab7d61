"""One transaction over one connection: everything the repositories ask of the database passes here."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Executable, Row, Select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncResult

from app.core.date_time import Timestamp
from app.core.entities import Series
from app.repository import refusals
from app.repository.sql.translation import OUTAGES, translating

_CHUNK = 2_000


@dataclass(slots=True, eq=False)
class Transaction:
    """Owns what lives as long as the transaction: open cursors, known ids, and whether a statement failed.

    After a failed statement PostgreSQL answers COMMIT with a silent rollback: whoever swallowed the error must not
    believe that the rest was stored.
    """

    connection: AsyncConnection
    place: str
    is_writer: bool
    ids: dict[Series, int] = field(default_factory=dict)
    failed: bool = False
    _cursors: set[AsyncResult[Any]] = field(default_factory=set)

    @property
    def is_postgresql(self) -> bool:
        return self.connection.dialect.name == "postgresql"

    async def rows(self, statement: Executable, values: Mapping[str, object] | None = None) -> Sequence[Row[Any]]:
        with self._guarded():
            return (await self.connection.execute(statement, values)).all()

    async def stream(self, statement: Select[Any]) -> AsyncIterator[Row[Any]]:
        """Read through a cursor of its own, some thousand rows at a time."""
        with self._guarded():
            cursor = await self.connection.stream(statement.execution_options(yield_per=_CHUNK))
        self._cursors.add(cursor)
        try:
            while chunk := await self._fetch(cursor):
                for row in chunk:
                    yield row
        finally:
            self._cursors.discard(cursor)
            await cursor.close()

    async def _fetch(self, cursor: AsyncResult[Any]) -> Sequence[Row[Any]]:
        with self._guarded():
            return await cursor.fetchmany(_CHUNK)

    async def write(self, statement: Executable, rows: Sequence[Mapping[str, object]] | None = None) -> None:
        """Execute, once or for each of the rows; no rows are nothing to do."""
        self.require_writer()
        if rows is None or rows:
            with self._guarded():
                await self.connection.execute(statement, rows)

    async def write_tuples(self, statement: str, rows: list[tuple[object, ...]]) -> None:
        """Execute a driver's own statement for each of the rows: the quick way where there is no COPY."""
        self.require_writer()
        if rows:
            with self._guarded():
                await self.connection.exec_driver_sql(statement, rows)

    async def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute a driver's own statement for each of the rows, in one go. They are made when the driver wants them.

        On PostgreSQL a statement must have run before.
        """
        self.require_writer()
        with self._guarded():
            cursor = await (await self._driver()).executemany(statement, rows)
            if cursor is not None:  # of SQLite's driver
                await cursor.close()

    async def copy_in(self, table: str, columns: Sequence[str], packed: Iterable[bytes]) -> None:
        """Write rows in the binary format; PostgreSQL only. A statement must have run before: it begins lazily."""
        self.require_writer()

        async def pieces() -> AsyncIterator[bytes]:  # what is no such iterator asyncpg reads in a thread
            for piece in packed:
                yield piece
                await asyncio.sleep(0)  # the driver goes on at once: others want to go on, too

        with self._guarded():
            await (await self._driver()).copy_to_table(table, source=pieces(), columns=list(columns), format="binary")

    async def fetch(self, query: str, *values: object) -> Sequence[Any]:
        """Read rows as the driver gives them; PostgreSQL only. A statement must have run before."""
        with self._guarded():
            found: Sequence[Any] = await (await self._driver()).fetch(query, *values)
            return found

    async def execute(self, statement: str, *values: object) -> None:
        """Execute a driver's own statement; SQLite only: one way to the thread of its driver and back."""
        self.require_writer()
        await self.tuples(statement, *values)

    def own(self, value: object) -> object:
        """Return a value as the driver takes it."""
        if isinstance(value, Timestamp):
            return value.utc if self.is_postgresql else value.microseconds
        return value

    async def tuples(self, query: str, *values: object) -> Sequence[tuple[Any, ...]]:
        """Read rows as the driver gives them; SQLite only."""
        with self._guarded():
            found: Sequence[tuple[Any, ...]] = await (await self._driver()).execute_fetchall(query, values)
            return found

    async def _driver(self) -> Any:  # noqa: ANN401  # asyncpg is not typed
        return (await self.connection.get_raw_connection()).driver_connection

    def require_writer(self) -> None:
        if not self.is_writer:
            raise refusals.read_only()

    async def finish(self) -> None:
        """Commit what a writer did, unless a statement failed; a reader has nothing to commit."""
        for cursor in [*self._cursors]:  # of iterations that were left early
            await cursor.close()
        if not self.is_writer:
            return
        if self.failed:
            raise refusals.spoiled()
        with self._guarded():
            await self.connection.commit()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            with translating(self.place, *OUTAGES):
                yield
        except BaseException:
            self.failed = True
            raise
