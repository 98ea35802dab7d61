"""Schedulers and a worker as processes: who leads, what one tick asks for, and what is made up for."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import asyncpg
import pytest
import redis.asyncio

from app.bootstrap import Service, bootstrap
from app.core.date_time import Timestamp
from app.core.market_data import SourceStatus
from app.simulator.clock import read_moment
from app.simulator.server import Simulator
from app.tasks.broker import embedded
from app.tasks.schedule import LEASE, Schedule
from app.tasks.stream_broker import StreamBroker
from app.tests.builders import GAZP_M1, SBER_M1
from app.tests.tasks.children import Child
from app.tests.tasks.comparing import follow, is_current
from app.tests.tasks.test_processes import a_process, environment_of, settings_of
from app.tests.tasks.waiting import eventually
from app.use_cases.find_due import find_due
from app.use_cases.looks import seen

FOLLOWED = (SBER_M1, GAZP_M1)


@pytest.fixture
def environment(postgresql_url: str, redis_url: str, simulator: Simulator) -> Mapping[str, str]:
    return {**environment_of(simulator, postgresql_url, redis_url), "TICK": "0.2"}


@pytest.fixture
async def shared(environment: Mapping[str, str]) -> AsyncIterator[Service]:
    """A service on what the processes share."""
    async with bootstrap(settings_of(environment)) as service:
        await follow(service, *FOLLOWED, since=await service.clock.now() - timedelta(hours=2))
        yield service


async def test_b6_of_two_schedulers_one_asks_and_the_other_takes_over(
    shared: Service, simulator: Simulator, environment: Mapping[str, str], tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        schedulers = [await stack.enter_async_context(a_process("scheduler", tmp_path, environment)) for _ in range(2)]
        await stack.enter_async_context(a_process("worker", tmp_path, environment))
        await eventually(lambda: is_current(shared, simulator, *FOLLOWED))
        for _ in range(3):
            assert await asked_in_a_minute(shared, simulator) == len(FOLLOWED)
        (await leader(schedulers, environment["DATABASE_URL"])).kill()

        assert await asked_in_a_minute(shared, simulator) == len(FOLLOWED)


async def test_b6_what_a_scheduler_missed_is_made_up_for_once(
    shared: Service, simulator: Simulator, environment: Mapping[str, str], tmp_path: Path
) -> None:
    async with a_process("worker", tmp_path, environment):
        async with a_process("scheduler", tmp_path, environment):
            await eventually(lambda: is_current(shared, simulator, *FOLLOWED))

        simulator.clock.advance(timedelta(minutes=9))
        simulator.requests.clear()
        async with a_process("scheduler", tmp_path, environment):
            assert await asked_in_a_minute(shared, simulator) == len(FOLLOWED)


@pytest.mark.parametrize(("state", "waiting"), [("paused", 0), ("open", 0), ("half_open", 1), ("ok", 1)])
async def test_nobody_is_woken_up_while_the_exchange_is_left_alone(
    service: Service,
    simulator: Simulator,
    redis_url: str,
    state: Literal["ok", "paused", "open", "half_open"],
    waiting: int,
) -> None:
    await follow(service, SBER_M1, since=simulator.clock.now() - timedelta(hours=2))
    broker = StreamBroker(redis_url, lease=5)

    async def source_status() -> SourceStatus:
        return SourceStatus(state)

    await Schedule(replace(service, source_status=source_status), broker).tick()

    async with redis.asyncio.Redis.from_url(redis_url) as client:
        assert bool(await client.xlen("candles")) == waiting
    assert await has_looked(service, simulator.clock.now())
    await broker.shutdown()


async def test_answers_are_prepared_after_a_close_where_a_cache_is_set(
    service: Service, simulator: Simulator, redis_url: str, patient_cache: None
) -> None:
    async with bootstrap(service.settings.model_copy(update={"cache_url": redis_url})) as cached:
        await follow(cached, SBER_M1, since=simulator.clock.now() - timedelta(hours=2))
        async with embedded(cached), redis.asyncio.Redis.from_url(redis_url) as cache:
            for moment in ("2024-01-10T23:40", "2024-01-11T00:06"):
                simulator.clock.set(read_moment(moment))
                await eventually(lambda: is_idle(cached, simulator))
                assert await cache.dbsize() == 0
            simulator.clock.set(read_moment("2024-01-11T00:21"))

            await eventually(cache.dbsize)


async def is_idle(service: Service, simulator: Simulator) -> bool:
    """Say whether the schedule has looked at this moment, and nothing is due any more."""
    now = simulator.clock.now()
    return await has_looked(service, now) and not await find_due(service.storage, service.rules, now)


async def asked_in_a_minute(service: Service, simulator: Simulator) -> int:
    """Let a minute pass, wait until the store has it, and return how many requests for candles that took."""
    simulator.requests.clear()
    simulator.clock.advance(timedelta(minutes=1))
    now = simulator.clock.now()
    await eventually(lambda: has_looked(service, now))
    await eventually(lambda: is_current(service, simulator, *FOLLOWED))
    return sum(request.path.endswith("candles.json") for request in simulator.requests)


async def has_looked(service: Service, moment: Timestamp) -> bool:
    return (await seen(service.storage)).get(LEASE) == moment


async def leader(schedulers: Sequence[Child], postgresql_url: str) -> Child:
    """Return the process that holds the lease."""
    connection = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    try:
        holder = await connection.fetchval("SELECT holder FROM lease")
    finally:
        await connection.close()
    [found] = [scheduler for scheduler in schedulers if f"-{scheduler.pid}-" in holder]
    return found
