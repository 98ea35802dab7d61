"""TaskIQ within one process, for a service without Redis."""

import asyncio
from functools import partial

from taskiq import BrokerMessage, InMemoryBroker
from taskiq.result_backends.dummy import DummyResultBackend

from app.tasks.urgency import is_urgent

_PATIENCE = 2.0


class InProcessBroker(InMemoryBroker):
    """Runs `at_once` tasks at a time in this very loop. What is lost with the process, the next tick finds again.

    Urgent ones come first, and have one place more.
    """

    def __init__(self, *, at_once: int) -> None:
        """Take how many tasks run at a time."""
        super().__init__(await_inplace=False)
        self.with_result_backend(DummyResultBackend())
        self._at_once = at_once
        self._urgent: dict[str, BrokerMessage] = {}
        self._waiting: dict[str, BrokerMessage] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    async def kick(self, message: BrokerMessage) -> None:
        """Run it, unless a task of the same id still waits or runs; an urgent one takes the place of one that waits."""
        name = message.task_id
        if name in self._running or name in self._urgent:
            return
        if is_urgent(message.labels):
            self._waiting.pop(name, None)
            self._urgent[name] = message
        else:
            self._waiting.setdefault(name, message)
        self._fill_places()

    async def shutdown(self) -> None:
        """Cancel what waits or runs; what does not heed it within two seconds is left behind."""
        self._urgent.clear()
        self._waiting.clear()
        running = list(self._running.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_PATIENCE)
        await super().shutdown()

    def _fill_places(self) -> None:
        for queue, places in ((self._urgent, self._at_once + 1), (self._waiting, self._at_once)):
            while queue and len(self._running) < places:
                name = next(iter(queue))
                self._running[name] = task = asyncio.create_task(self.receiver.callback(queue.pop(name).message))
                task.add_done_callback(partial(self._leave, name))

    def _leave(self, name: str, _: asyncio.Task[None]) -> None:
        del self._running[name]
        self._fill_places()
