"""What journeys through days and weeks have in common: to follow, to let time pass, to compare with the exchange."""

from datetime import timedelta

from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.entities import Security, SecurityCard, Series, Timeframe
from app.core.spans import Period
from app.simulator.server import Simulator
from app.tests.journeys.conftest import contents
from app.tests.journeys.test_update import assert_equals_the_tape, update
from app.tests.looking import get_coverage
from app.use_cases.audit_candles import audit_candles
from app.use_cases.create_security import create_security
from app.use_cases.explain_gaps import GapReason
from app.use_cases.refresh_calendar import refresh_calendar
from app.use_cases.verify import verify

A_DAY = timedelta(days=1)
AUDITED = (Timeframe.M1, Timeframe.M10, Timeframe.H1, Timeframe.D1)


async def follow_since(
    service: Service, security: Security | str, since: Timestamp, *timeframes: Timeframe
) -> SecurityCard:
    wanted = await service.since(timeframes or AUDITED, since)
    return (await create_security(service.storage, service.adapter, security, since=wanted)).card


async def live_through(service: Service, simulator: Simulator, *moments: Timestamp) -> None:
    """Bring everything up to each of these moments; whatever the exchange says of its days is read once a day."""
    for moment in moments:
        simulator.clock.set(moment)
        await refresh_calendar(service.storage, service.calendar, service.clock, every=A_DAY)
        assert (await update(service)).failures == {}


async def assert_nothing_is_lost(service: Service, simulator: Simulator) -> None:
    """What is stored equals the tape, keeps its promises, and agrees with itself."""
    await assert_equals_the_tape(service, simulator)
    assert await verify(service.storage) == []
    assert await audit_candles(service.storage, service.clock) == []


async def days_of(service: Service, series: Series) -> set[str]:
    """The Moscow dates of what is stored."""
    page, _, _ = (await contents(service.storage))[series]
    return {str(candle.timestamp.moscow.date()) for candle in page}


async def is_covered(service: Service, series: Series, time_from: Timestamp, time_till: Timestamp) -> bool:
    return (await get_coverage(service.storage, series, Period(time_from, time_till))).is_covered


async def reasons(service: Service, series: Series, time_from: Timestamp, time_till: Timestamp) -> list[GapReason]:
    coverage = await get_coverage(service.storage, series, Period(time_from, time_till))
    return [gap.reason for gap in coverage.gaps]


def asked(simulator: Simulator, ticker: str = "") -> int:
    """Count the requests for candles since the last time."""
    found = [each for each in simulator.requests if each.path.endswith(f"{ticker}/candles.json")]
    simulator.requests.clear()
    return len(found)
