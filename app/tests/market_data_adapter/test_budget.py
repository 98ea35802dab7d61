"""One budget for all who ask: over real HTTP, with a real Redis, by the log of the exchange."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path

import pytest
import redis.asyncio
import stamina

from app.core.errors import (
    SourceBadAnswerError,
    SourceError,
    SourcePausedError,
    SourceRefusedError,
    SourceUnavailableError,
)
from app.market_data_adapter.breaker import Breaking
from app.market_data_adapter.budget import Budget
from app.market_data_adapter.iss import IssClient
from app.market_data_adapter.ledgers import RedisLedger
from app.simulator.fault_kinds import Html, Reset, Slow, Status
from app.simulator.faults import Fault
from app.simulator.server import Simulator
from app.simulator.servers import FaultProxy, Redis
from app.tests.market_data_adapter.conftest import NOON
from app.tests.tasks.children import running
from app.tests.tasks.waiting import eventually

PATH = "/iss/securities/SBER.json"
OpenClient = Callable[..., IssClient]
OpenBudget = Callable[..., Budget]

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


@pytest.fixture
async def open_budget() -> AsyncIterator[OpenBudget]:
    """Make budgets, of their own or in a Redis; all are closed when the test is over."""
    async with AsyncExitStack() as stack:

        def open_(
            concurrency: int = 16,
            rate: float | None = None,
            *,
            url: str | None = None,
            timeout: float = 5,
            **more: object,
        ) -> Budget:
            client = url and redis.asyncio.Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
            budget = Budget(concurrency, rate, redis=client or None, **more)  # type: ignore[arg-type]  # as given
            stack.push_async_callback(budget.close)
            return budget

        yield open_


@pytest.fixture(params=["memory", "redis"])
def pair(request: pytest.FixtureRequest, open_budget: OpenBudget) -> Callable[..., tuple[Budget, Budget]]:
    """Make two views of one budget: the same object in one process, two that share a Redis."""

    def make(**more: object) -> tuple[Budget, Budget]:
        if request.param == "memory":
            budget = open_budget(**more)
            return budget, budget
        url = request.getfixturevalue("redis_url")
        return open_budget(url=url, **more), open_budget(url=url, **more)

    return make


def moments(simulator: Simulator) -> list[float]:
    """When requests came, in seconds, by the exchange's log."""
    return sorted(request.real.microseconds / 1e6 for request in simulator.requests)


def worst(simulator: Simulator, window: float) -> int:
    """The most requests that came in any window of so many seconds."""
    came = moments(simulator)
    return max(sum(first <= each < first + window for each in came) for first in came)


async def ask(client: IssClient, times: int = 1) -> None:
    await asyncio.gather(*(client.get(PATH, {}, bytes) for _ in range(times)))


async def fail(client: IssClient, times: int, error: type[SourceError] = SourceUnavailableError) -> None:
    for _ in range(times):
        with pytest.raises(error):
            await ask(client)


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
    assert came[-1] - came[0] >= 29 * 0.05 * 0.9
    assert worst(simulator, 0.5) <= 14  # ten, one at the edge, and what the way here delays; apart they would be twenty
    assert simulator.peak_in_flight <= 3


async def test_s9_processes_together_ask_no_more_at_once_than_allowed(
    simulator: Simulator, open_client: OpenClient, open_budget: OpenBudget, redis_url: str
) -> None:
    simulator.faults.add(Slow(seconds=0.1, times=None))
    clients = [open_client(simulator.url, open_budget(3, url=redis_url)) for _ in range(2)]

    await asyncio.gather(*(ask(client, 6) for client in clients))

    assert (len(simulator.requests), simulator.peak_in_flight) == (12, 3)


async def test_a_killed_process_gives_its_place_back(redis_url: str, tmp_path: Path) -> None:
    async with running("-c", DYING, redis_url, folder=tmp_path) as child:
        await eventually(lambda: child.has_ended)

    async with redis.asyncio.Redis.from_url(redis_url) as client, asyncio.timeout(5):
        assert await client.zcard("exchange:places") == 1
        async with RedisLedger(client, "exchange", 1, None).place(1):
            assert await client.zcard("exchange:places") == 1
        assert await client.zcard("exchange:places") == 0


@pytest.mark.parametrize("code", [429, 403, 503])
@pytest.mark.parametrize("wish", ["1", format_datetime((NOON + timedelta(seconds=1)).utc, usegmt=True)])
async def test_s9_the_wish_of_the_exchange_is_obeyed_by_everybody(
    simulator: Simulator, open_client: OpenClient, pair: Callable[..., tuple[Budget, Budget]], code: int, wish: str
) -> None:
    one, other = (open_client(simulator.url, budget) for budget in pair())
    simulator.faults.add(Status(code=code, retry_after=wish))

    await fail(one, 1)
    await ask(other, 3)

    refused, first, *_ = moments(simulator)
    assert 0.95 <= first - refused < 3


