"""A stopped exchange at Wednesday 2024-05-15 14:48:20 Moscow, so that 14:33:20 is known; and a way to ask it."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.server import Simulator
from app.tests.simulator.client import Client


@pytest.fixture
async def exchange() -> AsyncIterator[Simulator]:
    clock = SimulatedClock(read_moment("2024-05-15T14:48:20"), stopped=True)
    async with Simulator(clock=clock).serve() as running:
        yield running


@pytest.fixture
async def client(exchange: Simulator) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(exchange.url, timeout=aiohttp.ClientTimeout(30)) as session:
        yield Client(session)
