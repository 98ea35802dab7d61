"""What all benchmarks share: processes of their own, clocks, and the tables they print and write down.

A benchmark runs what it compares in turn, round after round, each in a process of its own (`child`), checks what came
out, and gives medians and ratios of one run to `publish`, which prints them and puts them into `docs/performance.md`.
"""

import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import asyncpg
from rich.console import Console
from rich.progress import track
from rich.table import Table

PAGE = Path("docs/performance.md")
"""Where results stand, between `<!-- NAME -->` and `<!-- /NAME -->`; run from the root of the repository."""

_WAIT = 60
_LOG_KILOBYTES = 400_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What a stretch of work took: seconds of wall time, of this process's CPU, and its peak memory in megabytes."""

    seconds: float
    cpu: float
    peak: float


class Watch:
    """Measures from its making to `stop`."""

    def __init__(self) -> None:
        """Start both clocks."""
        self._cpu, self._start = time.process_time(), time.perf_counter()

    def stop(self) -> Cost:
        """Return what was used since this was made; the peak is the program's own, since it began."""
        seconds, cpu = time.perf_counter() - self._start, time.process_time() - self._cpu
        return Cost(seconds, cpu, _peak())


def _peak() -> float:
    """Return the most memory in megabytes that this program held; `getrusage` counts that of its parent, too."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def server_cpu(pid: int) -> float:
    """Return the seconds of CPU that a server's processes used so far, those that ended too; Linux only."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile; the first process counts it then
            continue
        own, ended = map(int, fields[11:13]), map(int, fields[13:15])
        if stat.parent.name == str(pid):
            ticks += sum(own) + sum(ended)
        elif fields[1] == str(pid):
            ticks += sum(own)
    return ticks / os.sysconf("SC_CLK_TCK")


def child(module: str, *arguments: object) -> Any:  # noqa: ANN401  # JSON
    """Run `python -m module arguments` and return what it printed last, as JSON; its failure is ours."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def server(module: str, *options: object) -> Iterator[str]:
    """Run a server in a process of its own, until the end of the block; gives the address of its first line."""
    command = [sys.executable, "-m", module, *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            yield next(word for word in line.split() if word.startswith("http")).rstrip(",/").removesuffix("/iss")
        finally:
            process.terminate()
            process.wait(_WAIT)


@contextmanager
def simulator(*options: object) -> Iterator[str]:
    """Run the simulated exchange in a process of its own; gives its address."""
    with server("app.simulator", "--port", "0", *options) as address:
        yield address


def create_database(postgresql: str, name: str) -> None:
    """Create an empty database on a server, whose URL may name a driver. It has nothing left to write down then."""
    _execute(postgresql, f"CREATE DATABASE {name}", "CHECKPOINT")


def wear_in(postgresql: str) -> None:
    """Let a fresh server fill some files of its log: it uses them again then, as any that has run for a while does.

    To make such a file, 16 MB of zeros are written and synced while all who commit wait: half of what COPY costs.
    """
    rows = f"generate_series(1, {_LOG_KILOBYTES})"
    filling = f"CREATE TABLE filling AS SELECT repeat('x', 1000) FROM {rows}"  # noqa: S608  # a number
    _execute(postgresql, filling, "DROP TABLE filling", "CHECKPOINT")


def _execute(postgresql: str, *statements: str) -> None:
    async def execute() -> None:
        async with AsyncExitStack() as stack:
            connection = await asyncpg.connect(postgresql.replace("+asyncpg", ""))
            stack.push_async_callback(connection.close)
            for statement in statements:
                await connection.execute(statement)

    asyncio.run(execute())


def rounds(count: int) -> Iterable[int]:
    """Count rounds, and show at a terminal how many are done."""
    console = Console(stderr=True)
    return track(range(count), "rounds", console=console, disable=not console.is_terminal)


def publish(name: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], notes: str) -> None:
    """Print a table, and put it into the page under its name, with how it was made.

    The first column holds words, the others numbers. `notes`: versions, sizes, what a reader has to know. A run with
    `--full` has a place of its own, which others leave alone.
    """
    if "--full" in sys.argv and _place(f"{name} full") in PAGE.read_text():
        name = f"{name} full"
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(notes, soft_wrap=True)
    lines = [
        f"**{title}**",
        "",
        f"| {' | '.join(columns)} |",
        f"|{'|'.join(['---', *['---:'] * (len(columns) - 1)])}|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"{notes} {_command()}",
    ]
    _write_down(name, "\n".join(lines))


def versions(*names: str) -> str:
    """Name the interpreter, the machine and the versions of packages."""
    packages = [f"{name} {version(name)}" for name in names]
    return ", ".join([f"Python {platform.python_version()}", *packages, f"{os.cpu_count()} cores."])


def ratio(value: float, to: float) -> str:
    """Write how many times `to` a value is."""
    return f"{value / to:.2f}"


def goal(what: str, value: float, *, least: float | None = None, most: float | None = None) -> str:
    """Write whether a goal is reached, or by which part of it is missed: a line of a list."""
    bound = least if least is not None else most
    assert bound is not None
    is_reached = value >= bound if least is not None else value <= bound
    verdict = "reached" if is_reached else f"missed by {abs(value / bound - 1):.0%}"
    return f"- {what}: {value:.2f}, the goal is {'at least' if least is not None else 'at most'} {bound:g}: {verdict}"


def measured(cost: Cost, **what: float) -> str:
    """Write what a child process prints last."""
    return json.dumps({"seconds": cost.seconds, "cpu": cost.cpu, "peak": cost.peak, **what})


def rates(runs: Sequence[Mapping[str, float]], of: str = "rows") -> list[float]:
    """Return how many a second each run made."""
    return [run[of] / run["seconds"] for run in runs]


def _command() -> str:
    main = sys.modules["__main__"].__spec__
    module = main.name if main else sys.argv[0]
    return f"`python -m {' '.join([module, *sys.argv[1:]])}`"


def _write_down(name: str, text: str) -> None:
    page = PAGE.read_text()
    begin, end = _place(name), _place(f"/{name}")
    assert begin in page, f"{PAGE} has no place for {name}"
    before, _, rest = page.partition(begin)
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")


def _place(name: str) -> str:
    return f"<!-- {name} -->"
