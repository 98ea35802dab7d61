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

    No message is taken before there is room to run it. While there is none, an urgent task finds room for one more.
    """
    usual = _StreamReceiver(broker, max_async_tasks=at_once, wait_tasks_timeout=grace)
    spare = _StreamReceiver(broker.urgent_only(), max_async_tasks=1, wait_tasks_timeout=grace, run_startup=False)
    try:
        async with asyncio.TaskGroup() as group:
            leases = group.create_task(broker.keep_leases())
            async with asyncio.TaskGroup() as listening:
                for receiver in (usual, spare):
                    listening.create_task(receiver.listen(stop))
            broker.abandon()
            await asyncio.gather(usual.cancel(), spare.cancel())
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

    def __init__(
        self, broker: StreamBroker, *, max_async_tasks: int, wait_tasks_timeout: float, run_startup: bool = True
    ) -> None:
        super().__init__(
            broker, max_async_tasks=max_async_tasks, wait_tasks_timeout=wait_tasks_timeout, run_startup=run_startup
        )
        self._running: set[asyncio.Task[object]] = set()

    async def callback(self, message: bytes | AckableMessage, raise_err: bool = False) -> None:  # noqa: FBT001, FBT002  # TaskIQ's
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._running.add(task)
        try:
            await super().callback(message, raise_err)
        finally:
            self._running.discard(task)
            cast("Delivery", message).release()

    async def cancel(self) -> None:
        """Cancel what still runs."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=1)
