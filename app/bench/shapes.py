"""Shapes of the table of candles: `python -m app.bench.shapes`. Bytes a row, and what COPY and reading cost.

The same rows go into each shape, in the order in which a load of many series writes them: a batch of each in turn.
What the present shape is compared with: docs/adr/0023-the-shape-of-a-candle.md.
"""

import argparse
import asyncio
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import asyncpg
from rich.console import Console
from rich.progress import track

from app.bench.measuring import publish, ratio, server_cpu, versions
from app.simulator.servers import Postgresql

_PRICES = "open, high, low, close, volume, value"
_DOUBLES = _PRICES.replace(",", " float8 NOT NULL,") + " float8 NOT NULL"
_CHECKS = (
    "CHECK (low >= -1.7976931348623157e308 AND high <= 1.7976931348623157e308),"
    " CHECK (low <= high AND low <= open AND low <= close AND high >= open AND high >= close),"
    " CHECK (volume BETWEEN 0 AND 1.7976931348623157e308),"
    " CHECK (value BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308)"
)
_MINUTES = "extract(epoch FROM begin)::int4 / 60"
_SERIES = 40
_BATCH = 50_000
_WINDOW = 500
_READS = 300
_EPOCH = 26_297_280  # minutes up to 2020


@dataclass(frozen=True, slots=True)
class Shape:
    """A table: its columns before the prices, what stands in them, and its key or its one index.

    `window`: what names the `_WINDOW` minutes from `minute` on of one `series`.
    """

    name: str
    columns: str
    values: str
    key: str
    window: str


