"""Ways to write stored candles out: ours, and COPY alone. One run in a process of its own: started by `export`."""

import asyncio
import json
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from importlib import import_module
from random import Random
from typing import Self

import asyncpg
import uvloop

from app.bench.measuring import Watch, measured, server_cpu
from app.bootstrap import bootstrap, migrate_store
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Security, SecurityCard, Series, SeriesState, Timeframe
from app.core.pages import CandlePage
from app.core.spans import Period
from app.core.storage import IStorage
from app.io.exporting import open_writer, write_out
from app.io.forms import FileForm
from app.settings import Settings
from app.use_cases.export_candles import export_candles
from app.use_cases.verify import verify

COPY = "copy"
BEGIN = Timestamp.midnight(date(2020, 1, 1))
_BATCH = 50_000
_MINUTE = timedelta(minutes=1)
_SERIES = "SELECT series.id FROM series JOIN security ON security.id = security_id WHERE ticker = $1"
_SELECT = (
    "SELECT is_final, begin, open, high, low, close, volume, value FROM candle WHERE series_id = {} AND timeframe = 1"
    " ORDER BY begin"
)


@dataclass(frozen=True, slots=True)
class Job:
    """Write all minutes of a security of so many rows out of a database into a file, one way.

    `way`: a form of a file, or `copy`. `server`: the first process of the database's server, 0 without one.
    """

    way: str
    database: str
    rows: int
    file: str
    server: int = 0

    @classmethod
    def read(cls, text: str) -> Self:
        return cls(**json.loads(text))

    @property
    def series(self) -> Series:
        return a_series(self.rows)


def a_series(rows: int) -> Series:
    """Name the minutes of which a store has so many."""
    return Series(Security(f"SIM{rows}", "TQBR"), Timeframe.M1)


def bench_settings(database: str) -> Settings:
    """Configure the service over a store."""
    return Settings(database_url=database, source_name="benchmark", redis_url=None, log_level="WARNING")


def period_of(rows: int) -> Period:
    """Return where these minutes lie."""
    return Period(BEGIN, BEGIN + rows * _MINUTE)


async def fill(database: str, *sizes: int) -> None:
    """Store series of so many minutes each, covered, as a load would have left them; verified."""
    await migrate_store(bench_settings(database))
    async with bootstrap(bench_settings(database)) as service:
        for rows in sizes:
            await _fill(service.storage, a_series(rows), rows)
        assert not await verify(service.storage)


async def _fill(storage: IStorage, series: Series, rows: int) -> None:
    end = period_of(rows).time_till
    async with storage.begin() as uow:
        await uow.securities.add([SecurityCard(series.security, "stock", "shares")])
        await uow.series.add([SeriesState(series, BEGIN, end, end, version=2, history_version=1)])
    for page in minutes(series, rows):
        async with storage.begin() as uow:
            await uow.candles.extend(page)
            span = CandleSpan(series.security, series.timeframe, page[0].timestamp, page[-1].timestamp + _MINUTE)
            await uow.spans.add([span])


def minutes(series: Series, rows: int) -> Iterator[CandlePage]:
    """Make up minutes whose numbers are as long as those of the exchange, the same each time."""
    chance = Random(rows)  # noqa: S311  # not for secrets
    price = 25_000
    for start in range(0, rows, _BATCH):
        some = range(start, min(start + _BATCH, rows))
        steps = [chance.randrange(-5, 6) for _ in some]
        opens, closes = [], []
        for step in steps:
            opens.append(price / 100)
            price = max(price + step, 100)
            closes.append(price / 100)
        volumes = [chance.randrange(1, 50_000) * 10 for _ in some]
        columns = (
            opens,
            [max(pair) + 0.03 for pair in zip(opens, closes, strict=True)],
            [min(pair) - 0.02 for pair in zip(opens, closes, strict=True)],
            closes,
            volumes,
            [round(volume * close, 2) for volume, close in zip(volumes, closes, strict=True)],
        )
        begins = array("q", [BEGIN.unix + 60 * n for n in some])
        yield CandlePage.from_columns(series, begins, [array("d", column) for column in columns], b"\1" * len(some))


async def copied(job: Job) -> str:
    """COPY in the binary format out of PostgreSQL, and let go of it."""
    connection = await asyncpg.connect(job.database.replace("+asyncpg", ""))
    query = _SELECT.format(await connection.fetchval(_SERIES, job.series.security.ticker))
    watch, used, size = Watch(), _server(job), 0

    async def drop(data: bytes) -> None:
        nonlocal size
        size += len(data)

    done = await connection.copy_from_query(query, output=drop, format="binary")
    cost, used = watch.stop(), _server(job) - used
    await connection.close()
    return measured(cost, rows=int(done.split()[1]), bytes=size, server=used)


async def written(job: Job) -> str:
    """Write a file, as the command does."""
    form = FileForm(job.way)
    if not form.is_text:
        import_module("pyarrow.parquet")  # before the clock runs
    async with bootstrap(bench_settings(job.database)) as service:
        with open(job.file, "wb") as file:  # noqa: ASYNC230, PTH123  # nobody else waits

            async def put(data: bytes) -> None:
                await asyncio.to_thread(file.write, data)

            watch, used = Watch(), _server(job)
            export = await export_candles(service.storage, job.series, period_of(job.rows))
            rows = await write_out(export, open_writer(form, export, UTC), put)
            cost, used = watch.stop(), _server(job) - used
            assert export.coverage.is_complete
            return measured(cost, rows=rows, bytes=file.tell(), server=used)


def _server(job: Job) -> float:
    return server_cpu(job.server) if job.server else 0.0


if __name__ == "__main__":
    given = Job.read(sys.argv[1])
    print(uvloop.run(copied(given) if given.way == COPY else written(given)))
