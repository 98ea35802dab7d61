"""One transaction over one connection: everything the repositories ask of the database passes here."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from sqlalchemy import Executable, Row, Select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncResult

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

    async def copy_in(self, table: str, columns: Sequence[str], packed: Iterable[bytes]) -> None:
        """Write rows in the binary format; PostgreSQL only. A statement must have run before: it begins lazily."""
        self.require_writer()

        async def pieces() -> AsyncIterator[bytes]:  # what is no such iterator asyncpg reads in a thread
            for piece in packed:
                yield piece

        with self._guarded():
            await (await self._driver()).copy_to_table(table, source=pieces(), columns=list(columns), format="binary")

    async def copy_out(self, query: str) -> bytes:
        """Read rows in the binary format; PostgreSQL only. A statement must have run before.

        Even if cancelled it is read to the end: cancelled at its last rows, asyncpg would wait for an answer that came.
        """
        with self._guarded(), BytesIO() as answer:
            await _ended((await self._driver()).copy_from_query(query, output=answer, format="binary"))
            return answer.getvalue()

    async def tuples(self, query: str) -> Sequence[tuple[Any, ...]]:
        """Read rows as the driver gives them; SQLite only."""
        with self._guarded():
            found: Sequence[tuple[Any, ...]] = await (await self._driver()).execute_fetchall(query)
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


async def _ended(work: Coroutine[object, object, object]) -> None:
    """Wait for work that must not be interrupted; a cancellation is raised when it is over."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        raise
