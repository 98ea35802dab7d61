import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
import redis.asyncio

from app.bootstrap import Service, bootstrap
from app.core.date_time import Timestamp
from app.core.entities import Series, Timeframe
from app.core.errors import InputError
from app.settings import Settings
from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.fault_kinds import Slow
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.simulator.servers import Redis
from app.tasks.broker import run_scheduler, run_worker
from app.tests.builders import GAZP, SBER
from app.tests.tasks.children import Child, running
from app.tests.tasks.comparing import ask, follow, is_current
from app.tests.tasks.queues import QUEUE, calls, fill, make_room
from app.tests.tasks.waiting import eventually

FOLLOWED = (
    Series(SBER, Timeframe.M1),
    Series(SBER, Timeframe.H1),
    Series(SBER, Timeframe.D1),
    Series(GAZP, Timeframe.M1),
    Series(GAZP, Timeframe.M10),
)
CHORES = ["audit_candles", "refresh_reference"]
"""What is due where nothing is followed: the calendar was read at once."""


def a_process(
    role: Literal["worker", "scheduler"], folder: Path, environment: Mapping[str, str]
) -> AbstractAsyncContextManager[Child]:
    program = f"from app.settings import Settings; from app.tasks.broker import run_{role}; run_{role}(Settings())"
    return running("-c", program, folder=folder, environment=environment)


@pytest.fixture(params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest, tmp_path: Path) -> Mapping[str, str]:
    """The environment in which a child process runs on one loop or the other."""
    if request.param == "uvloop":
        return {}
    (tmp_path / "uvloop.py").write_text("raise ImportError")
    return {"PYTHONPATH": str(tmp_path)}


async def seconds_to_end(child: Child) -> float:
    began = time.monotonic()
    assert await child.end() == 0
    return time.monotonic() - began


async def test_an_idle_worker_ends_when_told_to(
    loop: Mapping[str, str], redis_url: str, sqlite_url: str, tmp_path: Path, client: redis.asyncio.Redis
) -> None:
    environment = {**loop, "REDIS_URL": redis_url, "DATABASE_URL": sqlite_url}
    async with a_process("worker", tmp_path, environment) as worker:
        await eventually(lambda: client.exists(QUEUE))
        await client.xadd(QUEUE, {"data": "junk"})
        await eventually(lambda: client.exists(f"{QUEUE}:dead"))

        assert await seconds_to_end(worker) < 15


async def test_a_scheduler_without_a_worker_leaves_one_message_of_each_chore_and_ends_when_told_to(
    loop: Mapping[str, str], redis_url: str, tmp_path: Path, client: redis.asyncio.Redis
) -> None:
    kicked_before = await calls(client, "evalsha")
    environment = {**loop, "REDIS_URL": redis_url, "TICK": "1"}
    async with a_process("scheduler", tmp_path, environment) as scheduler:
        await eventually(lambda: has_kicked(client, kicked_before + 2 * len(CHORES) + 1))
        entries: Any = await client.xrange(QUEUE)
        assert sorted(json.loads(fields[b"data"])["task_name"] for _, fields in entries) == CHORES

        assert await seconds_to_end(scheduler) < 15


async def test_b1_a_scheduler_survives_a_restart_of_redis(tmp_path: Path) -> None:
    with Redis(append_only=True) as server:
        async with AsyncExitStack() as stack:
            environment = {"REDIS_URL": server.url, "TICK": "1"}
            scheduler = await stack.enter_async_context(a_process("scheduler", tmp_path, environment))
            client = await stack.enter_async_context(redis.asyncio.Redis.from_url(server.url))
            await eventually(lambda: client.exists(QUEUE))
            await asyncio.to_thread(server.halt)
            server.start()
            client = await stack.enter_async_context(redis.asyncio.Redis.from_url(server.url))

            await eventually(lambda: has_kicked(client, 2))
            assert not scheduler.has_ended


async def test_b9_a_scheduler_makes_up_for_what_a_full_redis_refused(sqlite_url: str, tmp_path: Path) -> None:
    with Redis() as server:
        environment = {"REDIS_URL": server.url, "DATABASE_URL": sqlite_url, "TICK": "1"}
        async with redis.asyncio.Redis.from_url(server.url) as client:
            await fill(client)
            async with a_process("scheduler", tmp_path, environment) as scheduler:
                await eventually(lambda: has_kicked(client, 2))
                assert not await client.exists(QUEUE)
                await make_room(client)

                await eventually(lambda: client.exists(QUEUE))
                assert not scheduler.has_ended


@pytest.mark.parametrize("run", [run_worker, run_scheduler])
def test_without_redis_the_way_out_is_named(run: Callable[[Settings], None]) -> None:
    with pytest.raises(InputError, match="not set: without it"):
        run(Settings(redis_url=None))


async def test_b3_the_candles_are_complete_and_current_though_a_worker_was_killed(
    postgresql_url: str, redis_url: str, tmp_path: Path, client: redis.asyncio.Redis
) -> None:
    clock = SimulatedClock(read_moment("2024-01-10T12:00:00"), speed=240)
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(clock=clock).serve())
        environment = environment_of(simulator, postgresql_url, redis_url)
        service = await stack.enter_async_context(bootstrap(settings_of(environment)))
        await follow(service, *FOLLOWED, since=clock.now() - timedelta(days=3))
        simulator.faults.add(Slow(match=Match(path="candles.json$"), seconds=0.3, times=None))
        for role in ("scheduler", "worker"):
            await stack.enter_async_context(a_process(role, tmp_path, environment))
        victim = await stack.enter_async_context(a_process("worker", tmp_path, environment))
        await eventually(lambda: is_at_work(client, victim))
        victim.kill()
        simulator.faults.clear()
        killed_at = clock.now()
        await eventually(lambda: reaches(service, killed_at))
        clock.stop()
        await ask(service, *FOLLOWED)
        clock.advance(timedelta(minutes=10))

        await eventually(lambda: is_current(service, simulator, *FOLLOWED))


def environment_of(simulator: Simulator, database_url: str, redis_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "ISS_URL": simulator.url,
        "ISS_RATE": "1000",
        "CLOCK": "source",
        "FINAL_MARGIN": "0",
        "TICK": "1",
        "TASK_LEASE": "2",
    }


def settings_of(environment: Mapping[str, str]) -> Settings:
    return Settings.model_validate({name.lower(): value for name, value in environment.items()})


async def reaches(service: Service, moment: Timestamp) -> bool:
    """Say whether the first series is covered up to a moment: the clock has run on, and the updates with it."""
    async with service.storage.read() as uow:
        return any([span.time_till >= moment async for span in uow.spans.filter_by_series(FOLLOWED[0])])


async def is_at_work(client: redis.asyncio.Redis, worker: Child) -> bool:
    if not await client.exists(QUEUE) or not await client.xinfo_groups(QUEUE):
        return False
    consumers = await client.xinfo_consumers(QUEUE, QUEUE)
    return any(consumer["pending"] and f"-{worker.pid}-".encode() in consumer["name"] for consumer in consumers)


async def has_kicked(client: redis.asyncio.Redis, times: int) -> bool:
    return await calls(client, "evalsha") >= times
