"""One process follows another: nobody who asks notices, and the work goes on."""

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from app.bootstrap import Service, bootstrap
from app.io.rest_api.main import create_app
from app.settings import Settings
from app.simulator.fault_kinds import Slow
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.builders import SBER_M1
from app.tests.io.rest_client import Client
from app.tests.tasks.apis import Api, an_api
from app.tests.tasks.children import Child, running
from app.tests.tasks.clients import Address, Load, Reply, ask_once
from app.tests.tasks.comparing import follow, is_current
from app.tests.tasks.waiting import eventually
from app.use_cases.update_candles import update_candles

Role = Literal["worker", "scheduler"]

CLIENTS = 8
PATHS = (
    "/v1/candles?security=TQBR:SBER&timeframe=M1&from=2024-01-09&till=2024-01-09",
    "/v1/candles?security=TQBR:SBER&timeframe=M1&from=2024-01-08T12:00&till=2024-01-08T13:00",
    "/v1/candles/export?security=TQBR:SBER&timeframe=M1&from=2024-01-08&till=2024-01-08&format=csv",
    "/v1/timeframes",
)


@pytest.fixture(params=["sqlite", "sqlite without uvloop", "postgresql"])
def environment(request: pytest.FixtureRequest, simulator: Simulator, tmp_path: Path) -> Mapping[str, str]:
    """An API that updates by itself, on one loop or the other; or one beside workers."""
    database = request.param.partition(" ")[0]
    redis_url = request.getfixturevalue("redis_url") if database == "postgresql" else "off"
    if "without uvloop" in request.param:
        (tmp_path / "uvloop.py").write_text("raise ImportError")
    return {
        "PYTHONPATH": str(tmp_path),
        "DATABASE_URL": request.getfixturevalue(f"{database}_url"),
        "REDIS_URL": redis_url,
        "ISS_URL": simulator.url,
        "ISS_RATE": "1000",
        "CLOCK": "source",
        "FINAL_MARGIN": "0",
        "TICK": "0.5",
        "LOG_LEVEL": "WARNING",
    }


@pytest.fixture
async def loaded(environment: Mapping[str, str], simulator: Simulator) -> AsyncIterator[Service]:
    """A service over the same store, which holds some days."""
    settings = Settings.model_validate({name.lower(): value for name, value in environment.items()})
    async with bootstrap(settings) as service:
        await follow(service, SBER_M1, since=simulator.clock.now() - timedelta(days=3))
        assert (await update_candles(service.storage, service.loader, service.clock)).failures == {}
        yield service


async def right_answers(service: Service, *more: str) -> Mapping[str, bytes]:
    client = Client(create_app(service=service))
    answers = {path: await client.get(*path.split("?")) for path in (*PATHS, *more)}
    await client.app.state.desk.close()
    assert {answer.status for answer in answers.values()} == {200}
    return {path: answer.body for path, answer in answers.items()}


class Balancer:
    """Sends requests to whoever says that it is ready."""

    def __init__(self) -> None:
        self.ready: list[Api] = []

    def choose(self) -> Address:
        return random.choice(self.ready).address

    async def watch(self, api: Api) -> None:
        """Ask one of them, however long another one thinks about it; clients see a list that is never changed."""
        while True:
            is_ready = await asyncio.to_thread(api.is_ready)
            self.ready = [other for other in self.ready if other is not api] + [api] * is_ready
            await asyncio.sleep(0.05)


async def test_api_and_worker_are_exchanged_under_load_and_every_request_is_answered(
    loaded: Service, environment: Mapping[str, str], simulator: Simulator, tmp_path: Path
) -> None:
    expected = await right_answers(loaded, "/health/ready")
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(an_api(tmp_path, environment))
        roles: tuple[Role, ...] = ("scheduler", "worker") if loaded.settings.redis_url else ()
        working = {role: await stack.enter_async_context(a_process(role, tmp_path, environment)) for role in roles}
        async with Load(expected, lambda: api.address).from_clients(CLIENTS) as load:
            for _ in range(2):
                await load.more()
                await api.renew()
                await load.more()
                if working:
                    successor = await stack.enter_async_context(a_process("worker", tmp_path, environment))
                    assert await working["worker"].end() == 0
                    working["worker"] = successor
                simulator.clock.advance(timedelta(minutes=30))
                await eventually(lambda: is_current(loaded, simulator, SBER_M1))
            await load.more()
        assert await api.first.ended() == 0
        await api.end()

    assert load.failures == []


