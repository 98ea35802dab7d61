"""D4: a process dies at each step of a load; run again, the store is as if nothing had happened."""

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Series, Timeframe
from app.simulator.fault_kinds import Revise
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.journeys.conftest import contents, environment_of
from app.tests.journeys.dying import KILLED, STEPS
from app.tests.journeys.test_update import BOND, SBER, follow, update
from app.use_cases.verify import verify

TIMEFRAMES = (Timeframe.M1, Timeframe.M10, Timeframe.D1)


async def correct(service: Service, simulator: Simulator) -> None:
    """Let the exchange change a candle, and open the gap around it again."""
    series = Series(SBER, Timeframe.M10)
    middle = Timestamp.from_moscow(datetime(2024, 1, 15, 12))
    simulator.faults.clear()
    match = Match(ticker="SBER", interval=10)
    simulator.faults.add(Revise(match=match, begin="2024-01-15 12:00:00", values={"volume": 7}, times=None))
    async with service.storage.begin() as uow:
        hour = timedelta(hours=1)
        await uow.spans.remove([CandleSpan(SBER, series.timeframe, middle - hour, middle + hour)])


async def die(simulator: Simulator, database_url: str, step: str, number: int) -> int:
    command = (sys.executable, "-m", "app.tests.journeys.dying", step, str(number))
    child = await asyncio.create_subprocess_exec(*command, env=environment_of(simulator, database_url))
    return await child.wait()


@pytest.mark.parametrize("step", STEPS)
async def test_d4_after_a_death_at_any_step_a_rerun_heals(
    open_service: Callable[..., Awaitable[Service]],
    simulator: Simulator,
    database_url: str,
    sqlite_url: str,
    tmp_path: Path,
    step: str,
) -> None:
    shutil.copy(sqlite_url.removeprefix("sqlite+aiosqlite:///"), tmp_path / "unharmed.db")
    unharmed = await open_service(f"sqlite+aiosqlite:///{tmp_path / 'unharmed.db'}")
    harmed = await open_service(database_url)
    for service in (unharmed, harmed):
        await follow(service, SBER, BOND, timeframes=TIMEFRAMES, days=6)
    await update(unharmed)

    deaths = [await die(simulator, database_url, step, number) for number in (1, 2, 4)]
    await update(harmed)

    assert deaths == [KILLED] * 3
    assert await contents(harmed.storage) == await contents(unharmed.storage)
    assert await verify(harmed.storage) == []


@pytest.mark.parametrize("step", STEPS)
async def test_d4_a_correction_is_kept_once_whatever_dies(
    open_service: Callable[..., Awaitable[Service]], simulator: Simulator, database_url: str, step: str
) -> None:
    service = await open_service(database_url)
    await follow(service, SBER, timeframes=TIMEFRAMES, days=6)
    await update(service)
    before = await contents(service.storage)

    await correct(service, simulator)
    death = await die(simulator, database_url, step, 1)
    await update(service)

    after = await contents(service.storage)
    series = Series(SBER, Timeframe.M10)
    [changed] = [old for old, new in zip(before[series][0], after[series][0], strict=True) if old != new]
    assert death == KILLED
    assert [revision.candle for revision in after[series][2]] == [changed]
    assert after[series][1] == before[series][1]
    assert await verify(service.storage) == []
