"""Source to store: `python -m app.bench.ingest`. How fast candles are taken in, beside clients that only download.

The ways are run in turn within each round, each in a process of its own, against a source that answers out of memory.
What is stored is counted and verified. `--full` loads five million candles to see whether memory grows.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from app.bench.loads import Load
from app.bench.measuring import create_database, goal, publish, ratio, rounds, server, versions, wear_in
from app.bench.profiles import PARTS, REST
from app.bench.ways import run
from app.simulator.servers import Postgresql

Run = Mapping[str, float]
Runs = dict[str, list[Run]]

LATENCY = 0.04
AT_ONCE = (1, 8, 32)

_DOWNLOADS = {"raw": "raw", "http": "http", "decoded": "decoded", "aiomoex": "with_aiomoex", "apimoex": "with_apimoex"}
_NAMES = {
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
_CPU = "CPU s per million rows (here / PostgreSQL)"
_MILLION = 1_000_000
_FIFTH = 5
_ROWS_A_DAY = 560
"""Minutes a day of the calendar, on average: weekends and nights are in it."""


@dataclass(slots=True)
class Places:
    """Where to store: a new empty database each time one is asked for."""

    postgresql: Postgresql
    folder: Path
    count: int = 0

    def empty(self, kind: str, load: Load) -> Load:
        """Let the load go into one of PostgreSQL or SQLite."""
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
    load = Load(options.securities, options.days, options.concurrency, "")
    with _places() as places:
        _report_ways(load, _measure_ways(places, load, options.rounds))
        _report_latency(_measure_latency(places, options.rounds))
        runs = _measure_large(places, load, (5 if options.full else 2) * _MILLION, options.rounds)
        watched, profiles = _look_inside(places, load)
    _report_memory(runs, watched)
    _report_profiles(profiles)


@contextmanager
def _places() -> Iterator[Places]:
    with Postgresql(durable=True) as postgresql, TemporaryDirectory() as folder:
        wear_in(postgresql.url)
        yield Places(postgresql, Path(folder))


def _measure_ways(places: Places, load: Load, count: int) -> Runs:
    runs: Runs = {name: [] for name in _NAMES}
    with _source(load) as source:
        for _ in rounds(count):
            for name, found in _round(places, replace(load, source=source)):
                runs[name].append(found)
    assert len({found["rows"] for each in runs.values() for found in each}) == 1, "not all saw the same candles"
    return runs


@contextmanager
def _source(load: Load, latency: float = 0) -> Iterator[str]:
    """Run the source, which has looked up by then what ours and others ask."""
    with server("app.bench.source", "--days", load.days, "--latency", latency) as source:
        for way in ("decoded", "with_aiomoex"):
            run(way, replace(load, source=source, securities=1))
        yield source


def _round(places: Places, load: Load) -> Iterator[tuple[str, Run]]:
    for name, way in _DOWNLOADS.items():
        yield name, run(way, load)
    for kind, floor in (("postgresql", "copied"), ("sqlite", "executed")):
        ours, alone = places.empty(kind, load), places.empty(kind, load)
        yield kind, run("stored", ours)
        yield floor, run(floor, replace(alone, copy_of=ours.database))
        yield f"{kind} again", run("again", ours)


def _report_ways(load: Load, runs: Runs) -> None:
    rows = [
        [
            _NAMES[name],
            f"{_rate(each) / 1_000:,.0f}",
            ratio(_rate(each), _rate(runs["aiomoex"])),
            f"{_per_million(each, 'cpu')} / {_per_million(each, 'server')}",
            f"{max(found['peak'] for found in each):.0f}",
        ]
        for name, each in runs.items()
    ]
    title = (
        f"{runs['raw'][0]['rows']:,.0f} minutes of {load.securities} securities, {load.at_once} requests at once, "
        "no latency"
    )
    columns = ("way", "thousand rows/s", "x aiomoex", _CPU, "peak MB")
    publish("ingest", title, columns, rows, _notes(_goals(runs), runs["raw"]))


def _goals(runs: Runs) -> list[str]:
    times = partial(_times, runs)
    fastest = max(("aiomoex", "apimoex", "postgresql", "sqlite"), key=lambda name: _rate(runs[name]))
    return [
        goal("the source alone, x the fastest client", times("raw", fastest), least=2),
        goal("into PostgreSQL, x aiomoex's download", times("postgresql", "aiomoex"), least=1),
        goal("CPU for it, x decoding and COPY alone", times("postgresql", "decoded", "copied", value=_cpu), most=1.6),
        goal("into SQLite, x executemany alone", times("sqlite", "executed"), least=0.6),
        goal("unchanged, x fresh, PostgreSQL", times("postgresql again", "postgresql"), least=0.4),
        goal("unchanged, x fresh, SQLite", times("sqlite again", "sqlite"), least=0.4),
    ]


def _measure_latency(places: Places, count: int) -> Mapping[tuple[str, int], list[Run]]:
    """Load as many securities a request at once, so that all of them have as much to wait for."""
    runs: dict[tuple[str, int], list[Run]] = {}
    load = Load(0, 18, 0, "")
    with _source(replace(load, securities=1, at_once=1)) as quick, _source(load, LATENCY) as source:
        for _ in rounds(count):
            for at_once in AT_ONCE:
                here = Load(2 * at_once, load.days, at_once, source, quick)
                for kind in ("postgresql", "sqlite"):
                    runs.setdefault((kind, at_once), []).append(run("stored", places.empty(kind, here)))
                runs.setdefault(("aiomoex", at_once), []).append(run("with_aiomoex", here))
    return runs


def _report_latency(runs: Mapping[tuple[str, int], list[Run]]) -> None:
    def kept(kind: str, at_once: int) -> float:
        together = zip(runs[kind, at_once], runs[kind, 1], strict=True)
        return median(_speed(found) / (at_once * _speed(alone)) for found, alone in together)

    names = {"postgresql": "**ours into PostgreSQL**", "sqlite": "**ours into SQLite**", "aiomoex": _NAMES["aiomoex"]}
    rows = [
        [
            f"{names[kind]}, {at_once} at once",
            f"{_rate(each) / 1_000:,.0f}",
            f"{kept(kind, at_once):.2f}",
            f"{_per_million(each, 'cpu')} / {_per_million(each, 'server')}",
        ]
        for (kind, at_once), each in sorted(runs.items())
    ]
    goals = [
        goal(
            f"{at_once} at once into PostgreSQL, x {at_once} times one at a time",
            kept("postgresql", at_once),
            least=0.9,
        )
        for at_once in AT_ONCE[1:]
    ]
    title = f"{LATENCY * 1_000:.0f} ms an answer, two securities a request at once"
    columns = ("way", "thousand rows/s", "x so many alone", _CPU)
    publish("latency", title, columns, rows, _notes(goals, runs["aiomoex", 1]))


def _measure_large(places: Places, load: Load, rows: int, count: int) -> Runs:
    """Load so many candles, beside a client that keeps them in its memory, and a fifth of them."""
    days = round(rows / load.securities / _ROWS_A_DAY)
    with _source(replace(load, days=days)) as source:
        fifth, whole = (replace(load, days=number, source=source) for number in (days // _FIFTH, days))
        runs: Runs = {"fifth": [], "whole": [], "aiomoex": []}
        for _ in rounds(count):
            runs["fifth"].append(run("stored", places.empty("postgresql", fifth)))
            runs["whole"].append(run("stored", places.empty("postgresql", whole)))
            runs["aiomoex"].append(run("with_aiomoex", whole))
        return runs


def _look_inside(places: Places, load: Load) -> tuple[Run, Mapping[str, Run]]:
    """Look how long the event loop is held, and where the CPU goes; both take time of their own."""
    with _source(load) as source:
        here = replace(load, source=source)
        watched = run("watched", places.empty("postgresql", here))
        return watched, {kind: run("profiled", places.empty(kind, here)) for kind in ("postgresql", "sqlite")}


def _report_memory(runs: Runs, watched: Run) -> None:
    fifths, wholes = runs["fifth"], runs["whole"]
    least, peak = (max(found["peak"] for found in each) for each in (fifths, wholes))
    rows = [
        [f"peak memory, {fifths[0]['rows']:,.0f} rows into PostgreSQL", f"{least:.0f} MB"],
        [f"peak memory, {wholes[0]['rows']:,.0f} rows into PostgreSQL", f"{peak:.0f} MB"],
        ["thousand rows/s of these", f"{_rate(wholes) / 1_000:,.0f}"],
        ["aiomoex: the same into its memory, thousand rows/s", f"{_rate(runs['aiomoex']) / 1_000:,.0f}"],
        ["the event loop held at most, CPU of its thread", f"{watched['held']:.1f} ms"],
        ["a coroutine late at most, on this machine", f"{watched['late']:.1f} ms"],
    ]
    goals = [
        goal("peak memory of the whole in MB", peak, most=150),
        goal("the same, x that of a fifth", peak / least, most=1.1),
        goal("its rate, x aiomoex's download", _times(runs, "whole", "aiomoex"), least=1),
        goal("milliseconds for which the event loop is held", watched["held"], most=10),
    ]
    publish("memory", "Large loads, memory and the event loop", ("what", "measured"), rows, _notes(goals, wholes))


def _report_profiles(profiles: Mapping[str, Run]) -> None:
    rows = [[part, *(f"{found[part]:.0%}" for found in profiles.values())] for part in (*PARTS, REST)]
    title = "Where the CPU of the process goes"
    publish("profile", title, ("for", "into PostgreSQL", "into SQLite"), rows, f"By cProfile; {versions()}")


def _speed(found: Run) -> float:
    return found["rows"] / found["seconds"]


def _times(runs: Runs, name: str, *of: str, value: Callable[[Run], float] = _speed) -> float:
    """Compare within each round, where the machine was the same for all."""
    together = zip(runs[name], *(runs[each] for each in of), strict=True)
    return median(value(found) / sum(map(value, others)) for found, *others in together)


def _rate(each: Sequence[Run]) -> float:
    return median(map(_speed, each))


def _cpu(found: Run) -> float:
    return (found["cpu"] + found["server"]) / found["rows"]


def _per_million(each: Sequence[Run], what: str) -> str:
    return f"{median(found[what] / found['rows'] for found in each) * _MILLION:.2f}"


def _notes(goals: Sequence[str], runs: Sequence[object]) -> str:
    packages = versions("aiomoex", "apimoex", "aiohttp", "asyncpg", "aiosqlite")
    return "\n".join([*goals, "", f"Rounds: {len(runs)}, medians; {packages}"])


if __name__ == "__main__":
    main()
