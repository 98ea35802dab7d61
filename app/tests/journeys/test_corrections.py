"""The exchange changes its mind: what it corrected, added, took back or merely forgot for a while."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.bootstrap import Service
from app.core.entities import CandleRevision, CandleSpan, QuarantinedRow, Series, SeriesState, Timeframe
from app.core.errors import InputError
from app.core.market_data import LoadOutcome
from app.core.reconciliation import CORRECTED, MISSING, WITHDRAWN
from app.simulator.clock import read_moment
from app.simulator.fault_kinds import Empty, Html, Late, Revise, Stale, Withdraw
from app.simulator.faults import Fault, Match
from app.simulator.server import Simulator
from app.tasks.update import update_series
from app.tests.journeys.conftest import NOON, contents
from app.tests.journeys.test_update import SBER, follow, update
from app.use_cases.reread_candles import reread_candles
from app.use_cases.update_candles import update_candles
from app.use_cases.verify import verify

M1, D1 = Series(SBER, Timeframe.M1), Series(SBER, Timeframe.D1)
MINUTES = Match(ticker="SBER", interval=1)
RECENT = "2024-01-17 11:30:00"  # covered, among the last thirty candles at noon
YESTERDAY = "2024-01-16 15:00:00"
A_DAY = timedelta(days=1)


async def load(service: Service, *timeframes: Timeframe) -> None:
    await follow(service, SBER, timeframes=timeframes or (Timeframe.M1,), days=5)
    assert (await update(service)).failures == {}


async def reread(service: Service) -> LoadOutcome:
    return await reread_candles(service.storage, service.loader, service.clock)


async def state_of(service: Service, series: Series = M1) -> SeriesState:
    async with service.storage.read() as uow:
        return await uow.series.get(series)


async def revisions_of(service: Service, series: Series = M1) -> list[CandleRevision]:
    return (await contents(service.storage))[series][2]


async def is_covered(service: Service, moment: str) -> bool:
    _, spans, _ = (await contents(service.storage))[M1]
    return any(span.time_from <= read_moment(moment) < span.time_till for span in spans)


async def is_stored(service: Service, moment: str) -> bool:
    page, _, _ = (await contents(service.storage))[M1]
    return read_moment(moment).unix in page.begins


async def uncover(service: Service, time_from: str, time_till: str) -> None:
    async with service.storage.begin() as uow:
        await uow.spans.remove([CandleSpan(SBER, Timeframe.M1, read_moment(time_from), read_moment(time_till))])


def asked(simulator: Simulator) -> int:
    """Count the requests for candles since the last time."""
    number = sum(request.path.endswith("/candles.json") for request in simulator.requests)
    simulator.requests.clear()
    return number


async def test_s20_a_correction_of_the_last_candles_comes_with_the_next_update(
    service: Service, simulator: Simulator
) -> None:
    await load(service)
    before, spans = await state_of(service), (await contents(service.storage))[M1][1]
    simulator.faults.add(Revise(match=MINUTES, begin=RECENT, values={"volume": 7}))
    asked(simulator)

    outcome = await update(service)

    assert outcome.revised == {M1: 1}
    assert asked(simulator) == 1
    [revision] = await revisions_of(service)
    assert (revision.candle.timestamp, revision.reason) == (read_moment(RECENT), CORRECTED)
    assert (await state_of(service)).history_version > before.history_version
    assert (await contents(service.storage))[M1][1] == spans
    assert await verify(service.storage) == []


async def test_s20_a_late_candle_among_the_last_ones_is_added(service: Service, simulator: Simulator) -> None:
    late = simulator.faults.add(Withdraw(match=MINUTES, begin=RECENT))
    await load(service)
    before = await state_of(service)
    simulator.faults.remove(late.id)

    await update(service)

    assert await is_stored(service, RECENT)
    assert (await state_of(service)).history_version > before.history_version
    assert await verify(service.storage) == []


async def test_s20_yesterday_is_compared_once_a_night(service: Service, simulator: Simulator) -> None:
    await load(service, Timeframe.M1, Timeframe.D1)
    simulator.faults.add(Revise(match=MINUTES, begin=YESTERDAY, values={"volume": 7}))
    assert (await update(service)).revised == {}

    outcome = await reread(service)

    assert (outcome.revised, outcome.failures) == ({M1: 1}, {})
    assert [revision.candle.timestamp for revision in await revisions_of(service)] == [read_moment(YESTERDAY)]
    assert await verify(service.storage) == []
    asked(simulator)
    assert await reread(service) == LoadOutcome()
    simulator.clock.change(now=read_moment("2024-01-18 03:59"))
    await reread(service)
    assert asked(simulator) == 0
    simulator.clock.change(now=read_moment("2024-01-18 04:00"))
    await reread(service)
    assert 2 <= asked(simulator) <= 6


async def test_the_first_tick_of_a_night_compares_and_the_next_does_not(service: Service, simulator: Simulator) -> None:
    await load(service)
    simulator.faults.add(Revise(match=MINUTES, begin=YESTERDAY, values={"volume": 7}))
    asked(simulator)

    ticks = []
    for _ in range(2):
        await update_series("TQBR", "SBER", Timeframe.M1, service)
        ticks.append(asked(simulator))

    assert len(await revisions_of(service)) == 1
    assert ticks[0] > ticks[1] == 1


async def test_a_night_that_failed_is_made_up_for(service: Service, simulator: Simulator) -> None:
    await load(service)
    broken = simulator.faults.add(Html(match=MINUTES, times=None))
    assert list((await reread(service)).failures) == [M1]
    simulator.faults.remove(broken.id)
    silent = simulator.faults.add(Empty(match=MINUTES, times=None))
    await reread(service)
    assert (await state_of(service)).reread_at is None
    simulator.faults.remove(silent.id)

    await reread(service)

    assert (await state_of(service)).reread_at == NOON


async def test_a_series_without_candles_has_no_night(service: Service, simulator: Simulator) -> None:
    await follow(service, SBER, timeframes=(Timeframe.M1,))
    asked(simulator)

    assert await reread(service) == LoadOutcome()

    assert (asked(simulator), (await state_of(service)).reread_at) == (0, NOON)


async def test_s20_what_is_covered_is_read_again_on_demand(service: Service, simulator: Simulator) -> None:
    await load(service)
    simulator.faults.add(Revise(match=MINUTES, begin="2024-01-15 15:00:00", values={"volume": 7}))
    ports = (service.storage, service.loader, service.clock)
    noon = read_moment("2024-01-15 12:00")

    outcome = await update_candles(*ports, time_from=noon, time_till=noon + timedelta(hours=6), again=True)

    assert (outcome.revised, outcome.rows) == ({M1: 1}, {M1: 1})
    with pytest.raises(InputError, match="say from where on"):
        await update_candles(*ports, again=True)


async def test_i5_s20_a_candle_that_vanished_is_doubted_first_and_withdrawn_later(
    service: Service, simulator: Simulator
) -> None:
    await load(service)
    before = await state_of(service)
    simulator.faults.add(Withdraw(match=MINUTES, begin=RECENT))
    asked(simulator)

    outcome = await update(service)

    assert (outcome.quarantined, outcome.withdrawn, asked(simulator)) == ({M1: 1}, {}, 1)
    assert await is_stored(service, RECENT)
    assert not await is_covered(service, RECENT)
    assert (await state_of(service)).history_version > before.history_version
    assert await verify(service.storage) == []
    async with service.storage.read() as uow:
        assert [(row.begin, row.reason) async for row in uow.quarantine] == [(read_moment(RECENT), MISSING)]

    simulator.clock.advance(timedelta(minutes=9))
    assert ((await update(service)).withdrawn, asked(simulator)) == ({}, 1)
    assert (await reread(service)).withdrawn == {}
    asked(simulator)

    simulator.clock.advance(timedelta(minutes=1))
    outcome = await update(service)

    assert (outcome.withdrawn, asked(simulator)) == ({M1: 1}, 2)
    assert not await is_stored(service, RECENT)
    assert await is_covered(service, RECENT)
    [revision] = await revisions_of(service)
    assert (revision.candle.timestamp, revision.reason) == (read_moment(RECENT), WITHDRAWN)
    async with service.storage.read() as uow:
        assert await uow.quarantine.count() == 0
    assert await verify(service.storage) == []


async def test_i5_a_candle_that_is_back_at_the_second_look_stays(service: Service, simulator: Simulator) -> None:
    await load(service)
    gone = simulator.faults.add(Withdraw(match=MINUTES, begin=RECENT))
    await update(service)
    simulator.faults.remove(gone.id)
    simulator.clock.advance(timedelta(minutes=10))

    outcome = await update(service)

    assert (outcome.withdrawn, outcome.revised) == ({}, {})
    assert await is_stored(service, RECENT)
    assert await is_covered(service, RECENT)
    assert await revisions_of(service) == []
    async with service.storage.read() as uow:
        assert await uow.quarantine.count() == 0


async def test_a_withdrawn_candle_may_come_back(service: Service, simulator: Simulator) -> None:
    await load(service)
    gone = simulator.faults.add(Withdraw(match=MINUTES, begin=RECENT))
    for _ in range(2):
        await update(service)
        simulator.clock.advance(timedelta(minutes=10))
    simulator.faults.remove(gone.id)

    await reread(service)

    assert await is_stored(service, RECENT)
    assert [revision.reason for revision in await revisions_of(service)] == [WITHDRAWN]
    assert await verify(service.storage) == []


@pytest.mark.parametrize(
    "fault", [Stale(seconds=1_800, times=None), Stale(seconds=2 * 86_400, times=None), Late(seconds=7_200, times=None)]
)
async def test_an_old_or_a_late_answer_leaves_everything(service: Service, simulator: Simulator, fault: Fault) -> None:
    await load(service, Timeframe.M1, Timeframe.D1)
    before = await contents(service.storage)
    simulator.faults.add(fault)
    simulator.clock.advance(timedelta(minutes=1))

    for outcome in (await update(service), await reread(service)):
        assert (outcome.revised, outcome.withdrawn, outcome.quarantined) == ({}, {}, {})

    after = await contents(service.storage)
    for series in (M1, D1):
        was, now = ([candle for candle in page[series][0] if candle.is_final] for page in (before, after))
        assert now == was
        assert after[series][1:] == before[series][1:]
    simulator.faults.clear()
    assert (await update(service)).failures == {}
    assert await verify(service.storage) == []


async def test_an_old_answer_closes_an_inner_gap_only_as_far_as_it_is_whole(
    service: Service, simulator: Simulator
) -> None:
    await load(service)
    before = await contents(service.storage)
    begin, end = (f"2024-01-15 15:{minute}" for minute in ("00", "20"))
    await uncover(service, begin, end)
    async with service.storage.begin() as uow:
        gone = uow.candles.filter_by_series(M1).filter_by_timestamp_gte(read_moment(begin))
        await gone.filter_by_timestamp_lt(read_moment(end)).clear()
    told, known = NOON - service.adapter.delay, read_moment("2024-01-15 15:10") + timedelta(seconds=30)
    simulator.faults.add(Stale(match=MINUTES, seconds=(told - known).total_seconds(), times=None))

    outcome = await update(service)

    assert outcome.revised == {}
    assert await is_covered(service, "2024-01-15 15:09")
    assert not await is_covered(service, "2024-01-15 15:10")
    simulator.faults.clear()
    await update(service)
    assert await contents(service.storage) == before


async def test_an_answer_without_any_candle_leaves_no_state(service: Service, simulator: Simulator) -> None:
    await load(service)
    before, state = await contents(service.storage), await state_of(service)
    simulator.clock.advance(timedelta(minutes=1))
    simulator.faults.add(Empty(times=None))

    outcome = await update(service)

    assert outcome == LoadOutcome()
    state = replace(state, checked_at=simulator.clock.now())
    assert (await contents(service.storage), await state_of(service)) == (before, state)


@pytest.mark.parametrize("hole", [("11:00", "11:20"), ("02:00", "03:00")])
async def test_an_inner_gap_of_today_is_closed_by_one_request(
    service: Service, simulator: Simulator, hole: tuple[str, str]
) -> None:
    await load(service)
    before = await contents(service.storage)
    await uncover(service, *(f"2024-01-17 {moment}" for moment in hole))
    asked(simulator)

    await update(service)

    assert asked(simulator) == 2  # one for the gap, one for the end
    assert await contents(service.storage) == before


async def test_a_doubt_of_an_audit_is_no_first_sight(service: Service, simulator: Simulator) -> None:
    await load(service)
    simulator.faults.add(Withdraw(match=MINUTES, begin=RECENT))
    moment = read_moment(RECENT)
    await uncover(service, RECENT, "2024-01-17 11:31:00")
    async with service.storage.begin() as uow:
        await uow.quarantine.add([QuarantinedRow(M1, moment, "{}", "audit: volume differs", NOON - A_DAY)])

    for withdrawn in ({}, {M1: 1}):
        assert (await update(service)).withdrawn == withdrawn
        simulator.clock.advance(timedelta(minutes=10))

    assert moment.unix not in (await contents(service.storage))[M1][0].begins
