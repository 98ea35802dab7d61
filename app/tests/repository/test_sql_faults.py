"""The SQL store with several processes, broken connections, full disks and writers that wait."""

import asyncio
import sqlite3
import sys
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url, text

import app
from app.core.errors import StorageBusyError, StorageError, StorageUnavailableError
from app.repository.sql import SqlStorage, engine
from app.simulator.servers import FaultProxy, Postgresql
from app.tests.builders import GAZP_M1, SBER_M1, a_candle, a_page, follow, minute
from app.tests.repository.sql_stores import execute, opened, postgresql_only, stored

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


async def test_d2_connections_that_died_in_the_pool_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_IDLE", 0)
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


async def test_d14_a_page_whose_reading_is_cancelled_gives_its_connection_back(sql_storage: SqlStorage) -> None:
    await follow(sql_storage, SBER_M1)
    async with sql_storage.begin() as writer:
        await writer.candles.extend(a_page(range(100)))

    async def read() -> None:
        async with sql_storage.read() as reader:
            for _ in range(100):
                await reader.candles.filter_by_series(SBER_M1).page(SBER_M1)

    async with asyncio.timeout(60):
        for n in range(50):
            task = asyncio.create_task(read())
            await asyncio.sleep(0.0007 * (n % 20))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    assert sql_storage.connections_in_use == 0


async def test_d15_an_exhausted_pool_is_told_in_time(database_url: str) -> None:
    async with (
        opened(database_url, patience=0.1, pool_size=1) as storage,
        storage.read(),
    ):
        with pytest.raises(StorageUnavailableError, match="no connection became free"):
            await stored(storage)


async def _lock(storage: SqlStorage) -> None:
    async with storage.begin() as writer:
        await writer.series.lock(SBER_M1)


async def _on_server(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _migrated(url: str) -> None:
    from app.repository.migrate import migrate  # noqa: PLC0415  # for one server only

    await migrate(url)
