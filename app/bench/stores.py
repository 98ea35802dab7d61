"""Ways to store candles: ours, and what the databases take at least. Before and after the clock runs they prepare."""

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import asyncpg

from app.bench.downloads import Measured, of_each_page
from app.bench.loads import Load, in_lanes
from app.bench.measuring import Watch, server_cpu
from app.bootstrap import Service, bootstrap, migrate_store
from app.core.entities import Series
from app.core.market_data import LoadOutcome
from app.market_data_adapter.parsing import parse_candles
from app.repository.sql.columns import pack
from app.settings import Settings
from app.use_cases.create_security import create_security
from app.use_cases.update_candles import update_candles
from app.use_cases.verify import verify

_BATCH = 50_000
_TICK = 0.001
_ORDERED = "SELECT * FROM candle ORDER BY series_id, timeframe, begin"


def settings(load: Load, source: str) -> Settings:
    """Configure the service as a user does who may ask as often as he likes."""
    return Settings(
        database_url=load.database, iss_url=source, source_name="benchmark", clock="source", iss_rate=None,
        iss_concurrency=load.at_once, redis_url=None, log_level="WARNING",
    )  # fmt: skip


def program(load: Load, *arguments: str, redis_url: str = "off") -> list[str]:
    """Write the command that runs our command line with these settings, in a process of its own and in any folder."""
    chosen = settings(load, load.source)
    values = {
        "DATABASE_URL": chosen.database_url,
        "REDIS_URL": redis_url,
        "ISS_URL": chosen.iss_url,
        "SOURCE_NAME": chosen.source,
        "CLOCK": chosen.clock,
        "ISS_RATE": "off",
        "ISS_CONCURRENCY": chosen.iss_concurrency,
        "LOG_LEVEL": "ERROR",
        "PYTHONPATH": Path.cwd(),
    }
    given = (f"{name}={value}" for name, value in values.items())
    return ["env", *given, sys.executable, "-m", "app.io.cli", *arguments]


async def decoded(load: Load) -> Measured:
    """Read each page with aiohttp, check it and pack it as COPY takes it, as we do on the way to PostgreSQL."""

    def packed(body: bytes, series: Series) -> int:
        page = parse_candles(body, series)
        assert sum(map(len, pack(page.candles, 1)))
        return page.raw_count

    return await of_each_page(load, packed)


async def stored(load: Load, beside: AbstractContextManager[object] | None = None) -> Measured:
    """Load candles into an empty store, while something else looks on."""
    await follow(load)
    async with bootstrap(settings(load, load.source)) as service:
        with beside or nullcontext(), _measuring(load) as found:
            outcome = await update_candles(service.storage, service.loader, service.clock)
        return found | {"rows": await _checked(service, outcome)}


async def again(load: Load) -> Measured:
    """Read all candles of a loaded store once more: nothing may be written."""
    async with bootstrap(settings(load, load.source)) as service:
        before = await _fingerprint(service, load)
        with _measuring(load) as found:
            outcome = await update_candles(
                service.storage, service.loader, service.clock, time_from=load.begin, again=True
            )
        assert not outcome.rows
        assert await _fingerprint(service, load) == before
        return found | {"rows": await _checked(service, outcome)}


async def watched(load: Load) -> Measured:
    """Load into an empty store beside a coroutine that wants to go on each millisecond.

    In milliseconds: `late` is by how much it had to wait longer at most, `held` the most CPU that its thread used for
    others meanwhile. The one is what is felt on this machine with all that runs there, the other our own doing.
    """
    await follow(load)
    async with bootstrap(settings(load, load.source)) as service, _ticking() as waits:
        outcome = await update_candles(service.storage, service.loader, service.clock)
    return {"rows": sum(outcome.rows.values()), "late": 1_000 * waits.late, "held": 1_000 * waits.held}


