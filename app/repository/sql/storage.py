"""The SQL store: engines, transactions, and whether it is ours."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Self, cast

from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from app.core.entities import Series
from app.core.errors import SchemaMismatchError, StorageBusyError, StorageError, StorageUnavailableError
from app.core.pages import CandlePage
from app.core.spans import Period
from app.core.storage import Circumstances, Holdings, SeriesView
from app.repository import refusals
from app.repository.sql import engine, holdings, leases
from app.repository.sql.calendar import SqlCalendarRepository
from app.repository.sql.candles import SqlCandleRepository
from app.repository.sql.catalogue import SqlSecurityRepository, SqlSeriesRepository
from app.repository.sql.collection import table_of
from app.repository.sql.flat import (
    SqlBoardMoveRepository,
    SqlBoardRepository,
    SqlListedSplitRepository,
    SqlLookRepository,
    SqlRenameRepository,
)
from app.repository.sql.postgresql_snapshots import PostgresqlSnapshots
from app.repository.sql.revisions import SqlQuarantineRepository, SqlRevisionRepository
from app.repository.sql.spans import SqlSpanRepository
from app.repository.sql.splits import SqlSplitRepository
from app.repository.sql.sqlite_snapshots import SqliteSnapshots
from app.repository.sql.transaction import Transaction
from app.repository.sql.translation import MIGRATE, OUTAGES, translating
from app.repository.sql.updates import SqlUpdatePartRepository, SqlUpdateRepository
from app.repository.sql.views import ISnapshots, SqlViews
from db_schema import SCHEMA_REVISION, models, serves

_SOURCE = table_of(models.Source)
_POSTGRESQL_ROWS = 50_000
_SQLITE_ROWS = 20_000  # a tenth of a second: a writer keeps all others out, so it should be short


@dataclass(frozen=True, slots=True)
class SqlUnitOfWork:
    """The repositories of one transaction."""

    boards: SqlBoardRepository
    calendar: SqlCalendarRepository
    securities: SqlSecurityRepository
    series: SqlSeriesRepository
    candles: SqlCandleRepository
    spans: SqlSpanRepository
    revisions: SqlRevisionRepository
    quarantine: SqlQuarantineRepository
    splits: SqlSplitRepository
    listed_splits: SqlListedSplitRepository
    renames: SqlRenameRepository
    board_moves: SqlBoardMoveRepository
    looks: SqlLookRepository
    updates: SqlUpdateRepository
    update_parts: SqlUpdatePartRepository
    _transaction: Transaction

    @classmethod
    def over(cls, transaction: Transaction) -> Self:
        return cls(
            SqlBoardRepository(transaction),
            SqlCalendarRepository(transaction),
            SqlSecurityRepository(transaction),
            SqlSeriesRepository(transaction),
            SqlCandleRepository(transaction),
            SqlSpanRepository(transaction),
            SqlRevisionRepository(transaction),
            SqlQuarantineRepository(transaction),
            SqlSplitRepository(transaction),
            SqlListedSplitRepository(transaction),
            SqlRenameRepository(transaction),
            SqlBoardMoveRepository(transaction),
            SqlLookRepository(transaction),
            SqlUpdateRepository(transaction),
            SqlUpdatePartRepository(transaction),
            transaction,
        )

    async def claim_source(self, source: str, /) -> None:
        insert = postgresql.insert if self._transaction.is_postgresql else sqlite.insert
        claim = insert(_SOURCE).on_conflict_do_nothing(index_elements=["id"])
        await self._transaction.write(claim, [{"id": 1, "name": source}])
        await self.require_source(source, one_at_a_time=True)

    async def hold(self, series: Series, period: Period, /) -> Holdings:
        self._transaction.require_writer()
        if self._transaction.is_postgresql:
            return await holdings.from_postgresql(self._transaction, series, period)
        return await holdings.from_sqlite(self._transaction, series, period)

    async def require_source(self, source: str, *, one_at_a_time: bool = False) -> None:
        """Raise SourceMismatchError if another source filled this store."""
        names = select(_SOURCE.c.name).with_for_update() if one_at_a_time else select(_SOURCE.c.name)
        for (stored,) in await self._transaction.rows(names):
            if stored != source:
                raise refusals.other_source(stored, source)


class SqlStorage:
    """Connects when first asked, so it may be built before a fork; one event loop at a time may use it."""

    def __init__(
        self, writer: AsyncEngine, reader: AsyncEngine, views: SqlViews, *, place: str, patience: float
    ) -> None:
        """`reader` is the same engine where one pool serves both, as on PostgreSQL."""
        self._writer = writer
        self._reader = reader
        self._views = views
        self._place = place
        self._patience = patience
        self._turns = {} if writer is reader else {pool: asyncio.Semaphore(_size(pool)) for pool in (writer, reader)}

    @classmethod
    def open(cls, url: str, *, patience: float = 30, pool_size: int = 8) -> Self:
        """Build the store of a database URL, with or without a driver in it.

        `patience`: seconds to wait for another writer, or for a free connection of the `pool_size` ones.
        """
        parsed = engine.parse(url)
        place = engine.place(parsed)
        snapshots: ISnapshots
        if parsed.get_backend_name() == "sqlite":
            writer = engine.sqlite_writer(parsed, patience=patience)
            reader = engine.sqlite_readers(parsed, pool_size=pool_size, patience=patience)
            snapshots = SqliteSnapshots(lambda: engine.sqlite_connection(parsed, patience=patience), place=place)
        else:
            writer = reader = engine.postgresql_engine(parsed, pool_size=pool_size, patience=patience)
            snapshots = PostgresqlSnapshots(
                lambda: engine.postgresql_connection(parsed), place=place, patience=patience
            )
        return cls(writer, reader, SqlViews(snapshots), place=place, patience=patience)

    @property
    def batch_rows(self) -> int:
        return _POSTGRESQL_ROWS if self._writer is self._reader else _SQLITE_ROWS

    @property
    def connections_in_use(self) -> int:
        """How many connections are out of the pools: none while nothing runs."""
        pooled = sum(cast("QueuePool", pool.pool).checkedout() for pool in {self._writer, self._reader})
        return pooled + self._views.snapshots.in_use

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlUnitOfWork]:
        late = StorageBusyError(f"{self._place} is busy: other writers took longer than the patience; try again")
        async with self._turn(self._writer, late), self._transaction(self._writer, is_writer=True) as transaction:
            yield SqlUnitOfWork.over(transaction)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqlUnitOfWork]:
        """Open one snapshot; it is taken when the first question is asked."""
        late = StorageUnavailableError(f"{self._place}: no connection became free in time")
        async with self._turn(self._reader, late), self._transaction(self._reader, is_writer=False) as transaction:
            yield SqlUnitOfWork.over(transaction)

    async def view(self, series: Series, period: Period, /) -> SeriesView:
        return await self._views.view(series, period)

    async def view_candles(
        self, series: Series, period: Period, window: Period, /, *, limit: int, newest_first: bool = False
    ) -> tuple[SeriesView, CandlePage]:
        return await self._views.view_candles(series, period, window, limit=limit, newest_first=newest_first)

    async def circumstances(self, series: Series, missing: Sequence[Period], /) -> Circumstances:
        return await self._views.circumstances(series, missing)

    async def lead(self, name: str, holder: str, /, *, seconds: float) -> bool:
        async with self.begin() as unit_of_work:
            return await leases.take(unit_of_work._transaction, name, holder, seconds)  # noqa: SLF001  # the storage made it

    async def check(self, source: str, /) -> None:
        async with self.read() as unit_of_work:
            await self._require_schema(unit_of_work)
            await unit_of_work.require_source(source)

    async def close(self) -> None:
        await self._views.snapshots.close()
        await self._writer.dispose()
        await self._reader.dispose()

    @asynccontextmanager
    async def _transaction(self, pool: AsyncEngine, *, is_writer: bool) -> AsyncIterator[Transaction]:
        async with AsyncExitStack() as stack:
            stack.enter_context(translating(self._place))
            with translating(self._place, *OUTAGES):
                connection = await self._connect(pool)
                _ = stack.push_async_exit(connection)
                transaction = Transaction(connection, self._place, is_writer)
                await self._open(transaction)
            yield transaction
            await transaction.finish()

    async def _open(self, transaction: Transaction) -> None:
        connection = transaction.connection
        if not transaction.is_postgresql:
            _ = await connection.begin()
        elif transaction.is_writer:
            await connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(self._patience * 1000)}")
        else:
            _ = await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @asynccontextmanager
    async def _turn(self, pool: AsyncEngine, late: StorageError) -> AsyncIterator[None]:
        """Queue for a connection to SQLite here, where waiting costs no thread and can be cancelled."""
        turn = self._turns.get(pool)
        if turn is None:
            yield
            return
        try:
            async with asyncio.timeout(self._patience):
                await turn.acquire()
        except TimeoutError as error:
            raise late from error
        try:
            yield
        finally:
            turn.release()

    async def _connect(self, pool: AsyncEngine) -> AsyncConnection:
        """Open a connection to SQLite to the end even if cancelled: half-open ones are left to the collector."""
        if pool not in self._turns:
            return await pool.connect()
        opening = asyncio.ensure_future(_started(pool))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await (await opening).close()
            raise

    async def _require_schema(self, unit_of_work: SqlUnitOfWork) -> None:
        transaction = unit_of_work._transaction  # noqa: SLF001  # the storage made it
        stored = [row.version_num for row in await transaction.rows(text("SELECT version_num FROM alembic_version"))]
        newest = max(stored, default="")
        if serves(newest):
            return
        if newest > SCHEMA_REVISION:
            raise SchemaMismatchError(
                f"{self._place} has revision {newest}: this program is older than the database (it knows "
                f"{SCHEMA_REVISION}); install the newer one"
            )
        raise SchemaMismatchError(f"{self._place} has revision {newest or 'none'}, not {SCHEMA_REVISION}: {MIGRATE}")


async def _started(pool: AsyncEngine) -> AsyncConnection:
    return await pool.connect()


def _size(pool: AsyncEngine) -> int:
    return cast("QueuePool", pool.pool).size()
