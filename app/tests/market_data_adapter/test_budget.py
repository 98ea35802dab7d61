"""One budget for all who ask: over real HTTP, with a real Redis, by the log of the exchange."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import redis.asyncio
import stamina

from app.core.urgency import in_background
from app.market_data_adapter.ledgers import RedisLedger
from app.simulator.fault_kinds import Slow, Status
from app.simulator.server import Simulator
from app.simulator.servers import FaultProxy, Redis
from app.tests.market_data_adapter.asking import (
    PATH,
    OpenBudget,
    OpenClient,
    ask,
    fail,
    is_shared,
    known,
    moments,
    worst,
)
from app.tests.meeting import let_meet
from app.tests.tasks.children import running
from app.tests.tasks.waiting import eventually

ASKING = """
import asyncio, sys
from redis.asyncio import Redis
from app.market_data_adapter.budget import Budget
from app.market_data_adapter.iss import IssClient

async def main(exchange, redis, count):
    budget = Budget(3, 20, redis=Redis.from_url(redis))
    client = IssClient(exchange, budget=budget)
    await asyncio.gather(*(client.get("/iss/securities/SBER.json", {}, bytes) for _ in range(int(count))))
    await client.close()
    await budget.close()

asyncio.run(main(*sys.argv[1:]))
"""
DYING = """
import asyncio, os, sys
from redis.asyncio import Redis
from app.market_data_adapter.ledgers import RedisLedger

async def main(redis):
    async with RedisLedger(Redis.from_url(redis), "exchange", 1, None).place(1.0):
        os._exit(137)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def _without_pauses() -> Iterator[None]:
    stamina.set_testing(True, attempts=1)
    yield
    stamina.set_testing(False)


async def test_s9_processes_together_are_never_quicker_than_the_rate(
    simulator: Simulator, redis_url: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        children = [
            await stack.enter_async_context(running("-c", ASKING, simulator.url, redis_url, "15", folder=tmp_path))
            for _ in range(2)
        ]
        await eventually(lambda: all(child.has_ended for child in children))

    came = moments(simulator)
    assert len(came) == 30
    assert came[-1] - came[0] >= (29 - 3) * 0.05 * 0.98  # three may have been on their way for long
    assert worst(simulator, 0.5) <= 14  # ten, one at the edge, and what the way here delays; apart they would be twenty
    assert simulator.peak_in_flight <= 3


async def test_s9_processes_together_ask_no_more_at_once_than_allowed(
    simulator: Simulator,
    open_client: OpenClient,
    open_budget: OpenBudget,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_meet(monkeypatch, 3)
    simulator.faults.add(Slow(seconds=0.5, times=3))  # so that one too many would meet them, too
    clients = [open_client(simulator.url, open_budget(3, url=redis_url)) for _ in range(2)]

    await asyncio.gather(*(ask(client, 6) for client in clients))

    assert (len(simulator.requests), simulator.peak_in_flight) == (12, 3)


@pytest.mark.parametrize("by_redis", [False, True])
async def test_who_is_waited_for_overtakes_the_schedule(
    simulator: Simulator, open_client: OpenClient, open_budget: OpenBudget, redis_url: str, *, by_redis: bool
) -> None:
    client = open_client(simulator.url, open_budget(2, 20, url=redis_url if by_redis else None))

    async def ask_in_background(number: int) -> None:
        in_background.set(True)
        await client.get(PATH, {"number": str(number)}, bytes)

    tasks = [asyncio.create_task(ask_in_background(number)) for number in range(12)]
    await eventually(lambda: simulator.requests)
    before = len(simulator.requests)
    await client.get(PATH, {"who": "a person"}, bytes)
    await asyncio.gather(*tasks)

    asked = [request.query for request in simulator.requests]
    assert len(asked) == 13
    assert [query.startswith("who=") for query in asked].index(True) <= before + 2  # two held places already


async def test_a_killed_process_gives_its_place_back(redis_url: str, tmp_path: Path) -> None:
    async with running("-c", DYING, redis_url, folder=tmp_path) as child:
        await eventually(lambda: child.has_ended)

    async with redis.asyncio.Redis.from_url(redis_url) as client, asyncio.timeout(60):
        assert await client.zcard("exchange:places") == 1
        async with RedisLedger(client, "exchange", 1, None).place(1):
            assert await client.zcard("exchange:places") == 1
        assert await client.zcard("exchange:places") == 0


async def test_without_redis_each_keeps_to_its_share_and_returns_to_the_whole(
    simulator: Simulator, open_client: OpenClient, open_budget: OpenBudget
) -> None:
    with Redis() as server:
        budgets = [open_budget(8, 80, url=server.url, processes=4) for _ in range(2)]
        clients = [open_client(simulator.url, budget) for budget in budgets]
        await asyncio.gather(*(ask(client, 10) for client in clients))
        assert (await budgets[0].status()).is_shared

        await asyncio.to_thread(server.kill)
        simulator.requests.clear()
        began = time.time()
        await asyncio.gather(*(ask(client, 10) for client in clients))

        assert moments(simulator)[-1] - began >= 9 * 0.05 * 0.9
        assert simulator.peak_in_flight <= 4
        assert not (await budgets[0].status()).is_shared

        server.start()
        await eventually(lambda: is_shared(budgets[0]))
        await ask(clients[0], 3)


async def test_s9_a_pause_does_not_end_because_redis_does(
    simulator: Simulator, open_client: OpenClient, open_budget: OpenBudget
) -> None:
    with Redis() as server:
        budgets = [open_budget(url=server.url) for _ in range(2)]
        one, other = (open_client(simulator.url, budget) for budget in budgets)
        simulator.faults.add(Status(code=429, retry_after="3"))
        await fail(one, 1)
        assert (await known(budgets[1])).failures == 1

        await asyncio.to_thread(server.kill)
        await asyncio.gather(ask(one), ask(other))

    refused, first, _ = moments(simulator)
    assert first - refused >= 2.9


async def test_s9_a_push_back_is_not_lost_with_redis(
    simulator: Simulator, open_client: OpenClient, open_budget: OpenBudget
) -> None:
    with Redis() as server:
        budget = open_budget(url=server.url)
        simulator.faults.add(Slow(seconds=0.5))
        simulator.faults.add(Status(code=429, retry_after="60"))

        asking = asyncio.create_task(fail(open_client(simulator.url, budget), 1))
        await eventually(lambda: simulator.requests)
        await asyncio.to_thread(server.kill)
        await asking

        assert (await budget.status()).state == "paused"


async def test_a_redis_that_says_nothing_is_given_up_soon(
    simulator: Simulator, open_client: OpenClient, open_budget: OpenBudget, redis_url: str
) -> None:
    host, port = redis_url.removeprefix("redis://").partition("/")[0].rpartition("@")[2].split(":")
    async with FaultProxy(host, int(port)) as proxy:
        client = open_client(simulator.url, open_budget(4, 100, url=f"redis://127.0.0.1:{proxy.port}/0", timeout=0.5))
        await ask(client)
        proxy.swallows = True

        began = time.monotonic()
        await ask(client, 4)

    assert time.monotonic() - began < 5
