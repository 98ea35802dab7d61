"""One look at all that is followed, for everybody who looks within a moment."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from app.core.freshness import Outlook

_KEPT = 1.0
_TIMES_ITS_COST = 9
"""A look that took long is kept so many times longer: never more than a tenth of the time goes into looking."""


class RecentOutlook:
    """Keeps the last look. Who comes while somebody looks waits for that look."""

    def __init__(self, look: Callable[[], Awaitable[Outlook]]) -> None:
        """Take how to look."""
        self._look = look
        self._turn = asyncio.Lock()
        self._last: Outlook | None = None
        self._kept_until = 0.0

    async def get(self) -> Outlook:
        """Return what was seen a second ago at most, or a little longer where there is much to see."""
        async with self._turn:
            began = time.monotonic()
            if self._last is None or began >= self._kept_until:
                self._last = await self._look()
                now = time.monotonic()
                self._kept_until = now + max(_KEPT, _TIMES_ITS_COST * (now - began))
            return self._last
