"""Source to store: `python -m app.bench.ingest`. How fast candles are taken in, beside clients that only download.

The ways are run in turn within each round, each in a process of its own, against a source that answers out of memory.
What is stored is counted and verified. `--full` loads five million candles to see whether memory grows.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track

from app.bench.loads import Load
from app.bench.measuring import create_database, goal, publish, ratio, server, versions
from app.bench.ways import run
from app.simulator.servers import Postgresql

Runs = dict[str, list[Mapping[str, float]]]

LATENCY = 0.04
DOWNLOADS = {"raw": "raw", "http": "http", "decoded": "decoded", "aiomoex": "with_aiomoex", "apimoex": "with_apimoex"}
NAMES = {
    "raw": "HTTP alone, raw sockets",
    "http": "HTTP alone, aiohttp",
    "decoded": "the same, checked as columns and packed for COPY",
    "copied": "PostgreSQL: COPY alone, of packed rows",
    "executed": "SQLite: executemany alone, of tuples",
    "aiomoex": "aiomoex: download only, nothing stored",
    "apimoex": "apimoex: download only, nothing stored",
    "postgresql": "**ours into PostgreSQL**",
    "sqlite": "**ours into SQLite**",
    "postgresql again": "the same once more, unchanged: PostgreSQL",
    "sqlite again": "the same once more, unchanged: SQLite",
}


@dataclass(slots=True)
class Places:
    """Where to store: a new empty database each time one is asked for."""

    postgresql: Postgresql
    folder: Path
    count: int = 0

    def empty(self, kind: str, load: Load) -> Load:
        self.count += 1
        name = f"bench_{self.count}"
        if kind == "sqlite":
            return replace(load, database=f"sqlite+aiosqlite:///{self.folder / name}.db")
        create_database(self.postgresql.url, name)
        return replace(load, database=self.postgresql.url_of(name), server=self.postgresql.pid)


def main() -> None:
    """Measure, print tables, and write them down."""
    parser = argparse.ArgumentParser(prog="python -m app.bench.ingest", description=__doc__)
    parser.add_argument("--securities", type=int, default=8)
    parser.add_argument("--days", type=int, default=112)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="see the memory of five million candles, not two")
    options = parser.parse_args()
    with _places() as places:
        load = Load(options.securities, options.days, options.concurrency, "")
        _report_ways(load, _measure_ways(places, load, options.rounds))


@contextmanager
def _places() -> Iterator[Places]:
    with Postgresql(durable=True) as postgresql, TemporaryDirectory() as folder:
        yield Places(postgresql, Path(folder))


def _measure_ways(places: Places, load: Load, rounds: int) -> Runs:
    runs: Runs = {name: [] for name in NAMES}
    with server("app.bench.source", "--days", load.days) as source:
        load = replace(load, source=source)
        for way in ("decoded", "with_aiomoex"):  # what they ask is looked up after this
            run(way, load)
        for _ in track(range(rounds), "rounds", console=Console(stderr=True)):
            for name, found in _round(places, load):
                runs[name].append(found)
    assert len({found["rows"] for each in runs.values() for found in each}) == 1, "not all saw the same candles"
    return runs


def _round(places: Places, load: Load) -> Iterator[tuple[str, Mapping[str, float]]]:
    for name, way in DOWNLOADS.items():
        yield name, run(way, load)
    for kind, floor in (("postgresql", "copied"), ("sqlite", "executed")):
        ours, alone = places.empty(kind, load), places.empty(kind, load)
        yield kind, run("stored", ours)
        yield floor, run(floor, replace(alone, copy_of=ours.database))
        yield f"{kind} again", run("again", ours)


def _report_ways(load: Load, runs: Runs) -> None:
    rate = {name: median(found["rows"] / found["seconds"] for found in each) for name, each in runs.items()}
    cpu = {name: median(_cpu(found) for found in each) for name, each in runs.items()}
    rows = [
        [
            NAMES[name],
            f"{rate[name] / 1_000:,.0f}",
            ratio(rate[name], rate["aiomoex"]),
            f"{_per_million(each, 'cpu')} / {_per_million(each, 'server')}",
            f"{max(found['peak'] for found in each):.0f}",
        ]
        for name, each in runs.items()
    ]
    title = (
        f"{runs['raw'][0]['rows']:,.0f} minutes of {load.securities} securities, {load.at_once} requests at once, "
        "no latency"
    )
    columns = ("way", "thousand rows/s", "x aiomoex", "CPU s per million rows (here / PostgreSQL)", "peak MB")
    fastest = max(rate["aiomoex"], rate["apimoex"], rate["postgresql"])
    goals = [
        goal("the source alone, x the fastest client", rate["raw"] / fastest, least=2),
        goal("into PostgreSQL, x aiomoex's download", rate["postgresql"] / rate["aiomoex"], least=1),
        goal(
            "its CPU, x HTTP, decoding and COPY alone", cpu["postgresql"] / (cpu["decoded"] + cpu["copied"]), most=1.6
        ),
        goal("into SQLite, x executemany alone", rate["sqlite"] / rate["executed"], least=0.6),
        goal("unchanged, x fresh, PostgreSQL", rate["postgresql again"] / rate["postgresql"], least=0.4),
        goal("unchanged, x fresh, SQLite", rate["sqlite again"] / rate["sqlite"], least=0.4),
    ]
    publish("ingest", title, columns, rows, _notes(goals, runs["raw"]))


def _cpu(found: Mapping[str, float]) -> float:
    return found["cpu"] + found["server"]


def _per_million(each: Sequence[Mapping[str, float]], what: str) -> str:
    return f"{median(found[what] / found['rows'] for found in each) * 1e6:.2f}"


def _notes(goals: Sequence[str], rounds: Sequence[object]) -> str:
    packages = versions("aiomoex", "apimoex", "aiohttp", "asyncpg", "aiosqlite")
    return "\n".join([*goals, "", f"Medians of {len(rounds)} rounds; {packages}"])


if __name__ == "__main__":
    main()
