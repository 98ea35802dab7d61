"""Weeks and months without a trade, over real HTTP: the exchange says nothing at all, and is not asked without end."""

from datetime import date, timedelta

import pytest

from app.bootstrap import Service
from app.core.batches import SETTLE
from app.core.date_time import Timestamp
from app.core.entities import Series, Timeframe
from app.simulator.clock import read_moment as at
from app.simulator.faults import Match
from app.simulator.halts import Halt
from app.simulator.server import Simulator
from app.tests.journeys.conftest import contents
from app.tests.journeys.living import (
    A_DAY,
    AUDITED,
    asked,
    assert_nothing_is_lost,
    follow_since,
    is_covered,
    live_through,
    reasons,
)
from app.tests.journeys.test_update import BOND, SBER
from app.use_cases.explain_gaps import GapReason
from app.use_cases.get_spans import get_spans
from app.use_cases.reread_candles import reread_candles

SBER_SERIES = [Series(SBER, timeframe) for timeframe in AUDITED]
BOND_M1 = Series(BOND, Timeframe.M1)
APRIL = Halt(match=Match(ticker="SBER"), date_from=date(2024, 4, 1), date_till=date(2024, 5, 1))
A_WEEK = Halt(match=Match(ticker=BOND.ticker), date_from=date(2024, 1, 15), date_till=date(2024, 1, 20))


async def assert_silence_is_covered(service: Service, first: str, last: str) -> None:
    """Nothing is missing, though there are no bars between the two midnights."""
    stored = await contents(service.storage)
    for series in SBER_SERIES:
        assert await is_covered(service, series, at(first), at(last)), series
        assert len(stored[series][0].between(at(first), at(last))) == 0


async def test_s22_a_halted_month_is_lived_through_without_a_storm(service: Service, simulator: Simulator) -> None:
    simulator.faults.add(APRIL)
    begin = at("2024-03-29 18:00")
    simulator.clock.set(begin)
    await follow_since(service, SBER, begin - A_DAY)
    await live_through(service, simulator, begin)

    for day in (begin + n * A_DAY for n in range(1, 35)):
        asked(simulator)
        await live_through(service, simulator, day)
        assert asked(simulator) <= 2 * len(AUDITED)
        await live_through(service, simulator, *(day + n * timedelta(minutes=1) for n in range(1, 4)))
        assert asked(simulator) <= 3 * len(AUDITED)
        assert set(await reasons(service, SBER_SERIES[0], begin, day)) <= {
            GapReason.CLOSED,
            GapReason.NO_TRADES,
            GapReason.IN_PROGRESS,
        }

    await assert_silence_is_covered(service, "2024-04-01", "2024-05-01")
    await live_through(service, simulator, at("2024-05-03 12:00"))
    for coverage in await get_spans(service.storage, service.clock, SBER):
        assert {gap.reason for gap in coverage.gaps} == {GapReason.IN_PROGRESS}
    await assert_nothing_is_lost(service, simulator)


async def test_s22_a_halted_month_of_the_past_is_loaded_at_once(service: Service, simulator: Simulator) -> None:
    simulator.faults.add(APRIL)
    now = at("2024-05-15 12:00")
    simulator.clock.set(now)
    await follow_since(service, SBER, at("2024-03-27"))
    asked(simulator)

    await live_through(service, simulator, now)

    rows = sum(len(page) for page, _, _ in (await contents(service.storage)).values())
    assert asked(simulator) <= rows / 499 + 5 * len(AUDITED)
    await assert_silence_is_covered(service, "2024-04-01", "2024-05-01")
    await assert_nothing_is_lost(service, simulator)
    await live_through(service, simulator, now + timedelta(minutes=1))
    assert asked(simulator) <= len(AUDITED)


async def test_s22_a_night_of_a_halted_security_costs_its_last_trading_days_alone(
    service: Service, simulator: Simulator
) -> None:
    simulator.faults.add(APRIL)
    now = at("2024-04-30 12:00")
    simulator.clock.set(now)
    await follow_since(service, SBER, at("2024-03-27"))
    await live_through(service, simulator, now)
    asked(simulator)

    outcome = await reread_candles(service.storage, service.loader, service.clock)

    assert outcome.compared == set(SBER_SERIES)
    assert asked(simulator) <= 4 + 3  # two days of minutes are four pages
    await assert_nothing_is_lost(service, simulator)


async def test_a_week_without_a_trade_settles_a_day_later_and_not_before(
    service: Service, simulator: Simulator
) -> None:
    simulator.faults.add(A_WEEK)
    friday, monday = at("2024-01-12 20:00"), at("2024-01-15 09:20")
    simulator.clock.set(friday)
    await follow_since(service, BOND, friday - 3 * A_DAY)
    await live_through(service, simulator, friday, at("2024-01-15 20:00"))
    assert await covered_till(service) == monday  # till then the exchange was closed for certain

    for day in range(16, 20):
        noon, evening = (at(f"2024-01-{day} {hour}:00") for hour in (12, 20))
        asked(simulator)
        await live_through(service, simulator, noon)
        assert await covered_till(service) <= max(monday, noon - SETTLE)
        assert set(await reasons(service, BOND_M1, friday, noon)) == {GapReason.NO_TRADES, GapReason.IN_PROGRESS}
        await live_through(service, simulator, evening)
        assert await covered_till(service) == evening - SETTLE
        assert asked(simulator) <= 2 * 2 * len(AUDITED)

    await live_through(service, simulator, at("2024-01-22 15:00"))
    assert await is_covered(service, BOND_M1, friday, at("2024-01-22 12:00"))
    await assert_nothing_is_lost(service, simulator)


async def covered_till(service: Service) -> Timestamp:
    _, spans, _ = (await contents(service.storage))[BOND_M1]
    return spans[-1].time_till


@pytest.mark.parametrize("is_late", [False, True], ids=["none", "some"])
async def test_trades_of_a_silent_week_that_come_late_are_found_all_the_same(
    service: Service, simulator: Simulator, *, is_late: bool
) -> None:
    halt = simulator.faults.add(A_WEEK)
    friday, saturday = at("2024-01-12 20:00"), at("2024-01-20 20:00")
    simulator.clock.set(friday)
    await follow_since(service, BOND, friday - 3 * A_DAY)
    await live_through(service, simulator, friday, saturday)
    assert await covered_till(service) > at("2024-01-19 19:00")
    if is_late:
        simulator.faults.remove(halt.id)

    await live_through(service, simulator, saturday + A_DAY)

    assert (at("2024-01-15 12:00") < (await contents(service.storage))[BOND_M1][0][-1].timestamp) is is_late
    await assert_nothing_is_lost(service, simulator)
