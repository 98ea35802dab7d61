"""Starting up: `python -m app.bench.start`. What it takes until a command has answered, or a process is ready.

CPU is that of the whole process, the interpreter's own start included. Everything is compiled before, and started in
turn within each round.
"""

import argparse
import compileall
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from redis import Redis

from app.bench.measuring import goal, publish, ratio, rounds, server, server_cpu, versions
from app.simulator import servers

CANDLES = ("-m", "app.io.cli")
_COMMANDS = {
    "the interpreter alone": ("-c", "pass"),
    "candles --help": (*CANDLES, "--help"),
    "candles --version": (*CANDLES, "--version"),
    "candles securities": (*CANDLES, "securities"),
    "import of the REST API": ("-c", "import app.io.rest_api.main"),
}
_POLL = 0.005


@dataclass(frozen=True, slots=True)
class Started:
    """Seconds of wall time and of CPU."""

    seconds: float
    cpu: float


def main() -> None:
    """Measure, print a table, and write it down."""
    parser = argparse.ArgumentParser(prog="python -m app.bench.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for folder in ("app", "db_schema"):
        compileall.compile_dir(folder, quiet=1)
    with _surroundings() as (environment, redis):
        ways: dict[str, Callable[[], Started]] = {
            name: partial(_ended, command, environment) for name, command in _COMMANDS.items()
        }
        ways["candles serve, until it answers"] = partial(_served, environment)
        ways["candles worker, until it waits for tasks"] = partial(_working, environment, redis)
        runs: dict[str, list[Started]] = {name: [] for name in ways}
        for _ in rounds(options.rounds):
            for name, way in ways.items():
                runs[name].append(way())
    _report(runs)


@contextmanager
def _surroundings() -> Iterator[tuple[Mapping[str, str], Redis]]:
    """Give the environment of a small store with three securities, and the Redis of its workers."""
    with server("app.bench.source", "--days", 1) as source, servers.Redis() as redis, TemporaryDirectory() as folder:
        environment = {
            "PATH": os.defpath, "DATABASE_URL": f"sqlite:///{Path(folder) / 'candles.db'}", "ISS_URL": source,
            "SOURCE_NAME": "benchmark", "CLOCK": "source", "ISS_RATE": "off", "REDIS_URL": redis.url,
        }  # fmt: skip
        for ticker in ("SIM000", "SIM001", "SIM002"):
            _ended((*CANDLES, "create-security", ticker, "TQBR"), environment)
        yield environment, Redis.from_url(redis.url)


def _ended(command: tuple[str, ...], environment: Mapping[str, str]) -> Started:
    """Run to the end."""
    before, begun = _children(), time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True, env=environment)
    return Started(time.perf_counter() - begun, _children() - before)


def _children() -> float:
    """Return the CPU of the processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _served(environment: Mapping[str, str]) -> Started:
    """Start the API, until it says where it answers."""

    def announced(process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        assert any("answers at http" in line for line in process.stderr)

    return _until(announced, "serve", "--port", "0", environment=environment)


def _working(environment: Mapping[str, str], redis: Redis) -> Started:
    """Start a worker, until Redis sees it waiting for what comes."""

    def waiting(process: "subprocess.Popen[str]") -> None:
        while not any(client["cmd"] == "xreadgroup" for client in redis.client_list()):
            assert process.poll() is None
            time.sleep(_POLL)

    return _until(waiting, "worker", environment=environment)


def _until(ready: Callable[["subprocess.Popen[str]"], None], *words: str, environment: Mapping[str, str]) -> Started:
    begun = time.perf_counter()
    command = [sys.executable, *CANDLES, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        ready(process)
        started = Started(time.perf_counter() - begun, server_cpu(process.pid))
        process.terminate()
        process.communicate()
    return started


def _report(runs: Mapping[str, list[Started]]) -> None:
    cpu = {name: median(run.cpu for run in each) for name, each in runs.items()}
    bare = cpu["the interpreter alone"]
    seconds = {name: median(run.seconds for run in each) for name, each in runs.items()}
    rows = [[name, f"{seconds[name]:.3f}", f"{1_000 * cpu[name]:.0f}", ratio(cpu[name], bare)] for name in runs]
    goals = [
        goal("CPU of candles --help, x the interpreter's", cpu["candles --help"] / bare, most=15),
        goal("seconds until a worker is ready", seconds["candles worker, until it waits for tasks"], most=1),
    ]
    count = len(runs["candles --help"])
    notes = "\n".join([*goals, "", f"Medians of {count} rounds; {versions('typer', 'sqlalchemy', 'fastapi')}"])
    publish("start", "Starting up", ("what", "seconds", "CPU ms", "x the interpreter"), rows, notes)


if __name__ == "__main__":
    main()
