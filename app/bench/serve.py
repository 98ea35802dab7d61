"""Giving out: `python -m app.bench.serve`. Candles over REST beside fixed bytes and the usual way, on both databases.

Every server is a process of its own, and so is what asks them, over sixteen connections. Answers are compared, byte
for byte, with one whose candles were compared with what is stored. Cold: nothing is kept in process, and each request
asks for another window. Warm: what was asked for before, as charts that are shown again do. Warm days: other windows of
days that are kept, so many that none is kept as a whole.
"""

import argparse
import asyncio
import gzip
import json
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from http import HTTPStatus
from statistics import median
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode, urlsplit

from rich.console import Console
from rich.progress import track

from app.bench.measuring import create_database, goal, publish, ratio, server_cpu, versions
from app.bench.process import Process
from app.bootstrap import bootstrap, migrate_store
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Security, SecurityCard, Series, SeriesState, Timeframe
from app.core.pages import CandlePage
from app.settings import Settings
from app.simulator.servers import Postgresql
from app.use_cases.verify import verify

CONNECTIONS = 16
FEW, MANY = 500, 10_000
CACHE = 64
"""Megabytes, as by default: a quarter of them has room for some two hundred answers of 500 candles."""
OTHERS = 3
"""Times the windows: more than have room as a whole."""
SERIES = Series(Security("SBER", "TQBR"), Timeframe.M1)
FIRST_DAY = date(2022, 9, 12)

Measured = Mapping[str, float]
_GZIP = {"Accept-Encoding": "gzip, deflate, br"}

_MINUTES = range(10 * 60, 18 * 60 + 50)  # of a trading day in Moscow
_PATIENCE = 60
_START = 5


@dataclass(frozen=True, slots=True)
class Way:
    """One way of answering: which process is asked what, and beside which way it is put."""

    name: str
    candles: int
    process: Process
    requests: Sequence[dict[str, Any]]
    beside: str


