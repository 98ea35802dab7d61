"""Source to store: `python -m app.bench.ingest`. How fast candles are taken in, beside a client that only downloads.

Every way is run in turn within each round, in a process of its own, against one simulator in another process whose
answers are in its memory by then. Ways that store are counted afterwards and verified. Printed are medians and the
ratio to aiomoex, which reads the same pages into lists and keeps nothing.
"""

import argparse
import asyncio
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import aiohttp
import aiomoex
import asyncpg
from rich.console import Console
from rich.progress import track
from rich.table import Table

from app.bootstrap import bootstrap, migrate_store
from app.core.date_time import Timestamp
from app.core.entities import Security, Timeframe
from app.settings import Settings
from app.simulator.servers import Postgresql
from app.use_cases.create_security import create_security
from app.use_cases.update_candles import update_candles
from app.use_cases.verify import verify

WAYS = ("aiomoex", "sqlite", "postgresql")
NOW = Timestamp(datetime(2024, 1, 19, 21, 0, tzinfo=UTC))
_WAIT = 60


@dataclass(frozen=True, slots=True)
class Load:
    """What is loaded: minutes of so many securities over so many days, so many requests at once."""

    securities: int
    days: int
    concurrency: int

    @property
    def tickers(self) -> list[str]:
        return [f"SIM{number:03}" for number in range(self.securities)]

    @property
    def begin(self) -> Timestamp:
        return NOW - timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: candles, seconds of wall time and of this process's CPU, peak memory in megabytes."""

    rows: int
    seconds: float
    cpu: float
    peak: float


def main() -> None:
    """Measure, and print a table."""
    options = _parser().parse_args()
    load = Load(options.securities, options.days, options.concurrency)
    if options.way:
        print(json.dumps(asdict(asyncio.run(_run(options.way, options.source, options.database, load)))))
        return
    _report(load, _measure(load, options.rounds))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app.bench.ingest", description=__doc__)
    parser.add_argument("--securities", type=int, default=8)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    for name in ("--way", "--source", "--database"):  # of the child processes
        parser.add_argument(name, help=argparse.SUPPRESS)
    return parser


def _measure(load: Load, rounds: int) -> dict[str, list[Measured]]:
    runs: dict[str, list[Measured]] = {way: [] for way in WAYS}
    with (
        Postgresql(durable=True) as server,
        simulator("--stopped", "--clock", str(NOW)) as source,
        TemporaryDirectory() as folder,
    ):
        _child("aiomoex", source, "", load)  # the simulator's memory is warm after this
        for number in track(range(rounds), "rounds", console=Console(stderr=True)):
            name = f"bench_{number}"
            asyncio.run(create_database(server.url, name))
            databases = {
                "aiomoex": "",
                "sqlite": f"sqlite+aiosqlite:///{Path(folder) / name}.db",
                "postgresql": server.url_of(name),
            }
            for way in WAYS:
                runs[way].append(_child(way, source, databases[way], load))
    assert len({run.rows for each in runs.values() for run in each}) == 1, "not every way saw the same candles"
    return runs


class simulator:  # noqa: N801  # used as a function
    """A simulator in a process of its own; gives its address."""

    def __init__(self, *options: str) -> None:
        """Take what the simulator is told on its command line."""
        self._options = options

    def __enter__(self) -> str:
        command = [sys.executable, "-m", "app.simulator", "--port", "0", *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        return next(word for word in self._process.stdout.readline().split() if word.startswith("http")).removesuffix(
            "/iss,"
        )

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(_WAIT)


def _child(way: str, source: str, database: str, load: Load) -> Measured:
    arguments = {"--way": way, "--source": source, "--database": database} | {
        f"--{name}": str(value) for name, value in asdict(load).items()
    }
    command = [sys.executable, "-m", "app.bench.ingest", *(word for pair in arguments.items() for word in pair)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


async def _run(way: str, source: str, database: str, load: Load) -> Measured:
    return await (_download(source, load) if way == "aiomoex" else _store(source, database, load))


async def _download(source: str, load: Load) -> Measured:
    """Read every page with aiomoex into memory, series after series in as many lanes as requests are allowed."""
    query: dict[str, str | int] = {"interval": 1, "from": _wall(load.begin), "till": _wall(NOW)}
    tickers = iter(load.tickers)
    rows = 0
    async with aiohttp.ClientSession() as session:

        async def lane() -> None:
            nonlocal rows
            for ticker in tickers:
                url = f"{source}/iss/engines/stock/markets/shares/boards/TQBR/securities/{ticker}/candles.json"
                tables = await aiomoex.ISSClient(session, url, query).get_all()
                rows += len(tables["candles"])

        async with _watched() as watch:
            await asyncio.gather(*(lane() for _ in range(load.concurrency)))
    return watch.measured(rows)


async def _store(source: str, database: str, load: Load) -> Measured:
    """Load the same candles into an empty store, then count and verify them."""
    settings = Settings(
        database_url=database, iss_url=source, clock="source", iss_rate=None, iss_concurrency=load.concurrency,
        load_workers=load.concurrency, redis_url=None,
    )  # fmt: skip
    await migrate_store(settings)
    async with bootstrap(settings) as service:
        for ticker in load.tickers:
            security = Security(ticker, "TQBR")
            await create_security(service.storage, service.adapter, security, since={Timeframe.M1: load.begin})
        async with _watched() as watch:
            outcome = await update_candles(service.storage, service.loader, service.clock)
        assert not outcome.failures, outcome.failures
        async with service.storage.read() as uow:
            rows = await uow.candles.count()
        assert not await verify(service.storage)
    return watch.measured(rows)


class _Watch:
    """Measures from its making to `stop`."""

    def __init__(self) -> None:
        self._cpu, self._start = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        self._seconds, self._used = time.perf_counter() - self._start, time.process_time() - self._cpu
        self._peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def measured(self, rows: int) -> Measured:
        return Measured(rows, self._seconds, self._used, self._peak)


@asynccontextmanager
async def _watched() -> AsyncIterator[_Watch]:
    watch = _Watch()
    yield watch
    watch.stop()


async def create_database(server: str, name: str) -> None:
    """Create an empty database on the server."""
    async with AsyncExitStack() as stack:
        connection = await asyncpg.connect(server.replace("+asyncpg", ""))
        stack.push_async_callback(connection.close)
        await connection.execute(f"CREATE DATABASE {name}")


def _wall(moment: Timestamp) -> str:
    return moment.moscow.strftime("%Y-%m-%d %H:%M:%S")


def _report(load: Load, runs: dict[str, list[Measured]]) -> None:
    rate = {way: median(run.rows / run.seconds for run in each) for way, each in runs.items()}
    rows = runs["aiomoex"][0].rows
    table = Table(title=f"{rows:,} minutes of {load.securities} securities, {load.concurrency} requests at once")
    for heading in ("way", "rows/s", "x aiomoex", "CPU s per million rows", "peak MB"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for way, each in runs.items():
        table.add_row(
            way if way != "aiomoex" else "aiomoex (download only)",
            f"{rate[way]:,.0f}",
            f"{rate[way] / rate['aiomoex']:.2f}",
            f"{median(run.cpu / run.rows for run in each) * 1e6:.2f}",
            f"{max(run.peak for run in each):.0f}",
        )
    console = Console()
    console.print(table)
    console.print(f"medians of {len(runs['aiomoex'])} rounds; {_versions(('aiomoex', 'asyncpg', 'aiosqlite'))}")


def _versions(names: Sequence[str]) -> str:
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)])


if __name__ == "__main__":
    main()
