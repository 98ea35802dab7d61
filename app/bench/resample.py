"""Minutes to longer bars: `python -m app.bench.resample`. Half a million minutes in memory, and out of the stores.

The ways are run in turn within each round, each in a process of its own; all must come to the same bars.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from tempfile import TemporaryDirectory

import uvloop
from rich.console import Console
from rich.progress import track

from app.bench.files import a_series, bench_settings, fill, minutes, period_of
from app.bench.measuring import Watch, child, create_database, publish, versions
from app.bootstrap import bootstrap
from app.core.entities import Timeframe
from app.core.pages import CandlePage
from app.core.resampling import roll_up
from app.simulator.servers import Postgresql
from app.use_cases.export_candles import export_candles

Found = Mapping[Timeframe, Mapping[str, float]]
"""Of each timeframe: seconds, CPU, bars, and the sum of their volumes."""

ROWS = 500_000
MEMORY = "memory"
_LONGER = (Timeframe.M5, Timeframe.M15, Timeframe.M30, Timeframe.H1, Timeframe.H2, Timeframe.H4, Timeframe.D1)
_OUT_OF_STORES = (Timeframe.M5, Timeframe.H4)


def main() -> None:
    """Measure, print a table, and write it down."""
    parser = argparse.ArgumentParser(prog="python -m app.bench.resample", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_in_memory() if options.child == MEMORY else uvloop.run(_out_of_store(options.child))))
        return
    with Postgresql(durable=True) as server, TemporaryDirectory() as folder:
        create_database(server.url, "bench")
        places = {"PostgreSQL": server.url_of("bench"), "SQLite": f"sqlite+aiosqlite:///{folder}/bench.db"}
        for database in places.values():
            uvloop.run(fill(database, ROWS))
        ways = {MEMORY: MEMORY, **places}
        runs: dict[str, list[Found]] = {name: [] for name in ways}
        for _ in track(range(options.rounds), "rounds", console=Console(stderr=True)):
            for name, way in ways.items():
                runs[name].append(child("app.bench.resample", "--child", way))
    _check(runs)
    _report(runs)


def _in_memory() -> Found:
    """Roll up one page."""
    series = a_series(ROWS)
    page = CandlePage.join(series, minutes(series, ROWS))
    found = {}
    for timeframe in _LONGER:
        watch = Watch()
        bars = roll_up(page, timeframe, [period_of(ROWS)])
        found[timeframe] = _measured(watch, [bars])
    return found


async def _out_of_store(database: str) -> Found:
    """Read the bars as an export does, page by page."""
    found = {}
    async with bootstrap(bench_settings(database)) as service:
        for timeframe in _OUT_OF_STORES:
            watch = Watch()
            export = await export_candles(
                service.storage, replace(a_series(ROWS), timeframe=timeframe), period_of(ROWS)
            )
            found[timeframe] = _measured(watch, [page async for page in export.pages])
    return found


def _measured(watch: Watch, pages: Sequence[CandlePage]) -> Mapping[str, float]:
    cost = watch.stop()
    bars, volume = sum(map(len, pages)), sum(sum(page.volumes) for page in pages)
    return {"seconds": cost.seconds, "cpu": cost.cpu, "bars": bars, "volume": volume}


def _check(runs: Mapping[str, Sequence[Found]]) -> None:
    volume = sum(sum(page.volumes) for page in minutes(a_series(ROWS), ROWS))
    for timeframe in _LONGER:
        found = [run[timeframe] for each in runs.values() for run in each if timeframe in run]
        assert {each["volume"] for each in found} == {volume}, f"{timeframe} lost or invented volume"
        assert len({each["bars"] for each in found}) == 1, f"the ways do not come to the same bars of {timeframe}"


def _report(runs: Mapping[str, Sequence[Found]]) -> None:
    rows = [[timeframe, *(_cell(each, timeframe) for each in runs.values())] for timeframe in _LONGER]
    columns = ("to", "in memory", "out of PostgreSQL", "out of SQLite")
    notes = (
        "Thousand minutes/s, CPU s of ours per million minutes in brackets. "
        f"Medians of {len(runs[MEMORY])} rounds; {versions('asyncpg', 'aiosqlite')}"
    )
    publish("resample", f"{ROWS:,} minutes to longer bars", columns, rows, notes)


def _cell(each: Sequence[Found], timeframe: Timeframe) -> str:
    found = [run[timeframe] for run in each if timeframe in run]
    if not found:
        return ""
    rate, cpu = median(ROWS / run["seconds"] for run in found), median(run["cpu"] / ROWS for run in found)
    return f"{rate / 1_000:,.0f} ({cpu * 1e6:.2f})"


if __name__ == "__main__":
    main()
