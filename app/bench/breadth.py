"""Many securities at once: `python -m app.bench.breadth`. What a day of minutes of each costs beside its requests.

Every answer takes 40 ms, and so many requests run at once: requests / at once x 40 ms is what waiting alone costs. The
time of a load into an empty store, from the first request to the last commit, is printed as a multiple of that. The
simulator runs in a process of its own.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import Request, urlopen

from app.bench.measuring import create_database, publish, rounds, simulator, versions
from app.bootstrap import Service, bootstrap, migrate_store
from app.core.date_time import Timestamp
from app.core.entities import Security, Timeframe
from app.settings import Settings
from app.simulator.servers import Postgresql
from app.use_cases.create_security import create_security
from app.use_cases.update_candles import update_candles
from app.use_cases.verify import verify

LATENCY = 0.04
BEGIN = Timestamp.midnight(date(2024, 1, 18))
END = Timestamp.midnight(date(2024, 1, 19))


@dataclass(frozen=True, slots=True)
class Measured:
    """One load: requests, the most of them within the time of one answer, candles, seconds of time and of CPU."""

    requests: int
    peak: int
    rows: int
    seconds: float
    cpu: float

    def ratio(self, at_once: int) -> float:
        """Return the time as a multiple of what waiting alone costs."""
        return self.seconds / (ceil(self.requests / at_once) * LATENCY)


def main() -> None:
    """Measure, print a table, and write it down."""
    parser = argparse.ArgumentParser(prog="python -m app.bench.breadth", description=__doc__)
    parser.add_argument("--securities", type=int, default=40)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    runs: dict[str, list[Measured]] = {"SQLite": [], "PostgreSQL": []}
    with Postgresql(durable=True) as server, simulator() as source, TemporaryDirectory() as folder:
        for number in rounds(options.rounds + 1):  # the first one warms the simulator up
            name = f"bench_{number}"
            create_database(server.url, name)
            databases = {"SQLite": f"sqlite+aiosqlite:///{Path(folder) / name}.db", "PostgreSQL": server.url_of(name)}
            for way, database in databases.items():
                measured = asyncio.run(_load(source, database, options.securities, options.concurrency))
                runs[way] += [measured] if number else []
    _report(runs, options.securities, options.concurrency)


async def _load(source: str, database: str, securities: int, at_once: int) -> Measured:
    """Follow the securities, load one trading day, and verify it."""
    settings = Settings(
        database_url=database, iss_url=source, source_name="simulator", iss_rate=None, iss_concurrency=at_once,
        redis_url=None,
    )  # fmt: skip
    await migrate_store(settings)
    async with bootstrap(settings) as service:
        for number in range(securities):
            security = Security(f"SIM{number:03}", "TQBR")
            await create_security(service.storage, service.adapter, security, since={Timeframe.M1: BEGIN})
        with _slow(source):
            return await _timed(service, source)


async def _timed(service: Service, source: str) -> Measured:
    await asyncio.to_thread(_control, source, "requests", "DELETE")
    began, used = time.perf_counter(), time.process_time()
    outcome = await update_candles(service.storage, service.loader, service.clock, time_till=END)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    log = (await asyncio.to_thread(_control, source, "requests"))["requests"]
    assert not outcome.failures, outcome.failures
    assert not await verify(service.storage)
    return Measured(len(log), _peak(log), sum(outcome.rows.values()), seconds, cpu)


def _peak(log: list[dict[str, str]]) -> int:
    """Return how many requests came at most within the time that one takes."""
    came = sorted(datetime.fromisoformat(request["real"]) for request in log)
    return max(sum(first <= each < first + timedelta(seconds=LATENCY) for each in came) for first in came)


@contextmanager
def _slow(source: str) -> Iterator[None]:
    _control(source, "faults", "POST", {"kind": "slow", "seconds": LATENCY, "times": None})
    yield
    _control(source, "faults", "DELETE")


def _control(source: str, what: str, method: str = "GET", body: object = None) -> Any:  # noqa: ANN401  # JSON
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"{source}/control/{what}", data, method=method)) as answer:  # noqa: S310  # our simulator
        return json.load(answer)


def _report(runs: dict[str, list[Measured]], securities: int, at_once: int) -> None:
    rows = [
        [
            way,
            str(each[0].requests),
            str(max(run.peak for run in each)),
            f"{each[0].rows:,}",
            f"{median(run.cpu for run in each):.2f}",
            f"{median(run.seconds for run in each):.2f}",
            f"{median(run.ratio(at_once) for run in each):.2f}",
        ]
        for way, each in runs.items()
    ]
    publish(
        "breadth",
        f"a day's minutes of {securities} securities, {at_once} requests at once, 40 ms each",
        ("into", "requests", "in flight", "candles", "CPU s", "seconds", "x waiting"),
        rows,
        f"Medians of {len(runs['SQLite'])} rounds; {versions('aiohttp', 'asyncpg', 'aiosqlite')}",
    )


if __name__ == "__main__":
    main()
