"""D5: two processes update the same forty series, each with two gaps, at once."""

import asyncio
import sys
from datetime import timedelta

import pytest

from app.bootstrap import Service
from app.core.entities import Security, Timeframe
from app.simulator.server import Simulator
from app.tests.journeys.conftest import NOON, environment_of
from app.tests.journeys.test_update import assert_equals_the_tape, follow
from app.use_cases.update_candles import update_candles
from app.use_cases.verify import verify

FORTY = tuple(Security(f"SIM{number:03}", "TQBR") for number in range(40))


@pytest.mark.timeout(180)
async def test_d5_two_processes_lose_double_and_block_nothing(
    service: Service, simulator: Simulator, database_url: str
) -> None:
    await follow(service, *FORTY, timeframes=(Timeframe.M10,), days=9)
    island = {"time_from": NOON - timedelta(days=6), "time_till": NOON - timedelta(days=4)}
    await update_candles(service.storage, service.loader, service.clock, **island)  # type: ignore[arg-type]  # moments

    command = (sys.executable, "-m", "app.io.cli", "update-candles")
    rivals = [
        await asyncio.create_subprocess_exec(
            *command,
            env=environment_of(simulator, database_url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(2)
    ]
    said = [await rival.communicate() for rival in rivals]

    assert [rival.returncode for rival in rivals] == [0, 0], said
    await assert_equals_the_tape(service, simulator)
    assert await verify(service.storage) == []
