"""The exchange compared with itself, over real HTTP: its M10, H1 and D1 against its minutes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, QuarantinedRow, Security, Series, SeriesState, Timeframe
from app.core.errors import InputError
from app.core.spans import Period
from app.core.storage import IStorage
from app.simulator.clock import read_moment
from app.simulator.fault_kinds import Revise, Withdraw
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.journeys.conftest import NOON
from app.tests.looking import get_coverage
from app.use_cases import audit_candles as module
from app.use_cases.audit_candles import audit_candles
from app.use_cases.create_security import create_security
from app.use_cases.update_candles import update_candles
from app.use_cases.verify import verify

SBER = Security("SBER", "TQBR")
BOND = Security("SU26238RMFS4", "TQOB")
M1, M10, H1, D1 = (Series(SBER, Timeframe(name)) for name in ("M1", "M10", "H1", "D1"))
BAD = read_moment("2024-01-16 12:10")
BAD_BAR = Revise(match=Match(ticker="SBER", interval=10), begin="2024-01-16 12:10:00", values={"volume": 1})


async def load(service: Service, *securities: Security, days: int = 5) -> None:
    since = await service.since((Timeframe.M1, *module.AUDITED), NOON - timedelta(days=days))
    for security in securities or (SBER,):
        await create_security(service.storage, service.adapter, security, since=since)
    await update(service)


async def update(service: Service) -> None:
    assert (await update_candles(service.storage, service.loader, service.clock)).failures == {}


async def spans_of(storage: IStorage, series: Series) -> list[CandleSpan]:
    async with storage.read() as uow:
        return [span async for span in uow.spans.filter_by_series(series)]


async def quarantine_of(storage: IStorage, series: Series) -> list[QuarantinedRow]:
    async with storage.read() as uow:
        return [row async for row in uow.quarantine.filter_by_series(series)]


async def states(storage: IStorage) -> dict[Series, SeriesState]:
    async with storage.read() as uow:
        return {state.series: state async for state in uow.series}


def is_covered(spans: list[CandleSpan], moment: Timestamp) -> bool:
    return any(span.time_from <= moment < span.time_till for span in spans)


async def test_an_exchange_that_agrees_with_itself_is_clean_and_nothing_changes(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE_BARS", 50)
    await load(service, SBER, BOND)
    before = await states(service.storage)

    assert await audit_candles(service.storage, service.clock) == []
    assert await states(service.storage) == before


async def test_one_bad_bar_is_found_quarantined_and_asked_again(service: Service, simulator: Simulator) -> None:
    fault = simulator.faults.add(BAD_BAR)
    await load(service)
    before = await states(service.storage)

    [violation] = await audit_candles(service.storage, service.clock)

    assert (violation.invariant, violation.series, violation.where, violation.times) == ("audit", M10, BAD, 1)
    assert "(volume: " in violation.what
    [row] = await quarantine_of(service.storage, M10)
    assert (row.begin, row.reason.partition(":")[0]) == (BAD, "audit")
    for series, end in ((M10, BAD + timedelta(minutes=10)), (M1, BAD + timedelta(minutes=10))):
        spans = await spans_of(service.storage, series)
        assert not is_covered(spans, BAD)
        assert not is_covered(spans, end - timedelta(minutes=1))
        assert is_covered(spans, BAD - timedelta(minutes=1))
        assert is_covered(spans, end)
    after = await states(service.storage)
    assert {series for series in after if after[series] != before[series]} == {M1, M10}
    assert all(after[series].history_version > before[series].history_version for series in (M1, M10))
    assert await verify(service.storage) == []
    derived = await get_coverage(service.storage, Series(SBER, Timeframe.M5), Period(BAD, BAD + timedelta(hours=1)))
    assert [gap.period for gap in derived.gaps] == [Period(BAD, BAD + timedelta(minutes=10))]

    simulator.faults.remove(fault.id)
    simulator.clock.advance(timedelta(minutes=11))
    await update(service)

    assert await audit_candles(service.storage, service.clock) == []
    assert await quarantine_of(service.storage, M10) == []
    assert all([is_covered(await spans_of(service.storage, series), BAD) for series in (M1, M10)])
    async with service.storage.read() as uow:
        [revision] = [revision async for revision in uow.revisions]
    assert (revision.candle.timestamp, revision.candle.volume) == (BAD, 1.0)
    assert await verify(service.storage) == []


async def test_a_bad_minute_is_found_by_all_that_is_made_of_it(service: Service, simulator: Simulator) -> None:
    minute = Match(ticker="SBER", interval=1)
    simulator.faults.add(Revise(match=minute, begin="2024-01-16 12:13:00", values={"volume": 1}))
    await load(service)

    found = await audit_candles(service.storage, service.clock)

    assert {(each.series, each.where, each.times) for each in found} == {
        (M10, BAD, 1),
        (H1, read_moment("2024-01-16 12:00"), 1),
        (D1, read_moment("2024-01-16 00:00"), 1),
    }
    assert await verify(service.storage) == []


async def test_a_bar_that_is_missing_and_one_too_many_are_differences(service: Service, simulator: Simulator) -> None:
    simulator.faults.add(Withdraw(match=Match(ticker="SBER", interval=10), begin="2024-01-16 12:10:00"))
    for minute in range(20, 30):
        simulator.faults.add(Withdraw(match=Match(ticker="SBER", interval=1), begin=f"2024-01-16 12:{minute}:00"))
    await load(service)

    [violation] = await audit_candles(service.storage, service.clock, timeframes=[Timeframe.M10])

    assert (violation.where, violation.times) == (BAD, 2)
    assert "the bar: none, its minutes say [" in violation.what


async def test_what_is_not_covered_by_both_is_not_compared(service: Service, simulator: Simulator) -> None:
    simulator.faults.add(BAD_BAR)
    await load(service)
    async with service.storage.begin() as uow:
        await uow.spans.remove([CandleSpan(SBER, Timeframe.M1, BAD, BAD + timedelta(minutes=1))])

    assert await audit_candles(service.storage, service.clock) == []


async def test_more_than_a_few_differences_are_only_reported(
    service: Service, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEW", 1)
    for minute in (10, 20, 30):
        simulator.faults.add(replace_begin(minute))
    await load(service)
    before = await states(service.storage)

    [violation] = await audit_candles(service.storage, service.clock)

    assert (violation.times, violation.where) == (3, BAD)
    assert "reported only" in violation.what
    assert await quarantine_of(service.storage, M10) == []
    assert await states(service.storage) == before


async def test_what_changed_since_it_was_looked_at_is_left_alone(service: Service, simulator: Simulator) -> None:
    simulator.faults.add(BAD_BAR)
    await load(service)
    await load(service)
    known = await states(service.storage)
    seen = {series.timeframe: replace(state, history_version=-1) for series, state in known.items()}
    async with service.storage.read() as uow:
        audit = await module._compare(uow, known[M1], known[M10], BAD)

    await module._quarantine(service.storage, NOON, seen, [audit])

    assert audit.times == 1
    assert await states(service.storage) == known
    assert await quarantine_of(service.storage, M10) == []


async def test_only_what_is_asked_for_is_audited(service: Service, simulator: Simulator) -> None:
    simulator.faults.add(BAD_BAR)
    await load(service, SBER, BOND)

    assert await audit_candles(service.storage, service.clock, securities=[BOND]) == []
    assert await audit_candles(service.storage, service.clock, timeframes=[Timeframe.H1, Timeframe.D1]) == []
    assert await audit_candles(service.storage, service.clock, since=BAD + timedelta(minutes=1)) == []
    with pytest.raises(InputError, match="M10, H1, D1"):
        await audit_candles(service.storage, service.clock, timeframes=[Timeframe.M1])


def replace_begin(minute: int) -> Revise:
    return Revise(match=BAD_BAR.match, begin=f"2024-01-16 12:{minute}:00", values=BAD_BAR.values)
