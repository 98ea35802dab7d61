"""A process that updates candles and dies at a named step: `python -m app.tests.journeys.dying STEP NUMBER`.

The ports are wrapped here; what we ship knows nothing of it. The service is set by the environment, as for everyone.
"""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from app.bootstrap import bootstrap
from app.core.entities import SecurityCard, Timeframe
from app.core.market_data import SourcePage
from app.core.spans import Period
from app.settings import Settings
from app.use_cases.update_candles import update_candles

STEPS = ("after_fetch", "after_candles", "after_span", "after_commit")
BATCH_ROWS = 1_000
KILLED = 137


@dataclass(slots=True)
class Fate:
    """Die when a step is reached for the n-th time."""

    step: str
    left: int

    def reach(self, step: str) -> None:
        if step == self.step:
            self.left -= 1
            if not self.left:
                os._exit(KILLED)


class Through:
    """Hands everything through to what it wraps."""

    def __init__(self, wrapped: Any, fate: Fate) -> None:  # noqa: ANN401  # any port
        self._wrapped, self._fate = wrapped, fate

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._wrapped, name)


class DyingAdapter(Through):
    async def candles(self, card: SecurityCard, timeframe: Timeframe, period: Period) -> AsyncGenerator[SourcePage]:
        async for page in self._wrapped.candles(card, timeframe, period):
            self._fate.reach("after_fetch")
            yield page


class DyingStorage(Through):
    batch_rows = BATCH_ROWS

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Any]:
        async with self._wrapped.begin() as uow:
            yield DyingUnitOfWork(uow, self._fate)
        self._fate.reach("after_commit")


class DyingUnitOfWork(Through):
    @property
    def candles(self) -> "DyingCollection":
        return DyingCollection(self._wrapped.candles, self._fate, "after_candles")

    @property
    def spans(self) -> "DyingCollection":
        return DyingCollection(self._wrapped.spans, self._fate, "after_span")


class DyingCollection(Through):
    def __init__(self, wrapped: Any, fate: Fate, step: str) -> None:  # noqa: ANN401
        super().__init__(wrapped, fate)
        self._step = step

    async def extend(self, page: Any) -> None:  # noqa: ANN401
        await self._wrapped.extend(page)
        self._fate.reach(self._step)

    async def add(self, items: Any) -> None:  # noqa: ANN401
        await self._wrapped.add(items)
        self._fate.reach(self._step)


async def main(step: str, number: int) -> None:
    fate = Fate(step, number)
    wrapped = bootstrap(
        Settings(),
        wrap_storage=lambda storage: DyingStorage(storage, fate),
        wrap_adapter=lambda adapter: DyingAdapter(adapter, fate),
    )
    async with wrapped as service:
        await update_candles(service.storage, service.loader, service.clock)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
