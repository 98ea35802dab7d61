"""Following the exchange through its nights and weekends: what is asked, what is covered, what an answer says."""

from datetime import datetime, timedelta

from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.entities import Security, Series, Timeframe
from app.core.spans import Period
from app.simulator.fault_kinds import Late, Status
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.journeys.conftest import NOON, contents
from app.tests.looking import get_coverage
from app.use_cases.create_security import create_security
from app.use_cases.explain_gaps import GapReason
from app.use_cases.get_candles import get_candles
from app.use_cases.update_candles import update_candles
from app.use_cases.verify import verify

SBER_M1 = Series(Security("SBER", "TQBR"), Timeframe.M1)
FRIDAY_EVENING = Timestamp.from_moscow(datetime(2024, 1, 19, 23, 30))
SATURDAY = Timestamp.from_moscow(datetime(2024, 1, 20, 12))
SUNDAY = Timestamp.from_moscow(datetime(2024, 1, 21, 18))
MONDAY = Timestamp.from_moscow(datetime(2024, 1, 22, 12))


async def follow(service: Service, since: Timestamp) -> None:
    since_each = await service.since((Timeframe.M1,), since)
    await create_security(service.storage, service.adapter, SBER_M1.security, since=since_each)


async def update(service: Service) -> int:
    """Load what is missing; return the number of candles written."""
    outcome = await update_candles(service.storage, service.loader, service.clock)
    assert outcome.failures == {}
    return sum(outcome.rows.values())


def asked(simulator: Simulator) -> int:
    return sum(request.path.endswith("/candles.json") for request in simulator.requests)


async def test_over_a_weekend_nothing_is_asked_and_every_answer_is_complete(
    service: Service, simulator: Simulator
) -> None:
    simulator.clock.set(SATURDAY)
    await follow(service, FRIDAY_EVENING - timedelta(days=1))
    await update(service)
    whole = Period(FRIDAY_EVENING - timedelta(days=1), SATURDAY)
    assert (await get_coverage(service.storage, SBER_M1, whole)).is_covered is False
    assert (await get_coverage(service.storage, SBER_M1, whole)).is_complete
    simulator.clock.set(SUNDAY)
    simulator.requests.clear()

    await update(service)

    assert asked(simulator) == 0
    coverage = await get_coverage(service.storage, SBER_M1, Period(FRIDAY_EVENING, SUNDAY))
    assert coverage.is_complete
    assert [gap.reason for gap in coverage.gaps] == [GapReason.CLOSED]


async def test_at_night_the_last_longer_bar_of_the_day_is_whole(service: Service, simulator: Simulator) -> None:
    simulator.clock.set(FRIDAY_EVENING)
    await follow(service, FRIDAY_EVENING - timedelta(hours=12))
    for minutes in range(0, 120, 10):
        simulator.clock.set(FRIDAY_EVENING + timedelta(minutes=minutes))
        await update(service)
    simulator.requests.clear()
    simulator.clock.set(SATURDAY)

    await update(service)

    midnight = Timestamp.from_moscow(datetime(2024, 1, 20))
    assert asked(simulator) == 0
    for timeframe in (Timeframe.M15, Timeframe.H4):
        series = Series(SBER_M1.security, timeframe)
        answer = await get_candles(service.storage, series, time_from=midnight - timedelta(hours=4), time_till=midnight)
        assert answer.is_covered
        assert answer.page[-1].is_final


async def test_after_a_weekend_the_stored_candles_equal_the_tape(service: Service, simulator: Simulator) -> None:
    simulator.clock.set(FRIDAY_EVENING)
    await follow(service, FRIDAY_EVENING - timedelta(hours=1))
    for moment in (FRIDAY_EVENING, SATURDAY, SUNDAY, MONDAY):
        simulator.clock.set(moment)
        await update(service)

    candles, spans, revisions = (await contents(service.storage))[SBER_M1]
    last_final = spans[-1].time_till
    assert len(spans) == 1
    assert last_final > MONDAY - timedelta(minutes=20)
    truth = simulator.truth(SBER_M1, Period(spans[0].time_from, last_final)).final_before(last_final)
    assert candles.between(spans[0].time_from, last_final) == truth
    assert revisions == []
    assert await verify(service.storage) == []


async def test_a_working_saturday_is_loaded_as_any_day(service: Service, simulator: Simulator) -> None:
    friday, saturday = (Timestamp.from_moscow(datetime(2024, 4, day, 12)) for day in (26, 27))
    simulator.clock.set(saturday)
    await follow(service, friday)

    written = await update(service)

    truth = simulator.truth(SBER_M1, Period(friday, saturday))
    assert written == len(truth) > 600
    assert (await contents(service.storage))[SBER_M1][0].begins == truth.begins


async def test_why_the_exchange_gave_nothing_is_kept_until_it_gives_again(
    service: Service, simulator: Simulator
) -> None:
    await follow(service, NOON - timedelta(hours=2))
    simulator.faults.add(Status(match=Match(ticker="SBER"), code=503, times=None))

    await update_candles(service.storage, service.loader, service.clock)

    async with service.storage.read() as uow:
        state = await uow.series.get(SBER_M1)
    assert state.failed_at == NOON
    assert "503" in (state.failure or "")
    coverage = await get_coverage(service.storage, SBER_M1, Period(NOON - timedelta(hours=2), NOON))
    assert [gap.reason for gap in coverage.gaps] == [GapReason.SOURCE_ERROR]
    simulator.faults.clear()
    await update(service)
    async with service.storage.read() as uow:
        state = await uow.series.get(SBER_M1)
    assert (state.failed_at, state.failure) == (None, None)


async def test_a_year_of_minutes_costs_little_more_than_its_pages(service: Service, simulator: Simulator) -> None:
    await follow(service, NOON - timedelta(days=120))
    simulator.requests.clear()

    rows = await update(service)

    assert rows > 60_000
    assert asked(simulator) <= rows / 499 + 15  # windows that end with a night need no question what follows


async def test_a_source_that_lags_over_the_close_ends_no_day(service: Service, simulator: Simulator) -> None:
    midnight = Timestamp.from_moscow(datetime(2024, 1, 20))
    evening = Period(FRIDAY_EVENING - timedelta(hours=2), midnight)
    simulator.clock.set(midnight + timedelta(minutes=40))
    await follow(service, evening.time_from)
    simulator.faults.add(Late(times=None, seconds=7200))
    await update(service)
    close = Period(FRIDAY_EVENING, FRIDAY_EVENING + timedelta(minutes=20))
    assert simulator.truth(SBER_M1, close)
    assert not (await get_coverage(service.storage, SBER_M1, close)).is_complete
    simulator.faults.clear()
    simulator.clock.set(SATURDAY)

    await update(service)

    assert (await get_coverage(service.storage, SBER_M1, evening)).is_covered
    stored = (await contents(service.storage))[SBER_M1][0]
    assert stored == simulator.truth(SBER_M1, Period(evening.time_from, SATURDAY)).final_before(SATURDAY)
