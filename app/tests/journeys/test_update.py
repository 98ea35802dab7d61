"""From the exchange to the store over real HTTP."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import parse_qs

import pytest

from app import market_data_windows
from app.bootstrap import Service
from app.core.entities import SOURCED, Security, Series, Timeframe
from app.core.errors import SecurityNotFoundError, SourceBadAnswerError, SourceMismatchError
from app.core.market_data import LoadOutcome, LoadStep, Wish
from app.core.spans import Period
from app.market_data_windows import OVERLAP_BARS
from app.simulator.fault_kinds import Html, Late
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.journeys.conftest import NOON, contents
from app.use_cases.create_security import create_security
from app.use_cases.update_candles import update_candles
from app.use_cases.verify import verify

SBER = Security("SBER", "TQBR")
GAZP = Security("GAZP", "TQBR")
BOND = Security("SU26238RMFS4", "TQOB")
ALL = SOURCED


async def follow(
    service: Service, *securities: Security, timeframes: tuple[Timeframe, ...] = ALL, days: int = 20
) -> None:
    since = await service.since(timeframes, NOON - timedelta(days=days))
    for security in securities:
        await create_security(service.storage, service.adapter, security, since=since)


async def update(service: Service) -> LoadOutcome:
    return await update_candles(service.storage, service.loader, service.clock)


async def assert_equals_the_tape(service: Service, simulator: Simulator) -> None:
    now = simulator.clock.now()
    async with service.storage.read() as uow:
        states = [state async for state in uow.series]
    stored = await contents(service.storage)
    for state in states:
        assert state.followed_from is not None
        truth = simulator.truth(state.series, Period(state.followed_from, now))
        assert len(truth)
        final_till = now - service.adapter.delay - timedelta(minutes=1)
        if state.series.timeframe.after(truth[-1].timestamp) > now - timedelta(days=1):
            final_till = min(final_till, truth[-1].timestamp)  # nothing shows yet that the last bar is whole
        assert stored[state.series][0] == truth.final_before(final_till), state.series


async def test_what_is_stored_equals_the_tape(service: Service, simulator: Simulator) -> None:
    await follow(service, SBER, GAZP, BOND)

    outcome = await update(service)

    assert outcome.failures == {}
    await assert_equals_the_tape(service, simulator)
    assert await verify(service.storage) == []


async def test_a_second_update_asks_once_from_a_few_covered_candles_on_and_changes_nothing(
    service: Service, simulator: Simulator
) -> None:
    await follow(service, SBER, BOND)
    await update(service)
    before = await contents(service.storage)
    async with service.storage.read() as uow:
        states = {state.series: state async for state in uow.series}
    simulator.requests.clear()

    outcome = await update(service)

    assert (outcome.rows, outcome.failures) == ({}, {})
    assert await contents(service.storage) == before
    async with service.storage.read() as uow:
        assert {state.series: state async for state in uow.series} == states
    asked = [request for request in simulator.requests if request.path.endswith("/candles.json")]
    assert len(asked) <= len(states)
    for request in asked:
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        ticker = request.path.split("/")[-2]
        candles, spans = next(
            (candles, spans)
            for series, (candles, spans, _) in before.items()
            if series.security.ticker == ticker and series.timeframe.interval == int(query["interval"])
        )
        covered = candles.between(spans[-1].time_from, spans[-1].time_till)
        assert query["from"] == covered[-OVERLAP_BARS:][0].timestamp.moscow.strftime("%Y-%m-%d %H:%M:%S"), request


async def test_a_page_that_answers_html_fails_its_series_alone(service: Service, simulator: Simulator) -> None:
    await follow(service, SBER, GAZP, timeframes=(Timeframe.H1, Timeframe.D1))
    simulator.faults.add(Html(match=Match(ticker="GAZP", interval=60), times=None))

    outcome = await update(service)

    assert list(outcome.failures) == [Series(GAZP, Timeframe.H1)]
    assert isinstance(outcome.failures[Series(GAZP, Timeframe.H1)], SourceBadAnswerError)
    stored = await contents(service.storage)
    assert stored[Series(GAZP, Timeframe.H1)][1] == []
    simulator.faults.clear()
    assert (await update(service)).failures == {}
    await assert_equals_the_tape(service, simulator)


async def test_i7_a_source_that_stops_an_hour_before_the_watermark_leaves_a_gap(
    service: Service, simulator: Simulator
) -> None:
    await follow(service, SBER, timeframes=(Timeframe.M1,), days=2)
    simulator.faults.add(Late(seconds=3600, times=None))

    await update(service)

    series = Series(SBER, Timeframe.M1)
    [span] = (await contents(service.storage))[series][1]
    assert span.time_till <= NOON - service.adapter.delay - timedelta(hours=1)
    simulator.faults.clear()
    await update(service)
    await assert_equals_the_tape(service, simulator)
    [span] = (await contents(service.storage))[series][1]
    assert span.time_till > NOON - timedelta(hours=1)


async def test_an_unknown_security_is_not_followed(service: Service) -> None:
    with pytest.raises(SecurityNotFoundError, match="trades on TQBR"):
        await follow(service, Security("SBER", "TQOB"))


async def test_a_store_refuses_another_source(
    open_service: Callable[..., Awaitable[Service]], database_url: str
) -> None:
    await follow(await open_service(database_url), SBER)

    with pytest.raises(SourceMismatchError, match=r"simulator.*https://iss\.moex\.com"):
        await open_service(database_url, source_name="https://iss.moex.com")


async def test_a_gap_before_covered_time_is_read_once_whatever_its_windows(
    service: Service, simulator: Simulator
) -> None:
    await follow(service, SBER, timeframes=(Timeframe.M1,), days=30)
    two_days_ago = NOON - timedelta(days=2)
    await update_candles(service.storage, service.loader, service.clock, time_from=two_days_ago)
    simulator.requests.clear()

    outcome = await update(service)

    rows = sum(outcome.rows.values())
    asked = [request for request in simulator.requests if request.path.endswith("/candles.json")]
    assert rows > 10_000
    assert len(asked) <= rows / 499 + 3 * 5  # five windows, each with a confirming page and a part of one
    await assert_equals_the_tape(service, simulator)


@dataclass
class Steps:
    """Counts the batches that were written."""

    batches: int = 0

    def begin(self, missing: Sequence[Wish], /) -> None: ...

    def advance(self, step: LoadStep, /) -> None:
        assert step.rows
        self.batches += 1


async def test_what_a_slow_source_gave_is_written_page_by_page(
    service: Service, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await follow(service, SBER, timeframes=(Timeframe.M1,), days=3)
    monkeypatch.setattr(market_data_windows, "BATCH_SECONDS", -1)
    steps = Steps()

    await update_candles(service.storage, service.loader, service.clock, progress=steps)

    pages = sum(request.path.endswith("/candles.json") for request in simulator.requests)
    assert 2 < steps.batches <= pages
    await assert_equals_the_tape(service, simulator)
