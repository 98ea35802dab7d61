"""The benchmarks measure what they say: every way reads or writes the same candles, however fast."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.bench.loads import Load
from app.bench.measuring import goal, server, server_cpu
from app.bench.source import Source, begin_of_days
from app.bench.ways import run

DAYS = 3
ROWS = 2 * len(Source(begin_of_days(DAYS).moscow.date()).rows)
"""Minutes of two tickers."""


@pytest.fixture
def load() -> Iterator[Load]:
    with server("app.bench.source", "--days", DAYS) as source:
        yield Load(2, DAYS, 2, source)


def test_all_downloads_see_the_same_candles(load: Load) -> None:
    ways = ("raw", "http", "decoded", "with_aiomoex", "with_apimoex")

    assert {run(way, load)["rows"] for way in ways} == {ROWS}


def test_sqlite_takes_them_once(load: Load, empty_sqlite_url: str, sqlite_url: str) -> None:
    ours, alone = (replace(load, database=url) for url in (empty_sqlite_url, sqlite_url))

    stored, again = run("stored", ours), run("again", ours)
    executed = run("executed", replace(alone, copy_of=ours.database))

    assert {found["rows"] for found in (stored, again, executed)} == {ROWS}


def test_postgresql_takes_them_once(load: Load, empty_postgresql_url: str, postgresql_url: str) -> None:
    ours, alone = (replace(load, database=url, server=os.getpid()) for url in (empty_postgresql_url, postgresql_url))

    stored, again = run("stored", ours), run("again", ours)
    copied = run("copied", replace(alone, copy_of=ours.database))

    assert {found["rows"] for found in (stored, again, copied)} == {ROWS}


def test_a_goal_tells_by_how_much_it_is_missed() -> None:
    assert goal("this", 0.75, least=1) == "- this: 0.75, the goal is at least 1: missed by 25%"
    assert goal("that", 12, most=10) == "- that: 12.00, the goal is at most 10: missed by 20%"
    assert goal("these", 10, most=10).endswith("reached")


def test_the_cpu_of_a_server_is_that_of_its_processes_too() -> None:
    before = server_cpu(os.getpid())

    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)

    assert server_cpu(os.getpid()) - before >= 0.29  # it is told in hundredths
