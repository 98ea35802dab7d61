"""Ten thousand series: `python -m app.bench.many`. What the questions that concern all of them, or one, cost.

A store is filled with followed series, each with spans and the last candles of each of them. Then it is asked, up to
the first request to the exchange where that would follow. Statements and medians of milliseconds are printed.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from app.bench.measuring import create_database, publish, versions
from app.bench.statements import counted
from app.bootstrap import Service, bootstrap, migrate_store
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Security, SecurityCard, Series, SeriesState, Timeframe
from app.core.market_data import SourcePage
from app.core.pages import CandlePage
from app.core.storage import IStorage
from app.settings import Settings
from app.simulator.servers import Postgresql
from app.use_cases.get_spans import get_spans
from app.use_cases.list_securities import list_securities
from app.use_cases.update_candles import update_candles

TIMEFRAMES = (Timeframe.M1, Timeframe.M10, Timeframe.H1, Timeframe.D1)
_BEGIN = Timestamp.midnight(date(2024, 1, 9))
_SPANS = 3
_CANDLES = 40
_BATCH = 100


class AskedError(Exception):
    """The first request would go out now."""


class Silent:
    """An exchange whose first request ends what is measured."""

    def __init__(self, wrapped: Any) -> None:  # noqa: ANN401  # any port
        """Leave all else to a real one."""
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._wrapped, name)

    async def candles(self, *_: object) -> AsyncGenerator[SourcePage]:
        raise AskedError
        yield  # so that it is raised where the first page is asked for


@dataclass(frozen=True, slots=True)
class Measured:
    """One question: statements, rows of small tables, milliseconds of wall time and of this process's CPU."""

    statements: int
    rows: int
    wall: float
    cpu: float


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m app.bench.many", description=__doc__)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with Postgresql(durable=True) as server, TemporaryDirectory() as folder:
        create_database(server.url, "many")
        databases = {"PostgreSQL": server.url_of("many"), "SQLite": f"sqlite+aiosqlite:///{Path(folder) / 'many.db'}"}
        found = {name: asyncio.run(_measure(url, options.series, options.rounds)) for name, url in databases.items()}
    publish(
        "many",
        f"Questions to a store of {options.series:,} series",
        ("question", *(f"{name}: {what}" for name in found for what in ("statements", "rows", "ms", "CPU ms"))),
        [(what, *(cell for each in found.values() for cell in _cells(each[what]))) for what in found["SQLite"]],
        f"{versions('asyncpg', 'aiosqlite', 'SQLAlchemy')} Medians of {options.rounds}.",
    )


def _cells(runs: list[Measured]) -> Iterator[str]:
    yield f"{runs[-1].statements}"
    yield f"{runs[-1].rows:,}"
    yield f"{median(run.wall for run in runs):.1f}"
    yield f"{median(run.cpu for run in runs):.1f}"


async def _measure(database: str, number: int, rounds: int) -> dict[str, list[Measured]]:
    settings = Settings(database_url=database, iss_url="http://127.0.0.1:1", source_name="nobody", redis_url=None)
    await migrate_store(settings)
    async with bootstrap(settings, wrap_adapter=Silent) as service:
        await fill(service.storage, range(number // len(TIMEFRAMES)))
        questions = questions_to(service)
        found: dict[str, list[Measured]] = {name: [] for name in questions}
        for turn in range(-1, rounds):  # the first time warms up
            for name, ask in questions.items():
                found[name] += [await timed(ask)][turn < 0 :]
    return found


def questions_to(service: Service) -> Mapping[str, Callable[[], Awaitable[object]]]:
    """Return what to ask a service whose adapter is `Silent`, by what it is."""
    ports = (service.storage, service.loader, service.clock)
    one = Security("T00000", "TQBR")
    till = _BEGIN + timedelta(days=8)
    return {
        "what is followed": lambda: list_securities(service.storage),
        "update all, to the first request": lambda: update_candles(*ports, time_till=till),
        "update one series, to the first request": lambda: update_candles(
            *ports, securities=[one], timeframes=[Timeframe.M1], time_till=till
        ),
        "how current all is": service.freshness,
        "how current one security is": lambda: service.freshness([one]),
        "coverage of one security": lambda: get_spans(service.storage, service.clock, one),
    }


async def timed(ask: Callable[[], Awaitable[object]]) -> Measured:
    """Ask up to the first request to the exchange, if there is one."""
    with counted() as counts:
        began, used = time.perf_counter(), time.process_time()
        with suppress(AskedError, ExceptionGroup):
            await ask()
        wall, cpu = time.perf_counter() - began, time.process_time() - used
    return Measured(counts.statements, counts.rows, wall * 1_000, cpu * 1_000)


async def fill(storage: IStorage, numbers: range) -> None:
    """Store the series of so many securities, each with gaps between its spans and one at the end."""
    series = [Series(Security(f"T{number:05}", "TQBR"), timeframe) for number in numbers for timeframe in TIMEFRAMES]
    for start in range(0, len(series), _BATCH):
        part = series[start : start + _BATCH]
        async with storage.begin() as uow:
            await uow.securities.add(
                SecurityCard(each, "stock", "shares", f"Share {each.ticker}") for each in {s.security for s in part}
            )
            await uow.series.add(_state(each) for each in part)
            await uow.spans.add(span for each in part for span in _spans(each))
            for each in part:
                await uow.candles.extend(_candles(each))


def _state(series: Series) -> SeriesState:
    end = _BEGIN + timedelta(days=2 * _SPANS)
    return SeriesState(series, _BEGIN, end, end, version=1)


def _spans(series: Series) -> Iterator[CandleSpan]:
    for number in range(_SPANS):
        begin = _BEGIN + timedelta(days=2 * number)
        yield CandleSpan(series.security, series.timeframe, begin, begin + timedelta(days=1))


def _candles(series: Series) -> CandlePage:
    """Return the last candles of each span; of days there is one."""
    step = int((series.timeframe.step or timedelta(days=1)).total_seconds())
    ends = [span.time_till.unix for span in _spans(series)]
    begins = [end - back * step for end in ends for back in range(min(_CANDLES, 86_400 // step), 0, -1)]
    return CandlePage.from_rows(series, [(begin, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0, 1) for begin in begins])


if __name__ == "__main__":
    main()