@pytest.mark.parametrize("environment", ["postgresql"], indirect=True)
async def test_an_api_is_replaced_behind_a_balancer_and_every_request_is_answered(
    loaded: Service, environment: Mapping[str, str], tmp_path: Path
) -> None:
    balancer = Balancer()
    expected = await right_answers(loaded)
    environment = {**environment, "DRAIN_SECONDS": "8"}
    async with AsyncExitStack() as stack:

        async def added() -> Api:
            api = await stack.enter_async_context(an_api(tmp_path, environment))
            stack.callback(asyncio.create_task(balancer.watch(api)).cancel)
            await eventually(lambda: api in balancer.ready)
            return api

        at_first = [await added() for _ in range(2)]
        async with Load(expected, balancer.choose).from_clients(CLIENTS) as load:
            for old in at_first:
                await load.more()
                assert await old.first.end() == 0
                await added()
            await load.more()

    assert load.failures == []


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
async def test_a_draining_api_is_not_ready_and_answers_until_it_is_told_twice(
    loaded: Service, environment: Mapping[str, str], tmp_path: Path
) -> None:
    async with an_api(tmp_path, {**environment, "DRAIN_SECONDS": "600"}) as api:
        api.first.tell(signal.SIGTERM)
        await eventually(lambda: asyncio.to_thread(lambda: not api.is_ready()))
        problem = await asyncio.to_thread(ask_once, api.address, "/health/ready")
        answer = await asyncio.to_thread(ask_once, api.address, PATHS[0])
        expected = await right_answers(loaded)

        assert (problem.status, json.loads(problem.body)["detail"][:9]) == (503, "draining:")
        assert (answer.status, answer.body, answer.headers["connection"]) == (200, expected[PATHS[0]], "close")
        assert await api.first.end() == -signal.SIGTERM


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
async def test_a_request_under_way_is_answered_by_who_took_it(
    loaded: Service, environment: Mapping[str, str], simulator: Simulator, tmp_path: Path
) -> None:
    slow = simulator.faults.add(Slow(match=Match(path="/securities/GAZP"), seconds=2))
    async with an_api(tmp_path, environment) as api:
        asked = asyncio.create_task(asyncio.to_thread(follow_gazprom, api.address))
        await eventually(lambda: slow.struck)

        assert await api.first.end() == 0
        assert (await asked).status == 201


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
async def test_when_no_new_process_comes_up_the_old_one_goes_on(
    loaded: Service, environment: Mapping[str, str], simulator: Simulator, tmp_path: Path
) -> None:
    async with an_api(tmp_path, environment) as api:
        (tmp_path / ".env").write_text("DRAIN_SECONDS=soon")
        api.first.tell(signal.SIGHUP)
        await eventually(lambda: "no new process took over" in api.messages.read_text())
        assert "exit code 2" in api.messages.read_text()
        simulator.clock.advance(timedelta(minutes=30))
        await eventually(lambda: is_current(loaded, simulator, SBER_M1))

        (tmp_path / ".env").unlink()
        await api.renew()
        assert await api.first.ended() == 0
        assert api.is_ready()
        await api.end()


def follow_gazprom(address: Address) -> Reply:
    return ask_once(address, "/v1/securities", json.dumps({"ticker": "GAZP", "board": "TQBR"}).encode())


def a_process(role: Role, folder: Path, environment: Mapping[str, str]) -> AbstractAsyncContextManager[Child]:
    return running("-m", "app.io.cli", role, folder=folder, environment=environment)
