"""A worker with tasks that write down what they do: `python -m app.tests.tasks.jobs URL JOURNAL VERSION SKEW LEASE`."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from app.tasks.stream_broker import StreamBroker
from app.tasks.worker import consume, run_until_signal
from app.tests.tasks.children import Child, running
from app.tests.tasks.waiting import eventually

LEASE = 1.0
DELIVERIES = 2
NEVER = 600.0
"""A lease and a patience that no test waits for."""
LONG = 6.0
"""A lease that a worker keeps even if the machine lets it stand still for some seconds."""


class Journal:
    """Lines of `started NAME` and `ended NAME`, by whichever process; and which of those that are held may end."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.touch()

    def write(self, line: str) -> None:
        with self.file.open("a") as journal:
            journal.write(f"{line}\n")

    @property
    def lines(self) -> list[str]:
        return self.file.read_text().splitlines()

    def counted(self, line: str) -> int:
        return self.lines.count(line)

    def let(self, name: str) -> None:
        """Let what is held under this name end, now and whenever it is run again."""
        self._permission(name).touch()

    def may_end(self, name: str) -> bool:
        return self._permission(name).exists()

    def _permission(self, name: str) -> Path:
        return self.file.with_name(f"{name} may end")


def broker_with_jobs(
    url: str,
    journal: Journal,
    *,
    lease: float = LEASE,
    deliveries: int = DELIVERIES,
    patience: float = NEVER,
    knows_tomorrow: bool = False,
) -> StreamBroker:
    """Build a broker that knows `job(name, seconds)`, `held(name)`, which ends when the journal lets it, `die(name)`,
    `fail(name)` and perhaps `of_tomorrow(name)`.
    """
    broker = StreamBroker(url, lease=lease, deliveries=deliveries, patience=patience)

    async def job(name: str, seconds: float) -> None:
        journal.write(f"started {name}")
        await asyncio.sleep(seconds)
        journal.write(f"ended {name}")

    async def held(name: str) -> None:
        journal.write(f"started {name}")
        await eventually(lambda: journal.may_end(name), within=NEVER)
        journal.write(f"ended {name}")

    async def die(name: str) -> None:
        journal.write(f"started {name}")
        os._exit(137)

    async def fail(name: str) -> None:
        journal.write(f"started {name}")
        raise ValueError(name)

    async def of_tomorrow(name: str) -> None:
        journal.write(f"tomorrow {name}")

    for task in (job, held, die, fail, *((of_tomorrow,) if knows_tomorrow else ())):
        broker.register_task(task, task.__name__)
    return broker


async def kick(broker: StreamBroker, name: str, seconds: float = 0, *, task: str = "job", urgent: bool = False) -> None:
    """Queue a task whose id is its name."""
    known = broker.find_task(task)
    assert known is not None
    arguments = [name, seconds] if task == "job" else [name]
    await known.kicker().with_task_id(name).with_labels(urgent=urgent).kiq(*arguments)


@asynccontextmanager
async def a_worker(broker: StreamBroker, *, at_once: int = 4, grace: float = 5) -> AsyncIterator[None]:
    """Run a worker in this process for as long as the context lasts."""
    stop = asyncio.Event()
    working = asyncio.create_task(consume(broker, stop, at_once=at_once, grace=grace))
    try:
        yield
    finally:
        stop.set()
        await working


def a_child(
    url: str, journal: Journal, version: str = "now", *, skew: float = 0, lease: float = LEASE
) -> AbstractAsyncContextManager[Child]:
    """Run a worker of version `now` or `tomorrow` in a process of its own, whose clock is `skew` seconds fast."""
    arguments = (url, str(journal.file), version, str(skew), str(lease))
    return running("-m", "app.tests.tasks.jobs", *arguments, folder=journal.file.parent)


def main(url: str, journal: str, version: str, skew: str, lease: str) -> None:
    right = time.time
    time.time = lambda: right() + float(skew)
    knows_tomorrow = version == "tomorrow"
    broker = broker_with_jobs(url, Journal(Path(journal)), lease=float(lease), knows_tomorrow=knows_tomorrow)
    run_until_signal(lambda stop: consume(broker, stop, at_once=4, grace=5))


if __name__ == "__main__":
    main(*sys.argv[1:])
