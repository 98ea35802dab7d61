"""A semaphore that people pass before the schedule does."""

import asyncio
from heapq import heappop, heappush
from itertools import count

from app.core.urgency import in_background


class Line:
    """Lets so many in at a time. A free place goes to whom somebody waits for, else to who came first."""

    def __init__(self, places: int) -> None:
        """Take how many may be in."""
        self._free = places
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []
        self._numbers = count()

    async def __aenter__(self) -> None:
        """Wait for a place; it is held until the block ends."""
        if self._free:
            self._free -= 1
            return
        called = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (in_background.get(), next(self._numbers), called))
        try:
            await called
        except asyncio.CancelledError:
            if not called.cancelled():  # the place was given to us all the same
                self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        """Hand the place over; it is free only while nobody waits."""
        while self._waiting:
            *_, called = heappop(self._waiting)
            if not called.done():
                called.set_result(None)
                return
        self._free += 1
