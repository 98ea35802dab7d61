"""Asking the exchange within a budget, and what its log tells of it."""

import asyncio
from collections.abc import Callable

import pytest

from app.core.errors import (
    SourceError,
    SourceUnavailableError,
)
from app.market_data_adapter.breaker import Breaker
from app.market_data_adapter.budget import Budget
from app.market_data_adapter.iss import IssClient
from app.simulator.server import Simulator

PATH = "/iss/securities/SBER.json"
OpenClient = Callable[..., IssClient]
OpenBudget = Callable[..., Budget]


def moments(simulator: Simulator) -> list[float]:
    """When requests came, in seconds, by the exchange's log."""
    return sorted(request.real.microseconds / 1e6 for request in simulator.requests)


def worst(simulator: Simulator, window: float) -> int:
    """The most requests that came in any window of so many seconds."""
    came = moments(simulator)
    return max(sum(first <= each < first + window for each in came) for first in came)


async def ask(client: IssClient, times: int = 1) -> None:
    await asyncio.gather(*(client.get(PATH, {}, bytes) for _ in range(times)))


async def fail(client: IssClient, times: int, error: type[SourceError] = SourceUnavailableError) -> None:
    for _ in range(times):
        with pytest.raises(error):
            await ask(client)


async def known(budget: Budget) -> Breaker:
    """Return what those who share the budget know, be it of a pause that is over."""
    return (await budget._ledger().read()).breaker


async def rest(budget: Budget) -> None:
    """Let the time for which nobody may ask be over at once."""
    ledger = budget._ledger()
    reading = await ledger.read()
    assert await ledger.swap(reading, reading.breaker.moved(-reading.breaker.wait(reading.now)))


async def is_shared(budget: Budget) -> bool:
    return (await budget.status()).is_shared
