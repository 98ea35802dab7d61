from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from app.bootstrap import Service, bootstrap
from app.repository.sql import SqlStorage
from app.settings import Settings
from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.server import Simulator
from app.tasks.stream_broker import StreamBroker
from app.tests.tasks.jobs import Journal, broker_with_jobs


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a Redis that is well and for tasks that end, however busy the machine is."""
    for name in ("stream_broker._REDIS_TIMEOUT", "stream_broker._TIMEOUT", "in_process_broker._PATIENCE"):
        monkeypatch.setattr(f"app.tasks.{name}", 60)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """An exchange whose clock stands at noon of a trading day."""
    async with Simulator(clock=SimulatedClock(read_moment("2024-01-10T12:00:00"), stopped=True)).serve() as simulator:
        yield simulator


@pytest.fixture
async def service(sqlite_url: str, simulator: Simulator) -> AsyncIterator[Service]:
    """A service over SQLite and that exchange, which updates every second."""
    settings = Settings(
        database_url=sqlite_url, iss_url=simulator.url, iss_rate=1000, clock="source", final_margin=0, tick=0.5
    )
    async with bootstrap(settings) as service:
        yield service
        assert isinstance(service.storage, SqlStorage)
        assert service.storage.connections_in_use == 0


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
async def broker(redis_url: str, journal: Journal) -> AsyncIterator[StreamBroker]:
    """A broker whose tasks write into the journal."""
    broker = broker_with_jobs(redis_url, journal)
    yield broker
    await broker.shutdown()
