"""A simulated exchange in a thread, for code that brings its own event loop."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread

from app.simulator.server import Simulator


@contextmanager
def serving_apart(simulator: Simulator) -> Iterator[Simulator]:
    """Serve as long as the context lasts."""
    started: Future[Callable[[], object]] = Future()

    async def serve() -> None:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        async with simulator.serve():
            started.set_result(lambda: loop.call_soon_threadsafe(told.set))
            await told.wait()

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    stop = started.result(timeout=60)
    try:
        yield simulator
    finally:
        stop()
        thread.join(timeout=60)
