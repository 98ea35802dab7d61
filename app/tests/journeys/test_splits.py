"""A split in the middle of loaded history, over real HTTP: prices of before and after it never stand side by side."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import cast

import pytest

from app.bootstrap import Service, bootstrap
from app.core.corporate_actions import ListedSplit
from app.core.date_time import Timestamp
from app.core.entities import Security, Series, SeriesState, Timeframe
from app.core.errors import SourceBadAnswerError, SourceRefusedError
from app.core.market_data import LoadOutcome, Wish
from app.core.pages import CandlePage
from app.core.spans import Period
from app.core.storage import IStorage, IUnitOfWork
from app.simulator.fault_kinds import Html, Split, Status, WrongDate
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.journeys.conftest import NOON, settings_of
from app.tests.journeys.dying import KILLED, STEPS
from app.tests.journeys.test_crashes import die
from app.use_cases.create_security import create_security
from app.use_cases.get_candles import get_candles
from app.use_cases.record_splits import record_splits
from app.use_cases.update_candles import update_candles
from app.use_cases.verify import verify

SBER = Security("SBER", "TQBR")
M1, H1, D1, W1 = (Series(SBER, Timeframe(name)) for name in ("M1", "H1", "D1", "W1"))
M5 = Series(SBER, Timeframe.M5)
DAY = date(2024, 1, 16)
MIDNIGHT = Timestamp.midnight(DAY)
SPLIT = Split(match=Match(ticker="SBER"), date=DAY.isoformat(), factor=0.1)
BEFORE, AFTER = "of before the split", "of after it"


async def load(service: Service, days: int = 12) -> None:
    since = await service.since((Timeframe.M1, Timeframe.H1, Timeframe.D1, Timeframe.W1), NOON - timedelta(days=days))
    await create_security(service.storage, service.adapter, SBER, since=since)
    await update(service)


async def update(service: Service) -> LoadOutcome:
    outcome = await update_candles(service.storage, service.loader, service.clock)
    assert outcome.failures == {}
    return outcome


async def look(service: Service) -> int:
    return len((await record_splits(service.storage, service.directory, service.clock)).splits)


async def shown(storage: IStorage, series: Series) -> CandlePage:
    answer = await get_candles(storage, series, time_from=NOON - timedelta(days=20), time_till=NOON)
    return answer.page


def kinds(page: CandlePage) -> set[str]:
    """Tell the prices of bars before the midnight, which hover about 270 or 27, from each other."""
    lows = [candle.low for candle in page if candle.timestamp < MIDNIGHT]
    return {BEFORE if low > 100 else AFTER for low in lows}


async def states(storage: IStorage) -> dict[Series, SeriesState]:
    async with storage.read() as uow:
        return {state.series: state async for state in uow.series}


async def assert_equals_the_tape(service: Service, simulator: Simulator, *series: Series) -> None:
    for one in series:
        state = (await states(service.storage))[one]
        assert state.followed_from is not None
        period = Period(state.followed_from, one.timeframe.floor(state.watermark or NOON))
        async with service.storage.read() as uow:
            stored = (await uow.candles.filter_by_series(one).page(one)).between(period.time_from, period.time_till)
            covered = [span async for span in uow.spans.filter_by_series(one)]
        truth = simulator.truth(one, period)
        assert [row[:7] for row in stored.rows] == [row[:7] for row in truth.rows]
        assert len(covered) == 1
        assert state.stale_before is None


async def revisions(storage: IStorage) -> int:
    async with storage.read() as uow:
        return await uow.revisions.count()


async def test_a_split_is_read_again_without_a_trace_of_the_old_prices(service: Service, simulator: Simulator) -> None:
    await load(service)
    assert kinds(await shown(service.storage, H1)) == {BEFORE}
    simulator.faults.add(SPLIT)

    assert await look(service) == 1
    between = {series: await shown(service.storage, series) for series in (M1, H1, D1, M5)}
    assert await verify(service.storage) == []
    await update(service)

    assert {page[0].timestamp >= MIDNIGHT for page in between.values()} == {True}
    for series in (M1, H1, D1, W1, M5):
        assert kinds(await shown(service.storage, series)) == {AFTER}
    await assert_equals_the_tape(service, simulator, M1, H1, D1)
    assert await revisions(service.storage) == 0
    assert await verify(service.storage) == []
    assert await look(service) == 0


async def test_without_the_list_old_and_new_would_stand_side_by_side(service: Service, simulator: Simulator) -> None:
    await load(service)
    simulator.faults.add(SPLIT)
    await create_security(service.storage, service.adapter, SBER, since={Timeframe.H1: NOON - timedelta(days=16)})
    await update(service)

    assert kinds(await shown(service.storage, H1)) == {BEFORE, AFTER}

    assert await look(service) == 1
    await update(service)
    assert kinds(await shown(service.storage, H1)) == {AFTER}
    await assert_equals_the_tape(service, simulator, H1)


async def test_a_split_that_nobody_lists_is_known_from_the_prices(service: Service, simulator: Simulator) -> None:
    since = await service.since((Timeframe.H1, Timeframe.D1), NOON - timedelta(days=60))
    await create_security(service.storage, service.adapter, SBER, since=since)
    await update(service)
    simulator.faults.add(SPLIT)
    simulator.clock.advance(timedelta(days=1))

    outcome = await update(service)  # of the days read again with the new ones, more than twenty were rewritten

    assert outcome.rescaled.keys() == {D1}
    assert [(split.security, split.day) for split in outcome.splits] == [(SBER, DAY)]
    async with service.storage.read() as uow:
        assert [(split.security, split.day, round(split.factor, 9)) async for split in uow.splits] == [(SBER, DAY, 10)]
    assert {BEFORE} & (kinds(await shown(service.storage, H1)) | kinds(await shown(service.storage, D1))) == set()
    await update(service)
    assert kinds(await shown(service.storage, H1)) == kinds(await shown(service.storage, D1)) == {AFTER}
    await assert_equals_the_tape(service, simulator, H1, D1)
    assert (await update(service)).rescaled == {}
    assert await verify(service.storage) == []


async def test_evidence_of_a_split_outlives_who_found_it(service: Service, simulator: Simulator) -> None:
    since = await service.since((Timeframe.D1,), NOON - timedelta(days=60))
    await create_security(service.storage, service.adapter, SBER, since=since)
    await update(service)
    simulator.faults.add(SPLIT)
    simulator.clock.advance(timedelta(days=1))
    wish = Wish(D1, Period(NOON - timedelta(days=60), Timestamp.midnight(date(2024, 1, 19))))

    found = await service.loader.load([wish])  # and then nobody lived to record it

    assert found.rescaled.keys() == {D1}
    assert kinds(await shown(service.storage, D1)) == {BEFORE}
    await update(service)
    await update(service)
    assert kinds(await shown(service.storage, D1)) == {AFTER}
    await assert_equals_the_tape(service, simulator, D1)


@dataclass
class Watching:
    """A store that is asked after every commit of its writers."""

    store: IStorage
    seen: list[set[str]]

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    @property
    def batch_rows(self) -> int:
        return 300

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[IUnitOfWork]:
        async with self.store.begin() as uow:
            yield uow
        for series in (M1, H1, M5):
            self.seen.append(kinds(await shown(self.store, series)))


async def test_no_answer_midway_mixes_prices(simulator: Simulator, database_url: str) -> None:
    seen: list[set[str]] = []
    settings = settings_of(simulator, database_url)
    async with bootstrap(settings, wrap_storage=lambda store: cast("IStorage", Watching(store, seen))) as service:
        await _reload_and_watch(service, simulator, seen)

    assert {frozenset(each) for each in seen} == {frozenset(), frozenset({AFTER})}
    assert len(seen) > 30


async def _reload_and_watch(service: Service, simulator: Simulator, seen: list[set[str]]) -> None:
    await load(service)
    simulator.faults.add(SPLIT)
    await look(service)

    seen.clear()
    await update(service)

    await assert_equals_the_tape(service, simulator, M1, H1, D1)


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_between_leaves_gaps_and_the_next_update_fills_them(
    service: Service, simulator: Simulator, database_url: str, step: str
) -> None:
    await load(service)
    simulator.faults.add(SPLIT)
    await look(service)

    assert await die(simulator, database_url, step, 2) == KILLED

    for series in (M1, H1, D1, M5):
        assert kinds(await shown(service.storage, series)) <= {AFTER}
    assert await verify(service.storage) == []
    await update(service)
    await assert_equals_the_tape(service, simulator, M1, H1, D1)
    assert await revisions(service.storage) == 0


async def test_what_was_read_before_the_split_was_seen_does_not_count(service: Service, simulator: Simulator) -> None:
    await load(service)
    simulator.faults.add(SPLIT)
    simulator.clock.advance(timedelta(minutes=1))
    await look(service)
    before = (await states(service.storage))[H1]

    old = simulator.faults.add(WrongDate(match=Match(path="candles.json"), age=61, times=None))
    outcome = await update_candles(service.storage, service.loader, service.clock, timeframes=[Timeframe.H1])

    assert "was seen after this was read" in str(outcome.failures[H1])
    after = (await states(service.storage))[H1]
    assert replace(after, failed_at=None, failure=None, failures=0) == before
    simulator.faults.remove(old.id)
    await update(service)
    await assert_equals_the_tape(service, simulator, H1)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Html(match=Match(path="splits"), times=None), SourceBadAnswerError),
        (Status(match=Match(path="splits"), code=404, times=None), SourceRefusedError),
    ],
)
async def test_a_list_that_cannot_be_read_is_an_error_and_stops_nothing(
    service: Service, simulator: Simulator, fault: Html | Status, error: type[Exception]
) -> None:
    await load(service)
    simulator.faults.add(SPLIT)
    rule = simulator.faults.add(fault)

    with pytest.raises(error):
        await look(service)

    assert kinds(await shown(service.storage, H1)) == {BEFORE}
    simulator.faults.remove(rule.id)
    assert await look(service) == 1


async def test_who_is_followed_after_a_split_is_read_once(service: Service, simulator: Simulator) -> None:
    simulator.faults.add(SPLIT)
    await look(service)
    await load(service)
    simulator.clock.advance(timedelta(hours=1))

    assert await look(service) == 0

    async with service.storage.read() as uow:
        assert [split.day async for split in uow.splits] == [DAY]
        assert [split async for split in uow.listed_splits] == [ListedSplit("SBER", DAY, 10.0)]
