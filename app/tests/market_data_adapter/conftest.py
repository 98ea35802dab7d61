from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import redis.asyncio

from app.core.date_time import Timestamp
from app.market_data_adapter.breaker import Breaking
from app.market_data_adapter.budget import Budget
from app.market_data_adapter.iss import IssClient, Patience
from app.market_data_adapter.sign_in import Access
from app.simulator.clock import SimulatedClock
from app.simulator.server import Simulator

NOON = Timestamp(datetime(2024, 1, 17, 9, 0, tzinfo=UTC))
SOON = Breaking(after=100, rest=0.05)
BRIEF = Patience(attempts=1, altogether=5)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(clock=SimulatedClock(NOON, stopped=True), gzip=True).serve() as running:
        yield running


@pytest.fixture
async def open_client() -> AsyncIterator[Callable[..., IssClient]]:
    """Make clients that ask once, and wait for no long pause; all are closed when the test is over."""
    async with AsyncExitStack() as stack:

        def open_(url: str, budget: Budget | None = None, access: Access | None = None, **patience: float) -> IssClient:
            budget = budget or Budget(16, None, breaking=SOON)
            brief = replace(BRIEF, **patience)  # type: ignore[arg-type]  # numbers all
            client = IssClient(url, budget=budget, patience=brief, access=access)
            stack.push_async_callback(client.close)
            return client

        yield open_


@pytest.fixture
async def open_budget() -> AsyncIterator[Callable[..., Budget]]:
    """Make budgets, of their own or in a Redis; all are closed when the test is over."""
    async with AsyncExitStack() as stack:

        def open_(
            concurrency: int = 16,
            rate: float | None = None,
            *,
            url: str | None = None,
            timeout: float = 5,
            **more: object,
        ) -> Budget:
            client = url and redis.asyncio.Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
            budget = Budget(concurrency, rate, redis=client or None, **more)  # type: ignore[arg-type]  # as given
            stack.push_async_callback(budget.close)
            return budget

        yield open_


@pytest.fixture(params=["memory", "redis"])
def pair(request: pytest.FixtureRequest, open_budget: Callable[..., Budget]) -> Callable[..., tuple[Budget, Budget]]:
    """Make two views of one budget: the same object in one process, two that share a Redis."""

    def make(**more: object) -> tuple[Budget, Budget]:
        if request.param == "memory":
            budget = open_budget(**more)
            return budget, budget
        url = request.getfixturevalue("redis_url")
        return open_budget(url=url, **more), open_budget(url=url, **more)

    return make
