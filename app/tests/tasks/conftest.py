from collections.abc import AsyncIterator

import pytest

from app.bootstrap import Service, bootstrap
from app.repository.sql import SqlStorage
from app.settings import Settings
from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.server import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """An exchange whose clock stands at noon of a trading day."""
    async with Simulator(clock=SimulatedClock(read_moment("2024-01-10T12:00:00"), stopped=True)).serve() as simulator:
        yield simulator


@pytest.fixture
async def service(sqlite_url: str, simulator: Simulator) -> AsyncIterator[Service]:
    """A service over SQLite and that exchange, which updates every second."""
    settings = Settings(
        database_url=sqlite_url, iss_url=simulator.url, iss_rate=1000, clock="source", final_margin=0, update_every=1
    )
    async with bootstrap(settings) as service:
        yield service
        assert isinstance(service.storage, SqlStorage)
        assert service.storage.connections_in_use == 0