_OF_TIME = (
    "series_id = {series} AND begin >= to_timestamp({minute} * 60.0) AND begin < to_timestamp(({minute} + 500) * 60.0)"
)
_OF_MINUTE = "series_id = {series} AND begin >= {minute} AND begin < {minute} + 500"
_PRESENT = ("series_id int4, timeframe int2, is_final bool, begin timestamptz", "series_id, timeframe, is_final, begin")
_KEY = "PRIMARY KEY (series_id, timeframe, begin)"
_SHORT_KEY = "PRIMARY KEY (series_id, begin)"
POSTGRESQL = (
    Shape("the present one", *_PRESENT, _KEY, f"timeframe = 1 AND {_OF_TIME}"),
    Shape(
        "no timeframe",
        "series_id int4, is_final bool, begin timestamptz",
        "series_id, is_final, begin",
        _SHORT_KEY,
        _OF_TIME,
    ),
    Shape(
        "no timeframe, minutes as int4",
        "series_id int4, begin int4, is_final bool",
        f"series_id, {_MINUTES}, is_final",
        _SHORT_KEY,
        _OF_MINUTE,
    ),
    Shape(
        "the same, is_final elsewhere",
        "series_id int4, begin int4",
        f"series_id, {_MINUTES}",
        _SHORT_KEY,
        _OF_MINUTE,
    ),
    Shape("index filled to 100 %", *_PRESENT, f"{_KEY} WITH (fillfactor = 100)", f"timeframe = 1 AND {_OF_TIME}"),
    Shape(
        "BRIN in place of the key",
        *_PRESENT,
        "brin (series_id, begin) WITH (pages_per_range = 16)",
        f"timeframe = 1 AND {_OF_TIME}",
    ),
)
_SQLITE = (
    ("the present one", "series_id INTEGER, timeframe SMALLINT, is_final BOOLEAN, begin BIGINT",
     "series_id, timeframe, begin", 60_000_000),
    ("no timeframe", "series_id INTEGER, is_final BOOLEAN, begin BIGINT", "series_id, begin", 60_000_000),
    ("no timeframe, seconds", "series_id INTEGER, is_final BOOLEAN, begin BIGINT", "series_id, begin", 60),
    ("with a row id", "series_id INTEGER, timeframe SMALLINT, is_final BOOLEAN, begin BIGINT",
     "series_id, timeframe, begin", 60_000_000),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """Bytes a row of table, indexes and log; CPU seconds of COPY; milliseconds of a window of rows."""

    table: float
    index: float
    log: float
    cpu: float
    window: float


def main() -> None:
    """Measure, and print a table for each database."""
    parser = argparse.ArgumentParser(prog="python -m app.bench.shapes", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    asyncio.run(_postgresql(options.rows, options.rounds))
    _sqlite(options.rows // 2)


async def _postgresql(rows: int, rounds: int) -> None:
    runs: dict[str, list[Measured]] = {shape.name: [] for shape in POSTGRESQL}
    with Postgresql(durable=True) as server:
        async with AsyncExitStack() as stack:
            connection = await asyncpg.connect(server.url.replace("+asyncpg", ""))
            stack.push_async_callback(connection.close)
            await connection.execute(_made(rows))
            for _ in track(range(rounds), "rounds", console=Console(stderr=True)):
                for shape in POSTGRESQL:
                    runs[shape.name].append(await _fill(connection, shape, rows))
    first = median(run.cpu for run in runs["the present one"])
    publish(
        "shapes",
        f"Shapes of the table, {rows:,} minutes of {_SERIES} series into PostgreSQL",
        (
            "shape",
            "bytes a row: table",
            "index",
            "together",
            "log",
            "CPU s of COPY, million rows",
            "x present",
            "500 rows, ms",
        ),
        [_line(name, each, rows, first) for name, each in runs.items()],
        f"{versions('asyncpg')} Medians of {rounds} rounds.",
    )


def _line(name: str, runs: Sequence[Measured], rows: int, first: float) -> tuple[str, ...]:
    table, index, log, cpu, window = (
        median(getattr(run, of) for run in runs) for of in ("table", "index", "log", "cpu", "window")
    )
    sizes = (table, index, table + index, log)
    return (name, *(f"{size:.1f}" for size in sizes), f"{cpu / rows * 1e6:.2f}", ratio(cpu, first), f"{window:.2f}")


def _made(rows: int) -> str:
    """Write the statement that makes the rows: minutes of some series, prices with two digits."""
    return (
        "CREATE UNLOGGED TABLE made AS SELECT s AS series_id, 1::int2 AS timeframe, true AS is_final,"  # noqa: S608  # numbers of ours
        " to_timestamp(m * 60.0) AS begin, p AS open, p + 0.5 AS high, p - 0.5 AS low, p + 0.25 AS close,"
        " (m % 1000 * 10)::float8 AS volume, (m % 1000 * 10)::float8 * p AS value"
        f" FROM generate_series(1, {_SERIES}) AS s, generate_series({_EPOCH}, {_EPOCH + rows // _SERIES - 1}) AS m,"
        " LATERAL (SELECT (250 + m::bigint * 7919 % 10007 / 100.0)::float8 AS p) AS price;"
        "CREATE INDEX ON made (series_id, begin); ANALYZE made"
    )


async def _fill(connection: asyncpg.Connection, shape: Shape, rows: int) -> Measured:
    await _create(connection, shape)
    began = await connection.fetchval("SELECT pg_current_wal_insert_lsn()")
    backend, seconds = await connection.fetchval("SELECT pg_backend_pid()"), 0.0
    for series, begin, number in _turns(rows):
        batch = BytesIO()
        query = (
            f"SELECT {shape.values}, {_PRICES} FROM made WHERE series_id = {series}"  # noqa: S608  # numbers and names of ours
            f" AND begin >= to_timestamp({begin} * 60.0) ORDER BY begin LIMIT {number}"
        )
        await connection.copy_from_query(query, output=batch, format="binary")
        batch.seek(0)
        started = server_cpu(backend)
        await connection.copy_to_table("shape", source=batch, format="binary")
        seconds += server_cpu(backend) - started
    log = await connection.fetchval("SELECT pg_current_wal_insert_lsn() - $1::pg_lsn", began)
    assert await connection.fetchval("SELECT count(*) FROM shape") == rows
    await connection.execute("VACUUM ANALYZE shape")
    table, index = await connection.fetchrow("SELECT pg_table_size('shape'), pg_indexes_size('shape')")
    window = await _read(connection, shape, rows)
    return Measured(table / rows, index / rows, float(log) / rows, seconds, window)


async def _create(connection: asyncpg.Connection, shape: Shape) -> None:
    columns = ", ".join(f"{column} NOT NULL" for column in shape.columns.split(", "))
    key = f", {shape.key}" if shape.key.startswith("PRIMARY") else ""
    await connection.execute(f"DROP TABLE IF EXISTS shape; CREATE TABLE shape ({columns}, {_DOUBLES}{key}, {_CHECKS})")
    if not key:
        await connection.execute(f"CREATE INDEX ON shape USING {shape.key}")
    await connection.execute("CHECKPOINT")


async def _read(connection: asyncpg.Connection, shape: Shape, rows: int) -> float:
    """Return the milliseconds that a window of one series takes, as the median of many."""
    seconds = []
    for number in range(_READS):
        minute = _EPOCH + number * 7919 % (rows // _SERIES - _WINDOW)
        condition = shape.window.format(series=number % _SERIES + 1, minute=minute)
        query = f"SELECT {_PRICES} FROM shape WHERE {condition} ORDER BY begin"  # noqa: S608  # numbers and names of ours
        answer = BytesIO()
        started = time.perf_counter()
        await connection.copy_from_query(query, output=answer, format="binary")
        seconds.append(time.perf_counter() - started)
        assert len(answer.getvalue()) == _WINDOW * (2 + 6 * 12) + 21, condition
    return median(seconds) * 1_000


def _turns(rows: int) -> Iterator[tuple[int, int, int]]:
    """Give series, first minute and size of each batch: every series in turn."""
    each = rows // _SERIES
    size = min(_BATCH, each // 4)
    for begin in range(0, each, size):
        for series in range(1, _SERIES + 1):
            yield series, _EPOCH + begin, min(size, each - begin)


def _sqlite(rows: int) -> None:
    lines = []
    with TemporaryDirectory() as folder:
        for number, (name, columns, key, scale) in enumerate(_SQLITE):
            file = Path(folder) / f"{number}.db"
            with closing(sqlite3.connect(file, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                tail = "" if name.startswith("with") else " WITHOUT ROWID"
                connection.execute(f"CREATE TABLE candle ({columns}, {_DOUBLES}, PRIMARY KEY ({key}), {_CHECKS}){tail}")
                started = time.perf_counter()
                for series, begin, size in _turns(rows):
                    connection.execute("BEGIN IMMEDIATE")
                    connection.executemany(*_inserted(columns, scale, series, begin, size))
                    connection.execute("COMMIT")
                seconds = time.perf_counter() - started
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            lines.append((name, f"{file.stat().st_size / rows:.1f}", f"{rows / seconds:,.0f}"))
    publish(
        "shapes_sqlite",
        f"Shapes of the table, {rows:,} minutes of {_SERIES} series into SQLite",
        ("shape", "bytes a row", "rows/s"),
        lines,
        f"{versions('asyncpg')} SQLite {sqlite3.sqlite_version}.",
    )


def _inserted(columns: str, scale: int, series: int, begin: int, size: int) -> tuple[str, list[tuple[float, ...]]]:
    lead = (series, 1, 1) if "timeframe" in columns else (series, 1)
    rows = [
        (*lead, minute * scale, price := 250 + minute * 7919 % 10_007 / 100, price + 0.5, price - 0.5, price + 0.25,
         float(minute % 1_000 * 10), minute % 1_000 * 10 * price)
        for minute in range(begin, begin + size)
    ]  # fmt: skip
    return f"INSERT INTO candle VALUES ({', '.join('?' * len(rows[0]))})", rows  # noqa: S608


if __name__ == "__main__":
    main()
