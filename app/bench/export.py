"""Out of the store into files: `python -m app.bench.export`. A million minutes in each form, beside COPY alone.

The ways are run in turn within each round, each in a process of its own; every file is read back and compared with
what was stored. Memory is compared with that of a fifth of the rows.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from statistics import median
from tempfile import TemporaryDirectory

import pyarrow as pa
import uvloop
from pyarrow import csv, parquet
from pyarrow import json as ndjson
from rich.console import Console
from rich.progress import track

from app.bench.files import COPY, Job, a_series, fill, minutes
from app.bench.measuring import child, create_database, goal, publish, ratio, versions
from app.core.pages import CandlePage
from app.io.forms import FileForm
from app.simulator.servers import Postgresql

Runs = dict[str, list[Mapping[str, float]]]

ROWS = 1_000_000
FEW = ROWS // 5
FORMS = {"PostgreSQL": list(FileForm), "SQLite": [FileForm.CSV, FileForm.ARROW]}
ALONE = "PostgreSQL: binary COPY alone"

_SCHEMA = pa.schema(
    [
        ("begin", pa.timestamp("us", tz="UTC")),
        *((name, pa.float64()) for name in ("open", "high", "low", "close", "volume", "value")),
        ("final", pa.bool_()),
    ]
)
_READERS: Mapping[FileForm, Callable[[str], pa.Table]] = {
    FileForm.CSV: csv.read_csv,
    FileForm.NDJSON: ndjson.read_json,
    FileForm.ARROW: lambda file: pa.ipc.open_stream(file).read_all(),
    FileForm.PARQUET: parquet.read_table,
}


def main() -> None:
    """Measure, print a table, and write it down."""
    parser = argparse.ArgumentParser(prog="python -m app.bench.export", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with Postgresql(durable=True) as server, TemporaryDirectory() as folder:
        create_database(server.url, "bench")
        databases = {"PostgreSQL": server.url_of("bench"), "SQLite": f"sqlite+aiosqlite:///{folder}/bench.db"}
        for database in databases.values():
            uvloop.run(fill(database, FEW, ROWS))
        jobs = {ALONE: Job(COPY, databases["PostgreSQL"], ROWS, "", server.pid)} | {
            f"{kind}: {form}": Job(form, database, ROWS, f"{folder}/file", server.pid if kind == "PostgreSQL" else 0)
            for kind, database in databases.items()
            for form in FORMS[kind]
        }
        few = {name: _run(replace(job, rows=FEW))["peak"] for name, job in jobs.items()}
        runs: Runs = {name: [] for name in jobs}
        for _ in track(range(rounds), "rounds", console=Console(stderr=True)):
            for name, job in jobs.items():
                runs[name].append(_run(job))
    _report(runs, few)


def _run(job: Job) -> Mapping[str, float]:
    found: Mapping[str, float] = child("app.bench.files", json.dumps(asdict(job)))
    assert found["rows"] == job.rows
    if job.way != COPY:
        table = _READERS[FileForm(job.way)](job.file).cast(_SCHEMA)
        assert table.combine_chunks() == _stored(job.rows), f"{job.way} does not hold what was stored"
    return found


@cache
def _stored(rows: int) -> pa.Table:
    series = a_series(rows)
    page = CandlePage.join(series, minutes(series, rows))
    begins = pa.array(page.begins, pa.timestamp("s", tz="UTC")).cast(_SCHEMA.field("begin").type)
    finals = pa.array([final == 1 for final in page.finals])
    return pa.Table.from_arrays([begins, *map(pa.array, page.prices), finals], schema=_SCHEMA)


def _report(runs: Runs, few: Mapping[str, float]) -> None:
    rate = {name: median(found["rows"] / found["seconds"] for found in each) for name, each in runs.items()}
    peak = {name: max(found["peak"] for found in each) for name, each in runs.items()}
    rows = [
        [
            name,
            f"{rate[name] / 1_000:,.0f}",
            ratio(rate[name], rate[ALONE]),
            f"{_per_million(each, 'cpu')} / {_per_million(each, 'server')}",
            f"{each[0]['bytes'] / each[0]['rows']:.0f}",
            f"{few[name]:.0f} / {peak[name]:.0f}",
        ]
        for name, each in runs.items()
    ]
    columns = ("way", "thousand rows/s", "x COPY", "CPU s per million rows (here / PostgreSQL)", "bytes per row")
    growth = max(peak[name] / few[name] for name in runs)
    goals = [
        goal("Arrow out of PostgreSQL, x COPY alone", rate[f"PostgreSQL: {FileForm.ARROW}"] / rate[ALONE], least=0.5),
        goal("memory of a million rows, x that of a fifth, at worst", growth, most=1.2),
    ]
    notes = [*goals, "", f"Medians of {len(runs[ALONE])} rounds; {versions('asyncpg', 'aiosqlite', 'pyarrow')}"]
    publish(
        "export", f"{ROWS:,} minutes into files", (*columns, f"peak MB ({FEW:,} / all rows)"), rows, "\n".join(notes)
    )


def _per_million(each: Sequence[Mapping[str, float]], what: str) -> str:
    return f"{median(found[what] / found['rows'] for found in each) * 1e6:.2f}"


if __name__ == "__main__":
    main()