def main() -> None:
    """Measure, and print a table."""
    options = _options()
    page = _candles(options.days)
    runs: dict[str, list[dict[str, float]]] = {}
    with ExitStack() as stack:
        postgresql = stack.enter_context(Postgresql(durable=True))
        folder = stack.enter_context(TemporaryDirectory())
        create_database(postgresql.url, "bench")
        databases = {"PostgreSQL": postgresql.url_of("bench"), "SQLite": f"sqlite+aiosqlite:///{folder}/candles.db"}
        for database in databases.values():
            asyncio.run(_store(database, page))
        ways = _ways(stack, databases, _Windows(page, options.windows))
        for _ in track(range(options.rounds), "rounds", console=Console(stderr=True)):
            for way in ways:
                runs.setdefault(way.name, []).append(_measure(way, options.seconds, postgresql.pid))
        for database in databases.values():
            asyncio.run(_verify(database, len(page)))
    _report(ways, runs, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.bench.serve", description=__doc__)
    parser.add_argument("--days", type=int, default=400, help="trading days of minutes that are stored")
    parser.add_argument("--windows", type=int, default=120, help="windows that are asked for in turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.7, help="of each way in each round")
    return parser.parse_args()


def _candles(days: int) -> CandlePage:
    """Make minutes of trading days with prices of two decimals."""
    chance, rows, price = random.Random(1), [], 27_000  # noqa: S311  # made up, and the same each time
    weekdays = (FIRST_DAY + timedelta(days=n) for n in range(2 * days))
    for day in [day for day in weekdays if day.weekday() < 5][:days]:  # noqa: PLR2004
        midnight = Timestamp.midnight(day).unix
        for minute in _MINUTES:
            close = price + chance.randint(-20, 20)
            low, high = min(price, close) - chance.randint(0, 9), max(price, close) + chance.randint(0, 9)
            volume = 10 * chance.randint(1, 9_999)
            prices = (price / 100, high / 100, low / 100, close / 100, float(volume), round(volume * close / 100, 2))
            rows.append((midnight + 60 * minute, *prices, 1))
            price = close
    return CandlePage.from_rows(SERIES, rows)


def _end(page: CandlePage) -> Timestamp:
    return Timestamp.midnight(page[-1].timestamp.moscow.date() + timedelta(days=1))


async def _store(database: str, page: CandlePage) -> None:
    """Store candles with what covers them, as a load leaves them."""
    settings = Settings(_env_file=None, database_url=database, source_name="bench", redis_url=None)
    await migrate_store(settings)
    begin, end = Timestamp.midnight(FIRST_DAY), _end(page)
    async with bootstrap(settings) as service, service.storage.begin() as uow:
        await uow.claim_source("bench")
        await uow.securities.add([SecurityCard(SERIES.security, "stock", "shares")])
        await uow.series.add([SeriesState(SERIES, begin, end, end, version=1, history_version=1, first_candle=begin)])
        for start in range(0, len(page), service.storage.batch_rows):
            await uow.candles.extend(page[start : start + service.storage.batch_rows])
        await uow.spans.add([CandleSpan(SERIES.security, SERIES.timeframe, begin, end)])


async def _verify(database: str, rows: int) -> None:
    settings = Settings(_env_file=None, database_url=database, source_name="bench", redis_url=None)
    async with bootstrap(settings) as service:
        async with service.storage.read() as uow:
            assert await uow.candles.count() == rows
        assert not await verify(service.storage)


class _Windows:
    """Which candles are asked for, and what must come."""

    def __init__(self, page: CandlePage, count: int) -> None:
        self.page, self._count = page, count

    def of(self, candles: int, times: int = 1) -> list[int]:
        """Return where windows of so many candles begin."""
        chance = random.Random(candles)  # noqa: S311
        count = max(10, times * self._count * FEW // candles)
        return [chance.randrange(len(self.page) - candles) for _ in range(count)]

    def ours(
        self, process: Process, candles: int, *, times: int = 1, headers: Mapping[str, str] = MappingProxyType({})
    ) -> list[dict[str, Any]]:
        """Ask for each window twice, the second time of what is kept by then, and check what comes."""
        requests = []
        for start in self.of(candles, times):
            query = {
                "security": "TQBR:SBER", "timeframe": "M1", "from": self.page.begins[start],
                "till": _end(self.page).unix, "limit": candles,
            }  # fmt: skip
            target = f"/v1/candles?{urlencode(query)}"
            expected = [_plain(row) for row in self.page[start : start + candles].rows]
            bodies = {process.get(target, **headers)[2] for _ in range(2)}
            assert len(bodies) == 1, "cold and warm differ"
            body = bodies.pop()
            text = gzip.decompress(body) if headers else body
            assert [list(each.values()) for each in json.loads(text)["candles"]] == expected
            requests.append(_request(target, body, headers=headers))
        return requests

    def peers(self, process: Process, candles: int) -> list[dict[str, Any]]:
        requests = []
        for start in self.of(candles):
            begin = datetime.fromtimestamp(self.page.begins[start], UTC).isoformat()
            target = f"/peer?{urlencode({'time_from': begin, 'limit': candles})}"
            body = process.get(target)[2]
            expected = [_plain(row) for row in self.page[start : start + candles].rows]
            assert [list(each.values()) for each in json.loads(body)["candles"]] == expected
            requests.append(_request(target, body))
        return requests


def _plain(row: Sequence[Any]) -> list[Any]:
    begin = datetime.fromtimestamp(row[0], UTC).isoformat().replace("+00:00", "Z")
    return [begin, *row[1:7], bool(row[7])]


def _request(
    target: str, body: bytes, *, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    digest = blake2b(body, digest_size=16).hexdigest()
    return {"target": target, "headers": dict(headers), "status": status, "digest": digest}


def _ways(stack: ExitStack, databases: Mapping[str, str], windows: _Windows) -> list[Way]:
    def started(*arguments: object) -> Process:
        process = Process(*arguments)
        stack.callback(process.stop)
        return process

    kept = started("service", "--database", databases["PostgreSQL"], "--cache", CACHE)
    pair = started("service", "--database", databases["PostgreSQL"], "--cache", CACHE, "--processes", 2)
    cold = {name: started("service", "--database", url) for name, url in databases.items()}
    cold_pair = started("service", "--database", databases["PostgreSQL"], "--processes", 2)
    peers = {name: started("peer", "--database", url) for name, url in databases.items()}
    warm = {candles: windows.ours(kept, candles) for candles in (FEW, MANY)}
    sizes = {candles: len(kept.get(warm[candles][0]["target"])[2]) for candles in (FEW, MANY)}
    fixed = started("fixed", "--bytes", *sizes.values())
    ways = []
    for candles in (FEW, MANY):
        name = f"fixed bytes, {candles:,}"
        target = f"/fixed/{sizes[candles]}"
        ways += [
            Way(name, candles, fixed, [_request(target, b"x" * sizes[candles])], name),
            Way(f"warm, {candles:,}", candles, kept, warm[candles], name),
            Way(f"warm, gzip, {candles:,}", candles, kept, windows.ours(kept, candles, headers=_GZIP), name),
        ]
        for database in databases:
            peer = f"row to model, {database}, {candles:,}"
            ways += [
                Way(f"cold, {database}, {candles:,}", candles, cold[database],
                    windows.ours(cold[database], candles), name),
                Way(peer, candles, peers[database], windows.peers(peers[database], candles), name),
            ]  # fmt: skip
    ways += _small(kept, windows, f"fixed bytes, {FEW:,}")
    few = f"fixed bytes, {FEW:,}"
    return [
        *ways,
        Way("warm days, 500", FEW, kept, windows.ours(kept, FEW, times=OTHERS), few),
        Way("two processes, warm, 500", FEW, pair, windows.ours(pair, FEW) and windows.ours(pair, FEW), few),
        Way("two processes, cold, PostgreSQL, 500", FEW, cold_pair, windows.ours(cold_pair, FEW), few),
    ]


def _small(process: Process, windows: _Windows, beside: str) -> list[Way]:
    """Ask for the newest candles, and whether what is at hand still holds."""
    newest = {last: _newest(process, windows, last) for last in (1, FEW)}
    closed = windows.ours(process, FEW)[0]["target"]
    tag = process.get(closed)[1]["etag"]
    at_hand = {"If-None-Match": tag}
    assert process.get(closed, **at_hand)[0] == HTTPStatus.NOT_MODIFIED
    return [
        Way("newest candle", 1, process, [newest[1]], beside),
        Way(f"newest {FEW:,}", FEW, process, [newest[FEW]], beside),
        Way("304", 0, process, [_request(closed, b"", status=304, headers=at_hand)], beside),
    ]


def _newest(process: Process, windows: _Windows, last: int) -> dict[str, Any]:
    """Ask for the newest candles, up to now; what will be answered a minute later nobody knows."""
    target = f"/v1/candles?{urlencode({'security': 'TQBR:SBER', 'timeframe': 'M1', 'last': last})}"
    body = process.get(target)[2]
    expected = [_plain(row) for row in windows.page[-last:].rows]
    assert [list(each.values()) for each in json.loads(body)["candles"]] == expected
    return {**_request(target, body), "digest": None}


def _await_time(seconds: float) -> None:
    """Wait for the next minute, in which another answer is due, if it comes before so many seconds are over."""
    left = 60 - time.time() % 60
    if left < seconds + _START:
        time.sleep(left)


def _measure(way: Way, seconds: float, postgresql: int) -> dict[str, float]:
    url = urlsplit(way.process.url)
    plan = {
        "host": url.hostname, "port": url.port, "connections": CONNECTIONS, "seconds": seconds,
        "requests": way.requests,
    }  # fmt: skip
    before = server_cpu(way.process.pid), server_cpu(postgresql)
    command = [sys.executable, "-m", "app.bench.load"]
    if way.requests[0]["digest"] is None:
        _await_time(seconds)
    done = subprocess.run(command, input=json.dumps(plan), check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    asked = found["requests"] + len(way.requests)
    found["server"] = (server_cpu(way.process.pid) - before[0]) / asked
    found["database"] = (server_cpu(postgresql) - before[1]) / asked
    return found


def _report(
    ways: Sequence[Way], runs: Mapping[str, Sequence[Mapping[str, float]]], options: argparse.Namespace
) -> None:
    rate = {name: median(run["requests"] / run["seconds"] for run in each) for name, each in runs.items()}
    rows = [
        [
            way.name,
            f"{rate[way.name]:,.0f}",
            ratio(rate[way.name], rate[way.beside]),
            *(f"{median(run[what] for run in runs[way.name]) * 1e6:,.0f}" for what in ("server", "database")),
            *(f"{median(run[what] for run in runs[way.name]):.1f}" for what in ("p50", "p99")),
        ]
        for way in ways
    ]
    columns = ("way", "requests/s", "x fixed bytes", "server us", "database us", "p50 ms", "p99 ms")
    goals = [
        goal("500 warm, x fixed bytes", rate["warm, 500"] / rate["fixed bytes, 500"], least=0.5),
        goal("500 warm compressed, x warm", rate["warm, gzip, 500"] / rate["warm, 500"], least=0.77),
        goal("500 cold from PostgreSQL, x fixed bytes", rate["cold, PostgreSQL, 500"] / rate["fixed bytes, 500"],
             least=0.15),
        goal("500 cold from SQLite, x row to model", rate["cold, SQLite, 500"] / rate["row to model, SQLite, 500"],
             least=3),
        goal("10,000 cold from PostgreSQL, x row to model",
             rate["cold, PostgreSQL, 10,000"] / rate["row to model, PostgreSQL, 10,000"], least=20),
    ]  # fmt: skip
    notes = (
        f"{options.days * len(_MINUTES):,} minutes stored, {CONNECTIONS} connections, medians of {options.rounds} "
        f"rounds; CPU of the server's process and of PostgreSQL a request. "
        f"{versions('fastapi', 'uvicorn', 'asyncpg', 'sqlalchemy')}"
    )
    publish("serve", "Requests for candles", columns, rows, "\n".join([notes, "", *goals, ""]))


if __name__ == "__main__":
    main()
