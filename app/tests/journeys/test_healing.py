"""A service that was away: it answers at once, says what is not complete, and makes up for everything by itself."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from math import ceil

import pytest

from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.entities import Series, Timeframe
from app.core.spans import Period
from app.simulator.fault_kinds import Slow
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tasks.broker import embedded
from app.tasks.schedule import LEASE
from app.tests.builders import GAZP, SBER
from app.tests.journeys.conftest import contents
from app.tests.journeys.living import follow_since
from app.tests.journeys.test_update import assert_equals_the_tape, update
from app.tests.looking import get_coverage
from app.tests.tasks.waiting import eventually
from app.use_cases.find_due import find_due
from app.use_cases.looks import seen
from app.use_cases.verify import verify

M1 = Series(SBER, Timeframe.M1)
FOLLOWED = (Timeframe.M1, Timeframe.H1, Timeframe.D1)


@pytest.mark.parametrize("away", [timedelta(minutes=80), timedelta(days=12)], ids=["eighty minutes", "twelve days"])
async def test_whoever_comes_back_makes_up_for_what_was_missed(
    open_service: Callable[..., Awaitable[Service]], simulator: Simulator, database_url: str, away: timedelta
) -> None:
    """However long it was: the outcome is the same, and ticks that were missed are not made up for one by one."""
    service = await open_service(database_url, tick=0.1)
    since = simulator.clock.now() - timedelta(days=3)
    for security in (SBER, GAZP):
        await follow_since(service, security, since, *FOLLOWED)
    assert (await update(service)).failures == {}
    left = simulator.clock.now()
    simulator.clock.advance(away)
    simulator.requests.clear()
    slow = simulator.faults.add(Slow(match=Match(path="candles.json$"), seconds=0.3, times=None))

    async with embedded(service):
        await eventually(lambda: slow.struck)
        coverage = await get_coverage(service.storage, M1, Period(left - timedelta(hours=1), simulator.clock.now()))
        assert not coverage.is_complete
        simulator.faults.clear()
        await eventually(lambda: is_up_to_date(service, simulator))

    await assert_equals_the_tape(service, simulator)
    assert await verify(service.storage) == []
    assert asked_for(simulator, M1) <= await ideal(service, left)


async def is_up_to_date(service: Service, simulator: Simulator) -> bool:
    """Say whether the schedule has looked at this moment, and nothing is left that is due."""
    now = simulator.clock.now()
    if (await seen(service.storage)).get(LEASE) != now:
        return False
    return not await find_due(service.storage, service.rules, now)


async def ideal(service: Service, since: Timestamp) -> int:
    """Return how many requests a series needs: its pages and one; two days are compared once for the night."""
    page, _, _ = (await contents(service.storage))[M1]
    missed = sum(candle.timestamp >= since for candle in page)
    days = {candle.timestamp.moscow.date() for candle in page}
    compared = sum(candle.timestamp.moscow.date() in sorted(days)[-3:] for candle in page)
    return ceil(missed / 500) + 1 + ceil(compared / 500) + 1


def asked_for(simulator: Simulator, series: Series) -> int:
    of_it = f"{series.security.ticker}/candles.json"
    interval = f"interval={series.timeframe.interval}&"
    return sum(each.path.endswith(of_it) and interval in each.query for each in simulator.requests)
