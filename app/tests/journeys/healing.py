"""What all faults have in common: while they last, nothing wrong is covered; afterwards the store equals the tape."""

from datetime import timedelta

from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Series, Timeframe
from app.core.errors import SourceError
from app.core.market_data import LoadOutcome
from app.core.spans import Period
from app.simulator.faults import Fault
from app.simulator.server import Simulator
from app.tests.journeys.conftest import contents
from app.tests.journeys.test_update import GAZP, SBER, assert_equals_the_tape, follow, update
from app.tests.tasks.waiting import eventually
from app.use_cases.verify import verify

M1, H1 = Series(SBER, Timeframe.M1), Series(GAZP, Timeframe.H1)
DAYS = 6


async def meet(service: Service, simulator: Simulator, *faults: Fault) -> LoadOutcome:
    """Update while these things go wrong; what is covered then must be true all the same."""
    for fault in faults:
        simulator.faults.add(fault)
    outcome = await update(service)
    await assert_covered_is_true(service, simulator)
    return outcome


async def recover(service: Service, simulator: Simulator) -> LoadOutcome:
    """Let everything go well again, and update: nothing is lost and nothing doubled."""
    simulator.faults.clear()
    await eventually(lambda: may_ask(service))
    outcome = await update(service)
    assert outcome.failures == {}
    await assert_equals_the_tape(service, simulator)
    assert await verify(service.storage) == []
    return outcome


async def follow_two(service: Service, *, days: int = DAYS) -> None:
    """Follow the minutes of one security and the hours of another: what strikes one must not touch the other."""
    await follow(service, SBER, timeframes=(Timeframe.M1,), days=days)
    await follow(service, GAZP, timeframes=(Timeframe.H1,), days=days)


async def assert_fails_alone(
    service: Service, simulator: Simulator, fault: Fault, error: type[SourceError] | tuple[type[SourceError], ...]
) -> None:
    """The struck series ends with this error, the other one is complete; afterwards both are."""
    outcome = await meet(service, simulator, fault)

    assert list(outcome.failures) == [M1]
    assert isinstance(outcome.failures[M1], error)
    assert await spans_of(service, H1)
    await recover(service, simulator)


async def assert_covered_is_true(service: Service, simulator: Simulator) -> None:
    """Every span holds the candles of the tape, final, and no others; outside spans nothing final is invented."""
    now = simulator.clock.now()
    for series, (page, spans, _) in (await contents(service.storage)).items():
        truth = simulator.truth(series, Period(page[0].timestamp, now)) if page else page
        for span in spans:
            covered = simulator.truth(series, Period(span.time_from, span.time_till))
            assert page.between(span.time_from, span.time_till) == covered, span
        assert {row for row in page.rows if row[7]} <= set(truth.rows), series
    assert await verify(service.storage) == []


async def may_ask(service: Service) -> bool:
    """Tell whether the exchange is not left alone any more."""
    return (await service.source_status()).until is None


async def spans_of(service: Service, series: Series) -> list[Period]:
    """Return what is covered of a series."""
    _, spans, _ = (await contents(service.storage))[series]
    return [Period(span.time_from, span.time_till) for span in spans]


async def uncover(service: Service, series: Series, time_from: Timestamp, time_till: Timestamp) -> None:
    """Open a gap over candles that stay."""
    async with service.storage.begin() as uow:
        await uow.spans.remove([CandleSpan(series.security, series.timeframe, time_from, time_till)])


def wall(moment: Timestamp) -> str:
    """Write a moment as the exchange does."""
    return f"{moment.moscow:%Y-%m-%d %H:%M:%S}"


def minutes(number: int) -> timedelta:
    return timedelta(minutes=number)
