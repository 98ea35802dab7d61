"""What the SQL store does beyond the contract: several processes, broken connections, the databases' own checks."""

import asyncio
import math
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url, text

import app
from app.core.entities import Security
from app.core.errors import SchemaMismatchError, StorageBusyError, StorageError, StorageUnavailableError
from app.core.pages import CandlePage
from app.repository.sql import SqlStorage
from app.repository.sql.storage import SqlUnitOfWork
from app.simulator.servers import FaultProxy, Postgresql
from app.tests.builders import GAZP_M1, SBER_M1, a_candle, a_card, a_page, a_span, a_state, follow, minute

ROOT = Path(app.__file__).parents[1]
WRITER = """
import asyncio, sys
from app.repository.sql import SqlStorage
from app.tests.builders import SBER_M1, a_page, a_state

async def main(url, first):
    storage = SqlStorage.open(url)
    for n in range(first, first + 50):
        async with storage.begin() as writer:
            state = await writer.series.lock(SBER_M1)
            await writer.candles.extend(a_page([n]))
            await writer.series.add([a_state(version=state.version + 1)])
    await storage.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""
postgresql_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@asynccontextmanager
async def opened(url: str, *, patience: float = 30, pool_size: int = 8) -> AsyncIterator[SqlStorage]:
    storage = SqlStorage.open(url, patience=patience, pool_size=pool_size)
    try:
        yield storage
    finally:
        await storage.close()


async def execute(unit_of_work: SqlUnitOfWork, statement: str) -> None:
    """Go past the repositories, as a careless hand would."""
    await unit_of_work._transaction.write(text(statement))


async def stored(storage: SqlStorage) -> CandlePage:
    async with storage.read() as reader:
        return await reader.candles.page(SBER_M1)


async def test_d5_processes_write_one_store_and_lose_nothing(sql_storage: SqlStorage, database_url: str) -> None:
    await follow(sql_storage, SBER_M1)
    command = (sys.executable, "-c", WRITER, database_url)
    processes = [await asyncio.create_subprocess_exec(*command, str(n * 50), cwd=ROOT) for n in range(3)]

    assert [await process.wait() for process in processes] == [0, 0, 0]
    assert await stored(sql_storage) == a_page(range(150))
    async with sql_storage.read() as reader:
        assert (await reader.series.get(SBER_M1)).version == 150


async def test_d12_a_writer_that_waits_too_long_is_told_and_readers_go_on(sqlite_url: str) -> None:
    async with opened(sqlite_url, patience=0.2) as storage:
        await follow(storage, SBER_M1)
        other_process = sqlite3.connect(make_url(sqlite_url).database or "", isolation_level=None)
        other_process.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageBusyError, match="longer than the patience"):
            await follow(storage, GAZP_M1)

        assert await stored(storage) == a_page([])

        other_process.close()
        await follow(storage, GAZP_M1)


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
async def test_writers_of_one_process_wait_no_longer_than_the_patience(database_url: str) -> None:
    async with opened(database_url, patience=0.2) as storage:
        await follow(storage, SBER_M1)
        async with storage.begin() as writer:
            await writer.series.lock(SBER_M1)
            with pytest.raises(StorageBusyError, match="longer than the patience"):
                await _lock(storage)


@postgresql_only
async def test_d6_of_two_writers_that_wait_for_each_other_one_is_busy(sql_storage: SqlStorage) -> None:
    await follow(sql_storage, SBER_M1, GAZP_M1)
    both = asyncio.Barrier(2)

    async def lock(first: object, then: object) -> None:
        async with sql_storage.begin() as writer:
            await writer.series.lock(first)  # type: ignore[arg-type]  # a series
            await both.wait()
            await writer.series.lock(then)  # type: ignore[arg-type]  # a series

    results = await asyncio.gather(lock(SBER_M1, GAZP_M1), lock(GAZP_M1, SBER_M1), return_exceptions=True)

    assert [type(result) for result in results if result] == [StorageBusyError]


@postgresql_only
@pytest.mark.parametrize("number", ["'NaN'", "'Infinity'", "'-Infinity'"])
@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume", "value"])
async def test_postgresql_itself_refuses_what_is_no_number(sql_storage: SqlStorage, column: str, number: str) -> None:
    await _refuses(sql_storage, column, number)


@sqlite_only
@pytest.mark.parametrize("number", ["NULL", "9e999", "-9e999"])
@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume", "value"])
async def test_sqlite_itself_refuses_what_is_no_number(sql_storage: SqlStorage, column: str, number: str) -> None:
    await _refuses(sql_storage, column, number)


@pytest.mark.parametrize(
    ("column", "number"), [("high", "1"), ("low", "3"), ("open", "9"), ("close", "-9"), ("volume", "-1")]
)
async def test_the_database_itself_refuses_what_makes_no_candle(
    sql_storage: SqlStorage, column: str, number: str
) -> None:
    await _refuses(sql_storage, column, number)


@pytest.mark.parametrize("write", ["add", "extend"])
async def test_a_page_with_nan_is_refused_whole(sql_storage: SqlStorage, write: str) -> None:
    await follow(sql_storage, SBER_M1)
    page = CandlePage.from_rows(SBER_M1, [(0, 1, 1, 1, 1, 1, 1, 1), (60, 1, math.nan, 1, 1, 1, 1, 1)])

    async def put() -> None:
        async with sql_storage.begin() as writer:
            await getattr(writer.candles, write)(page)

    with pytest.raises(StorageError):
        await put()

    assert not await stored(sql_storage)


@postgresql_only
async def test_postgresql_itself_refuses_spans_that_overlap(sql_storage: SqlStorage) -> None:
    await follow(sql_storage, SBER_M1)
    async with sql_storage.begin() as writer:
        await writer.spans.add([a_span(0, 5)])

    with pytest.raises(StorageError, match="ex_candle_span_overlap"):
        await _execute_alone(
            sql_storage,
            "INSERT INTO candle_span SELECT series_id, time_from + interval '1 minute', time_till FROM candle_span",
        )


@pytest.mark.parametrize("statement", ["INSERT INTO source (id, name) VALUES (1, 'x')", "CREATE TABLE x (y INTEGER)"])
async def test_the_readers_connection_itself_cannot_write(sql_storage: SqlStorage, statement: str) -> None:
    async with sql_storage.read() as reader:
        with pytest.raises(StorageError):
            await reader._transaction.rows(text(statement))


async def test_rows_are_written_in_the_order_of_their_keys(sqlite_url: str) -> None:
    async with opened(sqlite_url) as storage, storage.begin() as uow:
        await uow.securities.add(a_card(Security(ticker, "TQBR")) for ticker in ("SBER", "AFLT", "GAZP"))
        written = await uow._transaction.rows(text("SELECT ticker FROM security ORDER BY id"))

    assert [ticker for (ticker,) in written] == ["AFLT", "GAZP", "SBER"]


@postgresql_only
async def test_equal_rows_are_not_rewritten(sql_storage: SqlStorage) -> None:
    await follow(sql_storage, SBER_M1)
    await _write_everything(sql_storage)
    before = await _row_versions(sql_storage)
    await _write_everything(sql_storage)

    assert await _row_versions(sql_storage) == before


@postgresql_only
async def test_a_replaced_state_uses_up_no_id(sql_storage: SqlStorage) -> None:
    await follow(sql_storage, SBER_M1)
    for version in range(5):
        async with sql_storage.begin() as writer:
            await writer.series.add([a_state(version=version)])
    await follow(sql_storage, GAZP_M1)

    async with sql_storage.read() as reader:
        rows = await reader._transaction.rows(text("SELECT id FROM series ORDER BY id"))
    assert [row.id for row in rows] == [1, 2]


@postgresql_only
async def test_d1_a_killed_backend_stores_nothing(sql_storage: SqlStorage, postgresql: str) -> None:
    await follow(sql_storage, SBER_M1)

    async def write() -> None:
        async with sql_storage.begin() as writer:
            await writer.candles.extend(a_page(range(1_000)))
            [(pid,)] = await writer._transaction.rows(text("SELECT pg_backend_pid()"))
            await _on_server(postgresql, f"SELECT pg_terminate_backend({pid}, 5000)")
            await writer.candles.extend(a_page(range(1_000, 2_000)))

    with pytest.raises(StorageUnavailableError):
        await write()

    assert not await stored(sql_storage)


@postgresql_only
async def test_d1_a_backend_killed_before_the_commit_stores_nothing(sql_storage: SqlStorage, postgresql: str) -> None:
    await follow(sql_storage, SBER_M1)

    async def write() -> None:
        async with sql_storage.begin() as writer:
            await writer.candles.extend(a_page([0]))
            [(pid,)] = await writer._transaction.rows(text("SELECT pg_backend_pid()"))
            await _on_server(postgresql, f"SELECT pg_terminate_backend({pid}, 5000)")

    with pytest.raises(StorageUnavailableError):
        await write()

    assert not await stored(sql_storage)


async def test_d2_connections_that_died_in_the_pool_are_replaced() -> None:
    with Postgresql(durable=True) as server:
        await _migrated(server.url)
        async with opened(server.url) as storage:
            await follow(storage, SBER_M1)
            server.kill()
            with pytest.raises(StorageUnavailableError):
                await stored(storage)
            server.start()

            assert await stored(storage) == a_page([])


async def test_d3_a_commit_whose_answer_is_lost_can_be_repeated(postgresql_url: str) -> None:
    parsed = make_url(postgresql_url)
    async with FaultProxy(parsed.host or "", parsed.port or 5432) as proxy:
        through = parsed.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        async with opened(through) as storage:
            await follow(storage, SBER_M1)

            async def write(*, break_before_commit: bool) -> None:
                async with storage.begin() as writer:
                    await writer.candles.add(a_page(range(10)))
                    proxy.swallows = break_before_commit
                    if break_before_commit:
                        asyncio.get_running_loop().call_later(0.1, proxy.cut)

            with pytest.raises(StorageUnavailableError):
                await write(break_before_commit=True)
            proxy.swallows = False
            await write(break_before_commit=False)

            assert await stored(storage) == a_page(range(10))


async def test_d8_a_full_disk_stores_nothing_and_reading_goes_on(sqlite_url: str) -> None:
    async with opened(sqlite_url) as storage:
        await follow(storage, SBER_M1)

        async def fill() -> None:
            async with storage.begin() as writer:
                await execute(writer, "PRAGMA max_page_count = 1")
                await writer.candles.extend(a_page(range(5_000)))

        with pytest.raises(StorageError, match="full"):
            await fill()

        assert await stored(storage) == a_page([])


async def test_d13_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "broken.db"
    file.write_bytes(b"no database at all" * 100)
    async with opened(f"sqlite:///{file}") as storage:
        with pytest.raises(StorageError, match=r"broken\.db.*not a database"):
            await storage.check("moex")
        with pytest.raises(StorageError, match=r"broken\.db.*not a database"):
            await follow(storage, SBER_M1)


async def test_d14_cancelled_work_gives_its_connection_back(sql_storage: SqlStorage) -> None:
    await follow(sql_storage, SBER_M1)

    async def work(n: int) -> None:
        async with sql_storage.read() as reader:
            await reader.candles.count()
        async with sql_storage.begin() as writer:
            await writer.series.lock(SBER_M1)
            await writer.candles.add([a_candle(n)])

    for n in range(100):
        tasks = [asyncio.create_task(work(n)) for _ in range(3)]
        for _ in range(n % 20):
            await asyncio.sleep(0.0005)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await work(1_000)

    assert sql_storage.connections_in_use == 0
    assert minute(1_000) in [candle.timestamp for candle in await stored(sql_storage)]


async def test_d15_an_exhausted_pool_is_told_in_time(database_url: str) -> None:
    async with (
        opened(database_url, patience=0.1, pool_size=1) as storage,
        storage.read(),
    ):
        with pytest.raises(StorageUnavailableError, match="no connection became free"):
            await stored(storage)


async def test_opening_connects_to_nothing() -> None:
    async with opened("postgresql://me:geheim@127.0.0.1:1/candles") as storage:
        assert storage.connections_in_use == 0


async def test_no_error_tells_the_password() -> None:
    async with opened("postgresql://me:geheim@127.0.0.1:1/candles") as storage:
        with pytest.raises(StorageUnavailableError, match=r"PostgreSQL 127\.0\.0\.1:1/candles") as caught:
            await storage.check("moex")

    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "geheim",
        "mysql://me:geheim@host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://me:se@geheim/more@127.0.0.1:abc/db",
        "postgresql://me:se@geheim@host/db",
        "postgresql://me:secret@host:geheim/db",
    ],
)
def test_a_url_that_names_no_database_of_ours_is_refused(url: str) -> None:
    with pytest.raises(StorageError, match="DATABASE_URL") as caught:
        SqlStorage.open(url)

    assert "geheim" not in str(caught.value)


async def test_a_database_that_does_not_exist_is_unavailable(postgresql_url: str) -> None:
    absent = make_url(postgresql_url).set(database="nowhere").render_as_string(hide_password=False)
    async with opened(absent) as storage:
        with pytest.raises(StorageUnavailableError, match="nowhere"):
            await storage.check("moex")


async def test_tables_that_vanish_are_a_matter_of_migration(sql_storage: SqlStorage) -> None:
    async with sql_storage.begin() as writer:
        await execute(writer, "DROP TABLE quarantine")

    async with sql_storage.read() as reader:
        with pytest.raises(SchemaMismatchError, match="migrate"):
            await reader.quarantine.count()


@pytest.mark.parametrize(
    ("database_url", "rows"), [("sqlite", 5_000), ("postgresql", 50_000)], indirect=["database_url"]
)
async def test_a_batch_is_as_large_as_the_database_likes(sql_storage: SqlStorage, rows: int) -> None:
    assert sql_storage.batch_rows == rows


@sqlite_only
async def test_sqlite_works_as_we_set_it(sql_storage: SqlStorage) -> None:
    async with sql_storage.begin() as writer:
        found = [
            (await writer._transaction.rows(text(f"PRAGMA {pragma}")))[0][0]
            for pragma in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        ]

    assert found == ["wal", 1, 1, 30_000]


async def _lock(storage: SqlStorage) -> None:
    async with storage.begin() as writer:
        await writer.series.lock(SBER_M1)


async def _execute_alone(storage: SqlStorage, statement: str) -> None:
    async with storage.begin() as writer:
        await execute(writer, statement)


async def _refuses(storage: SqlStorage, column: str, number: str) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        await writer.candles.add([a_candle()])
    with pytest.raises(StorageError, match="candle"):
        await _execute_alone(storage, f"UPDATE candle SET {column} = {number}")  # noqa: S608

    assert await stored(storage) == a_page([0])


async def _write_everything(storage: SqlStorage) -> None:
    async with storage.begin() as writer:
        await writer.securities.add([a_card()])
        await writer.series.add([a_state()])
        await writer.candles.add(a_page(range(10)))
        await writer.spans.add([a_span(0, 10), a_span(2, 4)])


async def _row_versions(storage: SqlStorage) -> list[tuple[object, ...]]:
    tables = ("security", "series", "candle", "candle_span")
    statement = " UNION ALL ".join(f"SELECT '{name}' AS name, xmin::text, ctid::text FROM {name}" for name in tables)  # noqa: S608
    async with storage.read() as reader:
        return sorted((row.name, row.xmin, row.ctid) for row in await reader._transaction.rows(text(statement)))


async def _on_server(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _migrated(url: str) -> None:
    from app.repository.migrate import migrate  # noqa: PLC0415  # for one server only

    await migrate(url)