async def copied(load: Load) -> Measured:
    """COPY what is stored elsewhere, ready as it is, into the empty table."""
    batches = await _binary(load.copy_of)
    await migrate_store(settings(load, load.source))
    async with asyncpg.create_pool(_driverless(load.database), min_size=load.at_once, max_size=load.at_once) as pool:

        async def write(batch: bytes) -> int:
            done = await pool.copy_to_table("candle", source=BytesIO(batch), format="binary")
            return int(done.split()[1])

        with _measuring(load) as found:
            rows = await in_lanes(batches, load.at_once, write)
        assert await pool.fetchval("SELECT count(*) FROM candle") == rows
    return found | {"rows": rows}


async def _binary(database: str) -> list[bytes]:
    batches = []
    connection = await asyncpg.connect(_driverless(database))
    for start in range(0, await connection.fetchval("SELECT count(*) FROM candle"), _BATCH):
        batch = BytesIO()
        await connection.copy_from_query(f"{_ORDERED} LIMIT {_BATCH} OFFSET {start}", output=batch, format="binary")
        batches.append(batch.getvalue())
    await connection.close()
    return batches


async def executed(load: Load) -> Measured:
    """Insert the tuples that are stored elsewhere into an empty SQLite table, with executemany."""
    with closing(sqlite3.connect(_file(load.copy_of))) as loaded:
        rows = loaded.execute(_ORDERED).fetchall()
    await migrate_store(settings(load, load.source))
    insert = f"INSERT INTO candle VALUES ({', '.join('?' * len(rows[0]))})"  # noqa: S608  # question marks
    with closing(sqlite3.connect(_file(load.database))) as store:
        store.execute("PRAGMA synchronous = NORMAL")  # as ours
        with _measuring(load) as found:
            for start in range(0, len(rows), _BATCH):
                with store:
                    store.executemany(insert, rows[start : start + _BATCH])
        assert store.execute("SELECT count(*) FROM candle").fetchone() == (len(rows),)
    return found | {"rows": len(rows)}


async def follow(load: Load) -> None:
    """Migrate an empty store and follow the securities."""
    chosen = settings(load, load.quick or load.source)
    await migrate_store(chosen)
    async with bootstrap(chosen) as service:
        for series in load.all_series:
            since = {series.timeframe: load.begin}
            await create_security(service.storage, service.adapter, series.security, since=since)


@dataclass(slots=True)
class _Waits:
    """The longest there were, in seconds."""

    late: float = 0.0
    held: float = 0.0


@contextmanager
def _measuring(load: Load) -> Iterator[Measured]:
    """Measure the block; its cost is there when it ends, with the CPU of the database's server."""
    found: Measured = {}
    before = server_cpu(load.server) if load.server else 0.0
    watch = Watch()
    yield found
    found |= asdict(watch.stop())
    found["server"] = server_cpu(load.server) - before if load.server else 0.0


async def _checked(service: Service, outcome: LoadOutcome) -> int:
    """Return how many candles are stored, of which nothing contradicts the promises of the store."""
    assert not outcome.failures, outcome.failures
    assert not await verify(service.storage)
    async with service.storage.read() as uow:
        return await uow.candles.count()


async def _fingerprint(service: Service, load: Load) -> object:
    """Return what changes with any row that is written: versions of the series; on PostgreSQL those of the rows."""
    async with service.storage.read() as uow:
        versions = {state.series: (state.version, state.history_version) async for state in uow.series}
    if not load.server:
        return versions
    connection = await asyncpg.connect(_driverless(load.database))
    rows = await connection.fetchrow("SELECT count(*), sum(xmin::text::numeric) FROM candle")
    await connection.close()
    return versions, rows


@asynccontextmanager
async def _ticking() -> AsyncIterator[_Waits]:
    waits = _Waits()

    async def tick() -> None:
        while True:
            begun, used = time.perf_counter(), time.thread_time()
            await asyncio.sleep(_TICK)
            waits.late = max(waits.late, time.perf_counter() - begun - _TICK)
            waits.held = max(waits.held, time.thread_time() - used)

    ticking = asyncio.create_task(tick())
    yield waits
    ticking.cancel()
    with suppress(asyncio.CancelledError):
        await ticking


def _driverless(url: str) -> str:
    return url.replace("+asyncpg", "")


def _file(url: str) -> Path:
    return Path(url.partition(":///")[2])
