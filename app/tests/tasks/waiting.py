"""Waiting for conditions, with a deadline."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

_STEP = 0.02


async def eventually(condition: Callable[[], object | Awaitable[object]], *, within: float = 90) -> None:
    """Return when the condition holds; fail when it does not within so many seconds."""
    async with asyncio.timeout(within):
        while True:
            answer = condition()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(_STEP)
