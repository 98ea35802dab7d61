"""Who is pushed back, or meets an exchange that fails, holds everybody: with a real Redis, and without one."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
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
from app.simulator.fault_kinds import Html, Reset, Slow, Status
from app.simulator.faults import Fault
from app.simulator.server import Simulator
from app.tests.market_data_adapter.asking import OpenBudget, OpenClient, ask, fail, known, moments, rest
from app.tests.market_data_adapter.conftest import NOON
from app.tests.tasks.waiting import eventually


@pytest.fixture(autouse=True)
def _without_pauses() -> Iterator[None]:
    stamina.set_testing(True, attempts=1)
    yield
    stamina.set_testing(False)


@pytest.mark.parametrize("code", [429, 403, 503])
@pytest.mark.parametrize("wish", ["1", format_datetime((NOON + timedelta(seconds=1)).utc, usegmt=True)])
async def test_s9_the_wish_of_the_exchange_is_obeyed_by_everybody(
    simulator: Simulator, open_client: OpenClient, pair: Callable[..., tuple[Budget, Budget]], code: int, wish: str
) -> None:
    one, other = (open_client(simulator.url, budget, altogether=1.5) for budget in pair())  # waits for no longer pause
    simulator.faults.add(Status(code=code, retry_after=wish))

    await fail(one, 1)
    await ask(other, 3)

    refused, first, *_ = moments(simulator)
    assert first - refused >= 0.95


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
    breaker = await known(other_budget)
    await ask(open_client(simulator.url, other_budget))

    *_, refused, answered = moments(simulator)
    assert not breaker.is_open
    assert breaker.until - breaker.paused_at == pytest.approx(0.5)
    assert answered - refused >= 0.45


async def test_s1_a_failing_exchange_is_left_alone_until_one_probe_succeeds(
    simulator: Simulator, open_client: OpenClient, pair: Callable[..., tuple[Budget, Budget]]
) -> None:
    budgets = pair(breaking=Breaking(after=3, rest=60))
    one, other = (open_client(simulator.url, budget, altogether=60) for budget in budgets)
    simulator.faults.add(Status(code=500, times=None))

    await fail(one, 3)
    await fail(other, 5, SourcePausedError)
    assert len(simulator.requests) == 3
    assert (await budgets[1].status()).state == "open"

    simulator.faults.clear()
    simulator.faults.add(Slow(seconds=0.3))
    await rest(budgets[0])
    assert (await budgets[1].status()).state == "half_open"
    await asyncio.gather(ask(one, 3), ask(other, 3))

    probe, second = moments(simulator)[3:5]
    assert second - probe >= 0.25
    assert (await budgets[1].status()).state == "ok"


async def test_s1_a_probe_that_fails_means_a_longer_rest(
    simulator: Simulator, open_client: OpenClient, open_budget: OpenBudget
) -> None:
    budget = open_budget(breaking=Breaking(after=2, rest=60))
    client = open_client(simulator.url, budget)
    simulator.faults.add(Status(code=502, times=None))

    await fail(client, 2)
    await rest(budget)
    assert (await budget.status()).state == "half_open"
    await fail(client, 1)

    with pytest.raises(SourcePausedError, match=r"until \d\d:\d\d:\d\d Moscow time.*answered 502") as raised:
        await ask(client)
    assert 60 < (raised.value.retry_after or 0) <= 120
    assert len(simulator.requests) == 3


async def test_a_cancelled_probe_lets_another_one_probe(
    simulator: Simulator, open_client: OpenClient, pair: Callable[..., tuple[Budget, Budget]]
) -> None:
    budgets = pair(breaking=Breaking(after=1, rest=60))
    one, other = (open_client(simulator.url, budget, total=60) for budget in budgets)
    simulator.faults.add(Status(code=500))
    await fail(one, 1)
    await rest(budgets[0])
    simulator.faults.add(Slow(seconds=60))

    probing = asyncio.create_task(ask(one))
    await eventually(lambda: len(simulator.requests) == 2)
    probing.cancel()
    await asyncio.wait([probing])
    await ask(other)  # whose patience is shorter than a probe may last

    assert (await budgets[1].status()).state == "ok"


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

    clients = [open_client(simulator.url, budget, attempts=20, altogether=60) for budget in budgets]
    await asyncio.gather(*(ask(client, 30) for client in clients))

    assert rule.struck >= 5
    assert len(simulator.requests) == 60 + rule.struck
    assert (await budgets[0].status()).state == "ok"
