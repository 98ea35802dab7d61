"""Running the tasks of a stream until told to stop."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, cast

from taskiq import AckableMessage
from taskiq.receiver import Receiver

from app.tasks.stream_broker import Delivery, StreamBroker


async def consume(broker: StreamBroker, stop: asyncio.Event, *, at_once: int, grace: float) -> None:
    """Run tasks, so many at once, until `stop`; then give those that run `grace` seconds and leave the rest to others.

    No message is taken before there is room to run it.
    """
    receiver = _StreamReceiver(broker, max_async_tasks=at_once, wait_tasks_timeout=grace)
    try:
        async with asyncio.TaskGroup() as group:
            leases = group.create_task(broker.keep_leases())
            await receiver.listen(stop)
            await receiver.abandon()
            leases.cancel()
    finally:
        await broker.shutdown()


def run_until_signal(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run it in a new loop; it should end soon after SIGTERM or SIGINT set its event."""

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await main(stop)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(run())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415  # not there on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


class _StreamReceiver(Receiver):
    """TaskIQ's receiver, which knows what it runs."""

    def __init__(self, broker: StreamBroker, *, max_async_tasks: int, wait_tasks_timeout: float) -> None:
        super().__init__(broker, max_async_tasks=max_async_tasks, wait_tasks_timeout=wait_tasks_timeout)
        self._stream = broker
        self._running: set[asyncio.Task[object]] = set()

    async def callback(self, message: bytes | AckableMessage, raise_err: bool = False) -> None:  # noqa: FBT001, FBT002  # TaskIQ's
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._running.add(task)
        try:
            await super().callback(message, raise_err)
        finally:
            self._running.discard(task)
            self._stream.release(cast("Delivery", message))

    async def abandon(self) -> None:
        """Cancel what still runs, without acknowledging it."""
        self._stream.abandon()
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=1)
