"""Growth: `python -m app.bench.grow`. What loading and reading cost in a large store, beside a small one.

Stores of different sizes are filled, then each round loads some more into each in turn and asks each of them. Rows go
in through the same unit of work as those of the exchange, with their spans, and are counted and verified in the end.
`--full` goes to fifty million rows, if the disk has room for them.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.progress import track

from app.bench.measuring import Watch, create_database, goal, publish, ratio, server_cpu, versions
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Security, SecurityCard, Series, SeriesState, Timeframe
from app.core.pages import CandlePage
from app.core.storage import IStorage
from app.repository.migrate import migrate
from app.repository.sql import SqlStorage
from app.simulator.servers import Postgresql
from app.use_cases.get_candles import get_candles
from app.use_cases.look_at_candles import look_at_candles
from app.use_cases.verify import verify

SIZES, FULL = (250_000, 2_500_000), (1_000_000, 10_000_000, 50_000_000)
MOST_GROWTH = 1.3
_BEGIN = Timestamp.midnight(date(2010, 1, 4))
_SERIES = tuple(Series(Security(f"T{number:03}", "TQBR"), Timeframe.M1) for number in range(10))
_PORTION = 25_000
_WINDOW = 500
_QUESTIONS = 200
_MINUTE = timedelta(minutes=1)
_BYTES_A_ROW = {"PostgreSQL": 125, "SQLite": 72}
LOG_BYTES = 2 * 1024**3
"""What PostgreSQL keeps of its log: 1 GB, and what a slow checkpoint leaves."""


@dataclass(slots=True)
class Store:
    """A store that grows: so many minutes of each series so far; what was found, of each kind a value a round."""

    storage: IStorage
    server: int = 0
    minutes: int = 0
    found: dict[str, list[float]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.minutes * len(_SERIES)

    @property
    def end(self) -> Timestamp:
        """Return where the candles of each series end."""
        return _BEGIN + self.minutes * _MINUTE

    def note(self, what: str, value: float) -> None:
        """Keep what was found in a round."""
        self.found.setdefault(what, []).append(value)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m app.bench.grow", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="one, ten and fifty million rows")
    options = parser.parse_args()
    sizes = FULL if options.full else SIZES
    require_room(sum(sizes) * _BYTES_A_ROW["PostgreSQL"] + LOG_BYTES)
    found: dict[str, Mapping[int, Store]] = {}
    for kind in _BYTES_A_ROW:  # one after the other, so that the disk holds one at a time
        found[kind] = asyncio.run(_measure(kind, sizes, options.rounds))
    _report(found, sizes, options.rounds)


def require_room(needed: int) -> None:
    """End the program, saying so, if the disk of temporary files has less room than that."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < needed:
        sys.exit(
            f"{tempfile.gettempdir()} has {free:,} bytes free, this needs {needed:,}: make room, or name a folder on"
            " another disk in TMPDIR"
        )


