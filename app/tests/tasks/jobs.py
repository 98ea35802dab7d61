"""A worker with tasks that write down what they do: `python -m app.tests.tasks.jobs URL JOURNAL`."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.tasks.stream_broker import StreamBroker
from app.tasks.worker import consume, run_until_signal

LEASE = 1.0
DELIVERIES = 2


class Journal:
    """Lines of `started NAME` and `ended NAME`, by whichever process."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.touch()

    def write(self, line: str) -> None:
        with self.file.open("a") as journal:
            journal.write(f"{line}\n")

    @property
    def lines(self) -> list[str]:
        return self.file.read_text().splitlines()


def broker_with_jobs(url: str, journal: Journal) -> StreamBroker:
    """Build a broker that knows `job(name, seconds)` and `die(name)`."""
    broker = StreamBroker(url, lease=LEASE, deliveries=DELIVERIES)

    async def job(name: str, seconds: float) -> None:
        journal.write(f"started {name}")
        await asyncio.sleep(seconds)
        journal.write(f"ended {name}")

    async def die(name: str) -> None:
        journal.write(f"started {name}")
        os._exit(137)

    broker.register_task(job, "job")
    broker.register_task(die, "die")
    return broker


async def kick(broker: StreamBroker, name: str, seconds: float = 0, *, task: str = "job") -> None:
    """Queue a task whose id is its name."""
    known = broker.find_task(task)
    assert known is not None
    arguments = [name, seconds] if task == "job" else [name]
    await known.kicker().with_task_id(name).kiq(*arguments)


@asynccontextmanager
async def a_worker(broker: StreamBroker, *, grace: float = 5) -> AsyncIterator[None]:
    """Run a worker in this process for as long as the context lasts."""
    stop = asyncio.Event()
    working = asyncio.create_task(consume(broker, stop, at_once=4, grace=grace))
    try:
        yield
    finally:
        stop.set()
        await working


def main(url: str, journal: str) -> None:
    broker = broker_with_jobs(url, Journal(Path(journal)))
    run_until_signal(lambda stop: consume(broker, stop, at_once=4, grace=5))


if __name__ == "__main__":
    main(*sys.argv[1:])
