"""A stopped exchange over real HTTP, and the whole service in front of it."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
import stamina

from app.bootstrap import Service, bootstrap
from app.core.date_time import Timestamp
from app.core.entities import CandleRevision, CandleSpan, Series
from app.core.pages import CandlePage
from app.core.storage import IStorage
from app.settings import Settings
from app.simulator.clock import SimulatedClock
from app.simulator.server import Simulator

NOON = Timestamp(datetime(2024, 1, 17, 9, 0, tzinfo=UTC))
"""A Wednesday, 12:00 in Moscow: 15 minutes later than what the exchange tells."""

Contents = dict[Series, tuple[CandlePage, list[CandleSpan], list[CandleRevision]]]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(clock=SimulatedClock(NOON, stopped=True)).serve() as running:
        yield running


def settings_of(simulator: Simulator, database_url: str, **more: object) -> Settings:
    """Point the service at a simulator, without a request budget, with little patience, never left alone for long."""
    values = {"iss_url": simulator.url, "source_name": "simulator", "clock": "source", "database_url": database_url}
    patience = {"iss_rate": None, "iss_concurrency": 16, "iss_attempts": 2, "iss_patience": 5, "redis_url": None}
    steady = {"iss_break_after": 1000, "iss_break_for": 0.05}
    return Settings.model_validate({**values, **patience, **steady, **more})


def environment_of(simulator: Simulator, database_url: str) -> dict[str, str]:
    """Say the same to a child process."""
    service = {"ISS_URL": simulator.url, "SOURCE_NAME": "simulator", "CLOCK": "source", "DATABASE_URL": database_url}
    return {**os.environ, **service, "ISS_RATE": "off", "REDIS_URL": "off"}


@pytest.fixture
async def open_service(simulator: Simulator) -> AsyncIterator[Callable[..., Awaitable[Service]]]:
    """Open services on databases; all are closed when the test is over."""
    async with AsyncExitStack() as stack:

        async def open_(database_url: str, **more: object) -> Service:
            return await stack.enter_async_context(bootstrap(settings_of(simulator, database_url, **more)))

        yield open_


@pytest.fixture
async def service(open_service: Callable[..., Awaitable[Service]], database_url: str) -> Service:
    """The service on each kind of database."""
    return await open_service(database_url)


@pytest.fixture
def without_pauses() -> Iterator[None]:
    """Try a request twice, the second time at once."""
    stamina.set_testing(True, attempts=2, cap=True)
    yield
    stamina.set_testing(False)


async def contents(storage: IStorage) -> Contents:
    """Read everything a load writes, but the counters."""
    async with storage.read() as uow:
        return {
            state.series: (
                await uow.candles.filter_by_series(state.series).page(state.series),
                [span async for span in uow.spans.filter_by_series(state.series)],
                [revision async for revision in uow.revisions.filter_by_series(state.series)],
            )
            async for state in uow.series
        }