async def _measure(kind: str, sizes: Sequence[int], rounds: int) -> Mapping[int, Store]:
    async with _stores(kind, sizes) as stores:
        for size, store in stores.items():
            began = perf_counter()
            await _follow(store)
            await _grow(store, size // len(_SERIES))
            Console(stderr=True).print(f"{kind}: {size:,} rows in {perf_counter() - began:.0f} s")
        for turn in track(range(rounds), f"{kind}, rounds", console=Console(stderr=True)):
            for store in stores.values():
                await _load(store)
            await _ask([*stores.values()], Random(turn))  # noqa: S311  # the same questions each time
        for store in stores.values():
            await _check(store)
    return stores


@asynccontextmanager
async def _stores(kind: str, sizes: Sequence[int]) -> AsyncIterator[Mapping[int, Store]]:
    """Open an empty store for each size."""
    async with AsyncExitStack() as stack:
        if kind == "PostgreSQL":
            server = stack.enter_context(Postgresql(durable=True))
            for size in sizes:
                await asyncio.to_thread(create_database, server.url, f"rows_{size}")
            urls, pid = {size: server.url_of(f"rows_{size}") for size in sizes}, server.pid
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            urls, pid = {size: f"sqlite+aiosqlite:///{folder / str(size)}.db" for size in sizes}, 0
        stores = {}
        for size, url in urls.items():
            await migrate(url)
            storage = SqlStorage.open(url)
            stack.push_async_callback(storage.close)
            stores[size] = Store(storage, pid)
        yield stores


async def _follow(store: Store) -> None:
    async with store.storage.begin() as uow:
        await uow.securities.add(SecurityCard(each.security, "stock", "shares", "") for each in _SERIES)
        await uow.series.add(SeriesState(each, _BEGIN) for each in _SERIES)


async def _grow(store: Store, minutes: int) -> None:
    """Load so many minutes of each series, a batch of each in turn."""
    size = min(store.storage.batch_rows, _PORTION)
    for start in range(0, minutes, size):
        for series in _SERIES:
            await _write(store, series, min(size, minutes - start))
        store.minutes += min(size, minutes - start)


async def _write(store: Store, series: Series, minutes: int) -> None:
    """Write a batch as the loader does: candles and their span in one transaction, under the lock of the series."""
    page = _page(series, store.minutes, minutes)
    end = store.end + minutes * _MINUTE
    async with store.storage.begin() as uow:
        state = await uow.series.lock(series)
        await uow.candles.extend(page)
        await uow.spans.add([CandleSpan(series.security, series.timeframe, store.end, end)])
        await uow.series.add([replace(state, watermark=end, as_of=end, version=state.version + 1)])


def _page(series: Series, start: int, minutes: int) -> CandlePage:
    """Make candles from the n-th minute on."""
    begin = _BEGIN.unix + start * 60
    opens = array("d", [250 + minute * 7919 % 10_007 / 100 for minute in range(start, start + minutes)])
    highs, lows = (array("d", [price + step for price in opens]) for step in (0.5, -0.5))
    volumes = array("d", [minute % 1_000 * 10.0 for minute in range(minutes)])
    prices = [opens, highs, lows, opens, volumes, array("d", map(float.__mul__, opens, volumes))]
    return CandlePage.from_columns(series, array("q", range(begin, begin + minutes * 60, 60)), prices, b"\1" * minutes)


async def _load(store: Store) -> None:
    used, watch, rows = _server_cpu(store), Watch(), store.rows
    await _grow(store, _PORTION)
    cost, million = watch.stop(), (store.rows - rows) / 1e6
    store.note("load: seconds a million rows", cost.seconds / million)
    store.note("load: CPU seconds a million rows", (cost.cpu + _server_cpu(store) - used) / million)


def _server_cpu(store: Store) -> float:
    return server_cpu(store.server) if store.server else 0.0


async def _ask(stores: Sequence[Store], random: Random) -> None:
    """Ask each store some hundred times, of random series and places, each question of all in turn; note medians."""
    asked: Mapping[str, Callable[[Store, Series, Random], Awaitable[bool]]] = {
        f"{_WINDOW} candles: ms": _window,
        "newest candle: ms": _newest,
        "coverage: ms": _coverage,
    }
    for what, ask in asked.items():
        seconds: list[list[float]] = [[] for _ in stores]
        for _ in range(_QUESTIONS):
            for store, found in zip(stores, seconds, strict=True):
                began = perf_counter()
                is_right = await ask(store, random.choice(_SERIES), random)
                found.append(perf_counter() - began)
                assert is_right, what
        for store, found in zip(stores, seconds, strict=True):
            store.note(what, median(found) * 1_000)


async def _window(store: Store, series: Series, random: Random) -> bool:
    begin = _BEGIN + random.randrange(store.minutes - _WINDOW) * _MINUTE
    answer = await get_candles(store.storage, series, time_from=begin, time_till=begin + _WINDOW * _MINUTE)
    return len(answer.page) == _WINDOW


async def _newest(store: Store, series: Series, _: Random) -> bool:
    answer = await get_candles(store.storage, series, time_from=_BEGIN, time_till=store.end, limit=1, newest_first=True)
    return [candle.timestamp for candle in answer.page] == [store.end - _MINUTE]


async def _coverage(store: Store, series: Series, _: Random) -> bool:
    return (await look_at_candles(store.storage, series, _BEGIN, store.end, is_open=False)).coverage.is_covered


async def _check(store: Store) -> None:
    async with store.storage.read() as uow:
        assert await uow.candles.count() == store.rows
    assert not await verify(store.storage)


def _report(found: Mapping[str, Mapping[int, Store]], sizes: Sequence[int], rounds: int) -> None:
    small, large = sizes[0], sizes[-1]
    rows, goals = [], []
    for kind, stores in found.items():
        for what in stores[small].found:
            values = {size: median(store.found[what]) for size, store in stores.items()}
            growth = values[large] / values[small]
            rows.append((f"{kind}, {what}", *(f"{value:.2f}" for value in values.values()), ratio(growth, 1)))
            goals.append(goal(f"{kind}, {what}, growth", growth, most=MOST_GROWTH))
    publish(
        "grow",
        "What a row and a question cost as a store grows",
        ("what", *(f"{size:,} rows" for size in sizes), "x"),
        rows,
        f"{versions('asyncpg', 'aiosqlite', 'SQLAlchemy')} Medians of {rounds} rounds, in each"
        f" {_PORTION * len(_SERIES):,} rows more and {_QUESTIONS} questions of each kind.\n\n"
        + "\n".join(goals)
        + "\n\n",
    )


if __name__ == "__main__":
    main()