async def test_s9_requests_that_already_wait_their_turn_obey_too(
    simulator: Simulator, open_client: OpenClient, pair: Callable[..., tuple[Budget, Budget]]
) -> None:
    one, other = (open_client(simulator.url, budget) for budget in pair(rate=10))
    simulator.faults.add(Status(code=429, retry_after="1"))

    await asyncio.gather(*(ask(client) for client in (one, other) * 3), return_exceptions=True)

    gaps = [after - before for before, after in pairwise(moments(simulator))]
    assert max(gaps) >= 0.8
    assert len(gaps) == 5


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Html(), SourceBadAnswerError),
        (Html(content_type="application/json; charset=utf-8"), SourceBadAnswerError),
        (Reset(times=2), SourceUnavailableError),  # the first is taken for an idle connection's and costs nothing
        (Status(code=429), SourceUnavailableError),
        (Status(code=403), SourceUnavailableError),
    ],
)
async def test_s2_s9_s25_who_is_pushed_back_slows_everybody_down(
    simulator: Simulator,
    open_client: OpenClient,
    pair: Callable[..., tuple[Budget, Budget]],
    fault: Fault,
    error: type[SourceError],
) -> None:
    one_budget, other_budget = pair(breaking=Breaking(after=5, rest=0.5))
    simulator.faults.add(fault)

    await fail(open_client(simulator.url, one_budget), 1, error)
    status = await other_budget.status()
    await ask(open_client(simulator.url, other_budget))

    *_, refused, answered = moments(simulator)
    assert status.state == "paused"
    assert answered - refused >= 0.45


async def test_s1_a_failing_exchange_is_left_alone_until_one_probe_succeeds(
    simulator: Simulator, open_client: OpenClient, pair: Callable[..., tuple[Budget, Budget]]
) -> None:
    budgets = pair(breaking=Breaking(after=3, rest=0.5))
    one, other = (open_client(simulator.url, budget) for budget in budgets)
    simulator.faults.add(Status(code=500, times=None))

    await fail(one, 3)
    await fail(other, 5, SourcePausedError)
    assert len(simulator.requests) == 3
    assert (await budgets[1].status()).state == "open"

    simulator.faults.clear()
    simulator.faults.add(Slow(seconds=0.3))
    await eventually(lambda: is_state(budgets[1], "half_open"))
    await asyncio.gather(ask(one, 3), ask(other, 3))

    probe, second = moments(simulator)[3:5]
    assert second - probe >= 0.25
    assert (await budgets[1].status()).state == "ok"


async def test_s1_a_probe_that_fails_means_a_longer_rest(
    simulator: Simulator, open_client: OpenClient, open_budget: OpenBudget
) -> None:
    budget = open_budget(breaking=Breaking(after=2, rest=0.2))
    client = open_client(simulator.url, budget)
    simulator.faults.add(Status(code=502, times=None))

    await fail(client, 2)
    await eventually(lambda: is_state(budget, "half_open"))
    await fail(client, 1)

    with pytest.raises(SourcePausedError, match=r"until \d\d:\d\d:\d\d Moscow time.*answered 502") as raised:
        await ask(client)
    assert 0.2 < (raised.value.retry_after or 0) <= 0.4
    assert len(simulator.requests) == 3


async def test_a_cancelled_probe_lets_another_one_probe(
    simulator: Simulator, open_client: OpenClient, pair: Callable[..., tuple[Budget, Budget]]
) -> None:
    budgets = pair(breaking=Breaking(after=1, rest=0.1))
    one, other = (open_client(simulator.url, budget) for budget in budgets)
    simulator.faults.add(Status(code=500))
    await fail(one, 1)
    await eventually(lambda: is_state(budgets[0], "half_open"))
    simulator.faults.add(Slow(seconds=0.8))

    probing = asyncio.create_task(ask(one))
    await eventually(lambda: len(simulator.requests) == 2)
    probing.cancel()
    await asyncio.wait([probing])
    began = time.monotonic()
    await ask(other)

    assert time.monotonic() - began < 0.7


async def test_what_is_not_there_is_no_failure(
    simulator: Simulator, open_client: OpenClient, open_budget: OpenBudget
) -> None:
    budget = open_budget(breaking=Breaking(after=2, rest=60))
    simulator.faults.add(Status(code=404, times=None))

    await fail(open_client(simulator.url, budget), 6, SourceRefusedError)

    assert (await budget.status()).state == "ok"


async def test_s9_one_push_back_in_five_slows_but_opens_nothing(
    simulator: Simulator, open_client: OpenClient, open_budget: OpenBudget, redis_url: str
) -> None:
    stamina.set_testing(True, attempts=20)
    budgets = [open_budget(4, url=redis_url) for _ in range(2)]
    rule = simulator.faults.add(Status(code=429, retry_after="0", times=None, probability=0.2))

    await asyncio.gather(*(ask(open_client(simulator.url, budget, attempts=20), 30) for budget in budgets))

    assert rule.struck >= 5
    assert len(simulator.requests) == 60 + rule.struck
    assert (await budgets[0].status()).state == "ok"


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
        simulator.peak_in_flight = 0
        await asyncio.gather(*(ask(client, 10) for client in clients))

        came = moments(simulator)
        assert came[-1] - came[0] >= 9 * 0.05 * 0.9
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
        assert (await budgets[1].status()).state == "paused"

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


async def is_state(budget: Budget, state: str) -> bool:
    return (await budget.status()).state == state


async def is_shared(budget: Budget) -> bool:
    return (await budget.status()).is_shared
