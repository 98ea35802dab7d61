"""TaskIQ within one process, for a service without Redis."""

import asyncio

from taskiq import BrokerMessage, InMemoryBroker
from taskiq.result_backends.dummy import DummyResultBackend

_PATIENCE = 2.0


class InProcessBroker(InMemoryBroker):
    """Runs `at_once` tasks at a time in this very loop. What is lost with the process, the next tick finds again."""

    def __init__(self, *, at_once: int) -> None:
        """Take how many tasks run at a time."""
        super().__init__(await_inplace=False)
        self.with_result_backend(DummyResultBackend())
        self._room = asyncio.Semaphore(at_once)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def kick(self, message: BrokerMessage) -> None:
        """Run it, unless a task of the same id still waits or runs."""
        if message.task_id not in self._tasks:
            task = asyncio.create_task(self._run(message))
            self._tasks[message.task_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(message.task_id))

    async def shutdown(self) -> None:
        """Cancel what waits or runs; what does not heed it within two seconds is left behind."""
        running = list(self._tasks.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_PATIENCE)
        await super().shutdown()

    async def _run(self, message: BrokerMessage) -> None:
        async with self._room:
            await self.receiver.callback(message.message)
