"""Many workers: `python -m app.bench.workers`. Whether more processes load more.

Workers, as users start them, share PostgreSQL, Redis and one request budget; each answer of the source takes 40 ms.
The budget has no limit by the second; it grows with the workers, 4 requests at once for each, then it is lifted. The
clock runs from the kick of an update to the end of its last task; what is stored is counted and verified.
"""

import argparse
import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from redis.asyncio import Redis as RedisClient
from rich.console import Console
from rich.progress import track

from app.bench.ingest import Places
from app.bench.loads import Load
from app.bench.measuring import publish, ratio, server, server_cpu, versions
from app.bench.stores import follow, program, settings
from app.bootstrap import bootstrap
from app.simulator.servers import Postgresql, Redis
from app.tasks.schedule import look
from app.tasks.stream_broker import StreamBroker
from app.use_cases.verify import verify

LATENCY = 0.04
WORKERS = (1, 2, 4)
LIFTED = 100
_EACH = 4
_QUEUE = "candles"
_LOOK = 0.01
_PATIENCE = 60

Run = tuple[int, int]
"""So many workers, so many requests at once."""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m app.bench.workers", description=__doc__)
    parser.add_argument("--securities", type=int, default=32)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    load = Load(options.securities, options.days, LIFTED, "")
    shared = [(workers, _EACH * workers) for workers in WORKERS]
    lifted = [(workers, LIFTED) for workers in (WORKERS[0], WORKERS[-1])]
    runs: dict[Run, list[Mapping[str, float]]] = {run: [] for run in (*shared, *lifted)}
    with ExitStack() as stack:
        postgresql, redis = stack.enter_context(Postgresql(durable=True)), stack.enter_context(Redis())
        quick, slow = (
            stack.enter_context(server("app.bench.source", "--days", load.days, "--latency", latency))
            for latency in (0.0, LATENCY)
        )
        load = replace(load, source=slow, quick=quick, server=postgresql.pid)
        places = Places(postgresql, Path(stack.enter_context(TemporaryDirectory())))
        for _ in track(range(options.rounds), "rounds", console=Console(stderr=True)):
            for (workers, at_once), found in runs.items():
                chosen = places.empty("postgresql", replace(load, at_once=at_once))
                found.append(asyncio.run(_measure(chosen, redis, workers, places.folder)))
    _report(load, runs, options.rounds)


async def _measure(load: Load, redis: Redis, workers: int, folder: Path) -> Mapping[str, float]:
    """Load everything with so many workers."""
    await follow(load)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(RedisClient.from_url(redis.url, decode_responses=True))
        await client.flushdb()
        pids = [stack.enter_context(_worker(load, redis, folder)) for _ in range(workers)]
        await _until(lambda: _wait_for_tasks(client, workers))
        service = await stack.enter_async_context(bootstrap(settings(load, load.source)))
        broker = StreamBroker(redis.url, lease=60)
        stack.push_async_callback(broker.shutdown)
        began, used = time.perf_counter(), _used(pids, load)
        await look(service, broker)
        await _until(lambda: _has_ended(client))
        seconds = time.perf_counter() - began
        cpu = [after - before for after, before in zip(_used(pids, load), used, strict=True)]
        assert not await client.exists(f"{_QUEUE}:dead")
    return {"rows": await _checked(load), "seconds": seconds, "server": cpu[-1], "workers": sum(cpu[:-1])}


@contextmanager
def _worker(load: Load, redis: Redis, folder: Path) -> Iterator[int]:
    """Run a worker until the end of the block; gives its process id."""
    with subprocess.Popen(program(load, "worker", redis_url=redis.url), cwd=folder) as process:
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(_PATIENCE)


def _used(pids: Sequence[int], load: Load) -> list[float]:
    """Return the CPU seconds of each worker, and of PostgreSQL."""
    return [server_cpu(pid) for pid in (*pids, load.server)]


async def _until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_PATIENCE):
        while not await is_so():  # noqa: ASYNC110  # other processes set no event
            await asyncio.sleep(_LOOK)


async def _wait_for_tasks(client: RedisClient, workers: int) -> bool:
    """Tell whether all workers wait, each for tasks and, beside that, for urgent ones."""
    waiting: int = (await client.info("clients"))["blocked_clients"]
    return waiting == 2 * workers


async def _has_ended(client: RedisClient) -> bool:
    """Tell whether no update waits or runs; looks at lists of the exchange may go on."""
    return not any(str(task).startswith("update_") for task in await client.hkeys(f"{_QUEUE}:waiting"))


async def _checked(load: Load) -> int:
    async with bootstrap(settings(load, load.source)) as service:
        assert not await verify(service.storage)
        async with service.storage.read() as uow:
            assert all([state.watermark is not None async for state in uow.series])
            return await uow.candles.count()


def _report(load: Load, runs: Mapping[Run, Sequence[Mapping[str, float]]], rounds: int) -> None:
    assert len({found["rows"] for each in runs.values() for found in each}) == 1, "not every run stored the same"
    rate = {run: median(found["rows"] / found["seconds"] for found in each) for run, each in runs.items()}
    publish(
        "workers",
        f"Workers that share {runs[1, _EACH][0]['rows']:,.0f} minutes of {load.securities} securities, 40 ms an answer",
        ("workers, requests at once", "rows/s", "x one", "cores: workers", "cores: PostgreSQL"),
        [
            (
                f"{workers}, {at_once}",
                f"{rate[workers, at_once]:,.0f}",
                ratio(rate[workers, at_once], rate[1, _EACH if at_once != LIFTED else LIFTED]),
                *(f"{median(found[of] / found['seconds'] for found in each):.2f}" for of in ("workers", "server")),
            )
            for (workers, at_once), each in runs.items()
        ],
        f"{versions('asyncpg', 'taskiq', 'redis')} Medians of {rounds} rounds.",
    )


if __name__ == "__main__":
    main()
