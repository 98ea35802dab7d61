"""Signals as events of the running loop. SIGINT is left alone: it cancels, as everywhere."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def until_terminated() -> Iterator[asyncio.Event]:
    """Give an event that SIGTERM sets. Who does not want to wait sends it again, or presses Ctrl-C: that kills."""
    told = asyncio.Event()

    def tell() -> None:
        told.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)

    with _on(signal.SIGTERM, tell):
        yield told


@contextmanager
def until_renewed() -> Iterator[asyncio.Event]:
    """Give an event that SIGHUP sets; at a terminal that signal says that it was closed, and ends the process."""
    told = asyncio.Event()
    if sys.stdin is not None and sys.stdin.isatty():
        yield told
        return
    with _on(signal.SIGHUP, told.set):
        yield told


async def either(*events: asyncio.Event) -> None:
    """Wait for the first of them."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


@contextmanager
def _on(number: signal.Signals, handler: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        loop.remove_signal_handler(number)
