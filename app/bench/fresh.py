"""How soon a bar can be read: `python -m app.bench.fresh`. From its end, and the source's delay, to an answer.

Forty series of minutes, kept current by the processes as users start them, with the settings they begin with: five
requests a second, a look at what is due every ten seconds. The simulated exchange keeps real time, as the real one
does, and is a quarter of an hour late. It is also asked what time it is, three times for each series: so that candles
are asked for five times a second, twenty requests are allowed. Every series is asked for its newest candles over REST
all the time; what counts is when a bar is first what it stays. Both ways run beside each other.

Then, beside all that, bars of securities that nobody followed are asked for, of a year: how long it takes until the
newest day is there. In the end the rest of each year is awaited.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import aiohttp

from app.bench.measuring import create_database, goal, publish, simulator, versions
from app.bootstrap import bootstrap, migrate_store
from app.core.entities import Security, Timeframe
from app.settings import Settings
from app.simulator.server import DELAY
from app.simulator.servers import Postgresql, Redis
from app.use_cases.create_security import create_security

_BEGIN, _END = "2024-01-17T12:00:00", "2024-01-18"
_MINUTE = timedelta(minutes=1)
_PAUSE = 0.02
"""Between two questions of one asker: each series is asked about once a second."""
_GLANCE = 1.0
"""Between two looks whether a year is there: each asks the exchange what time it is, out of the same budget."""
_SETTLED = 20.0
"""Seconds to load what is missing before it counts."""
_PATIENCE = 30
_LONGEST = 20.0
"""So many seconds after the last bar that counts we still look."""
_STRANGERS = 3
_A_DAY_OF_BARS = 80
_YEAR_BEFORE = "2023-01-17"


def main() -> None:
    """Measure, print a table, and write it down."""
    parser = argparse.ArgumentParser(prog="python -m app.bench.fresh", description=__doc__)
    parser.add_argument("--securities", type=int, default=40)
    parser.add_argument("--bars", type=int, default=1)
    options = parser.parse_args()
    securities = [Security(f"SIM{number:03}", "TQBR") for number in range(options.securities)]
    with ExitStack() as stack:
        source = stack.enter_context(simulator("--clock", _BEGIN))
        folder = Path(stack.enter_context(TemporaryDirectory()))
        postgresql, redis = stack.enter_context(Postgresql(durable=True)), stack.enter_context(Redis())
        create_database(postgresql.url, "fresh")
        alone = {"DATABASE_URL": f"sqlite+aiosqlite:///{folder}/candles.db", "REDIS_URL": "off"}
        shared = {"DATABASE_URL": postgresql.url_of("fresh"), "REDIS_URL": redis.url}
        ways = {
            "one process, SQLite": stack.enter_context(_running(source, securities, folder, alone, [])),
            "API, scheduler and worker, PostgreSQL and Redis": stack.enter_context(
                _running(source, securities, folder, shared, ["scheduler", "worker"])
            ),
        }
        found = asyncio.run(_watch(source, ways, securities, _SETTLED + 60 * options.bars + _LONGEST))
        strangers = asyncio.run(_meet_all(ways))
    _report(found, strangers, len(securities))


@contextmanager
def _running(
    source: str, securities: Sequence[Security], folder: Path, where: Mapping[str, str], more: Sequence[str]
) -> Iterator[str]:
    """Follow the securities, run the processes until the end of the block, and give the address of the API."""
    environment = {
        "ISS_URL": source,
        "SOURCE_NAME": "simulator",
        "CLOCK": "source",
        "LOG_LEVEL": "ERROR",
        "ISS_RATE": "20",
        **where,
    }
    asyncio.run(_follow(environment, securities))
    with ExitStack() as stack:
        for command in more:
            stack.enter_context(_process(environment, folder, command))
        api = stack.enter_context(_process(environment, folder, "serve", "--port", "0"))
        assert api.stderr is not None
        line = api.stderr.readline()
        yield next(word for word in line.split() if word.startswith("http")).rstrip(",/")


@contextmanager
def _process(environment: Mapping[str, str], folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    given = {**environment, "PYTHONPATH": Path.cwd()}
    values = (f"{name}={value}" for name, value in given.items())
    command = ["env", *values, sys.executable, "-m", "app.io.cli", *arguments]
    errors = subprocess.PIPE if arguments[0] == "serve" else None
    with subprocess.Popen(command, cwd=folder, stderr=errors, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(_PATIENCE)


async def _follow(environment: Mapping[str, str], securities: Sequence[Security]) -> None:
    settings = Settings.model_validate(
        {**{name.lower(): value for name, value in environment.items()}, "iss_rate": None}
    )
    await migrate_store(settings)
    async with bootstrap(settings) as service:
        since = {Timeframe.M1: await service.clock.now() - timedelta(hours=1)}
        for security in securities:
            await create_security(service.storage, service.adapter, security, since=since)


async def _watch(
    source: str, ways: Mapping[str, str], securities: Sequence[Security], seconds: float
) -> dict[str, list[float]]:
    """Ask each way for the newest candles of each series until the time is over; return the seconds each bar took."""
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        async with session.get(f"{source}/control/clock") as answer:
            ahead = datetime.fromisoformat((await answer.json())["now"]).timestamp() - time.time()
        until = time.time() + seconds
        tasks = {
            way: group.create_task(_ask(session, address, securities, ahead, until)) for way, address in ways.items()
        }
    return {way: task.result() for way, task in tasks.items()}


async def _ask(
    session: aiohttp.ClientSession, address: str, securities: Sequence[Security], ahead: float, until: float
) -> list[float]:
    """Return how long each bar took that ended while we asked, until it was what it stayed."""
    settled = time.time() + _SETTLED
    seen: dict[tuple[Security, str], tuple[object, float]] = {}
    while time.time() < until:
        for security in securities:
            query = f"security={security}&timeframe=M1&last=2&till={_END}"  # else the API asks what time it is
            async with session.get(f"{address}/v1/candles?{query}") as answer:
                for candle in (await answer.json())["candles"]:
                    values, key = [candle["close"], candle["volume"], candle["value"]], (security, candle["begin"])
                    if key not in seen or seen[key][0] != values:
                        seen[key] = values, time.time() + ahead
            await asyncio.sleep(_PAUSE)
    due = {key: _due(key[1]) for key in seen}
    return [seen[key][1] - due[key] for key in seen if settled + ahead <= due[key] <= until + ahead - _LONGEST]


async def _meet_all(ways: Mapping[str, str]) -> Mapping[str, list[float]]:
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        tasks = {way: group.create_task(_meet(session, address)) for way, address in ways.items()}
    return {way: task.result() for way, task in tasks.items()}


async def _meet(session: aiohttp.ClientSession, address: str) -> list[float]:
    """Return the seconds to the newest day of each security never seen; all their years follow."""
    found, monitors = [], []
    for number in range(_STRANGERS):
        asked = f"security=TQBR:SIM{900 + number}&timeframe=M10&from={_YEAR_BEFORE}&last={_A_DAY_OF_BARS}&wait=5"
        began = time.monotonic()
        async with session.get(f"{address}/v1/candles?{asked}") as answer:
            bars = (await answer.json())["candles"]
            monitors.append(answer.links["monitor"]["url"])
        found.append(time.monotonic() - began)
        assert len(bars) == _A_DAY_OF_BARS, f"{len(bars)} bars of {_A_DAY_OF_BARS} after {found[-1]:.1f} s"
    async with asyncio.timeout(_PATIENCE * 4):
        for monitor in monitors:
            while not await _is_done(session, monitor):  # noqa: ASYNC110  # another process tells no other way
                await asyncio.sleep(_GLANCE)
    return found


async def _is_done(session: aiohttp.ClientSession, monitor: object) -> bool:
    async with session.get(str(monitor)) as answer:
        return bool((await answer.json())["state"] == "done")


def _due(begin: str) -> float:
    """Return when the source shows a minute, in unix seconds of its clock."""
    return (datetime.fromisoformat(begin) + _MINUTE + DELAY).timestamp()


def _report(found: Mapping[str, Sequence[float]], strangers: Mapping[str, Sequence[float]], series: int) -> None:
    tick = Settings(_env_file=None).tick
    goals = [
        goal(f"{way}: median, x one tick and two seconds", median(seconds) / (tick + 2), most=1)
        for way, seconds in found.items()
    ] + [
        goal(f"{way}: seconds to the newest day of a security never seen, at most", max(seconds), most=3)
        for way, seconds in strangers.items()
    ]
    rows = [
        (way, str(len(seconds)), f"{median(seconds):.1f}", f"{quantiles(seconds, n=20)[-1]:.1f}", f"{max(seconds):.1f}")
        for way, seconds in found.items()
    ]
    publish(
        "fresh",
        f"Seconds from a bar's end and the source's delay to an answer, {series} series of minutes",
        ("way", "bars", "median", "19 of 20", "longest"),
        rows,
        "\n".join([*goals, "", f"TICK={tick:g}; {versions('fastapi', 'taskiq', 'redis', 'asyncpg')}"]),
    )


if __name__ == "__main__":
    main()
