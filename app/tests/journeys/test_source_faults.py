"""S: answers that are wrong, all the way into the store. Each row: the fault strikes, then it is gone."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.entities import Timeframe
from app.core.errors import (
    SourceBadAnswerError,
    SourceError,
    SourceRefusedError,
    SourceSchemaError,
    SourceShiftError,
    SourceUnavailableError,
)
from app.core.spans import Period
from app.simulator.fault_kinds import (
    Bomb,
    Columns,
    Cut,
    Duplicate,
    Empty,
    Error,
    Html,
    IgnoreFrom,
    IgnoreStart,
    Revise,
    Stale,
    WrongDate,
)
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.journeys.conftest import NOON
from app.tests.journeys.healing import (
    DAYS,
    H1,
    M1,
    assert_fails_alone,
    follow_two,
    meet,
    minutes,
    recover,
    spans_of,
    uncover,
    wall,
)
from app.tests.journeys.test_update import SBER, assert_equals_the_tape, update
from app.use_cases.create_security import create_security
from app.use_cases.update_candles import update_candles
from app.use_cases.verify import verify

OpenService = Callable[..., Awaitable[Service]]
CANDLES = Match(path="SBER/candles")
pytestmark = pytest.mark.usefixtures("without_pauses")


@pytest.fixture
async def service(service: Service) -> Service:
    """Two series are followed: the faults strike the minutes of SBER, the hours of GAZP show that nobody else cares."""
    await follow_two(service)
    return service


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/json; charset=utf-8"])
async def test_s2_a_web_page_is_never_an_empty_answer(
    service: Service, simulator: Simulator, content_type: str
) -> None:
    fault = Html(match=CANDLES, content_type=content_type, times=None)

    await assert_fails_alone(service, simulator, fault, SourceBadAnswerError)


async def test_s2_an_error_inside_an_answer_is_no_answer(service: Service, simulator: Simulator) -> None:
    await assert_fails_alone(service, simulator, Error(match=CANDLES, times=None), SourceBadAnswerError)


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("at", [0, 1, 1_000, 30_000])
async def test_s3_an_answer_cut_anywhere_covers_nothing_of_it(
    service: Service, simulator: Simulator, at: int, page: int
) -> None:
    fault = Cut(match=CANDLES, at=at, after=page, times=None)

    await assert_fails_alone(service, simulator, fault, SourceUnavailableError)


@pytest.mark.parametrize(
    "column", [Columns(drop=["volume"]), Columns(rename={"begin": "start"})], ids=["gone", "named"]
)
async def test_s4_a_column_that_is_missing_stops_its_series(
    service: Service, simulator: Simulator, column: Columns
) -> None:
    fault = Columns(match=CANDLES, drop=column.drop, rename=column.rename, times=None)

    await assert_fails_alone(service, simulator, fault, SourceSchemaError)


async def test_s4_a_column_more_and_another_order_change_nothing(service: Service, simulator: Simulator) -> None:
    order = ["numtrades", "value", "volume", "begin", "low", "high", "close", "open"]

    outcome = await meet(service, simulator, Columns(add={"numtrades": 7}, order=order, times=None))

    assert outcome.failures == {}
    await assert_equals_the_tape(service, simulator)


async def test_s5_repeated_rows_are_stored_once(service: Service, simulator: Simulator) -> None:
    outcome = await meet(service, simulator, Duplicate(rows=7, times=None))

    assert (outcome.failures, outcome.conflicts) == ({}, {})
    await assert_equals_the_tape(service, simulator)


async def test_s5_of_two_values_the_later_is_taken_counted_and_mended_by_the_next_reading(
    service: Service, simulator: Simulator
) -> None:
    match = Match(path="GAZP/candles")
    simulator.faults.add(Duplicate(match=match, rows=5, changes={"value": 7}, times=None))
    outcome = await update(service)

    assert (outcome.failures, outcome.conflicts) == ({}, {H1: 5})
    assert await verify(service.storage) == []
    await uncover(service, H1, NOON - timedelta(days=DAYS), NOON)
    assert (await recover(service, simulator)).revised == {H1: 4}


async def test_s5_a_page_that_ends_in_two_values_is_not_read_past(service: Service, simulator: Simulator) -> None:
    fault = Duplicate(match=CANDLES, changes={"value": 7}, times=None)

    await assert_fails_alone(service, simulator, fault, SourceShiftError)


async def test_s6_a_row_that_changes_between_two_pages_is_read_again(service: Service, simulator: Simulator) -> None:
    begins = simulator.truth(M1, Period(NOON - timedelta(days=DAYS), NOON)).begins
    edge = wall(Timestamp.from_unix(begins[499]))
    changed = Revise(match=Match(ticker="SBER", interval=1), begin=edge, values={"value": 7}, after=1)

    outcome = await meet(service, simulator, changed)

    assert outcome.failures == {}
    await assert_equals_the_tape(service, simulator)
    pages = [request for request in simulator.requests if "SBER/candles.json" in request.path]
    assert len(pages) > len(begins) / 499 + 1


@pytest.mark.parametrize("rows", [0, 1, 499, 500, 501, 1000])
async def test_s7_a_window_of_any_number_of_rows_is_covered_without_a_loop(
    service: Service, simulator: Simulator, rows: int
) -> None:
    since = NOON - timedelta(days=DAYS)
    begins = simulator.truth(M1, Period(since, NOON)).begins
    night = Timestamp.from_moscow(datetime(2024, 1, 16))
    period = (
        Period(since, Timestamp.from_unix(begins[rows - 1]) + minutes(1))
        if rows
        else Period(night, night + 9 * minutes(60))
    )
    simulator.requests.clear()

    outcome = await update_candles(
        service.storage, service.loader, service.clock,
        securities=[SBER], time_from=period.time_from, time_till=period.time_till,
    )  # fmt: skip

    assert (outcome.failures, sum(outcome.rows.values())) == ({}, rows)
    assert await spans_of(service, M1) == [period]
    assert len(simulator.requests) <= 10
    await recover(service, simulator)


async def test_s8_a_source_that_answers_its_first_rows_for_ever_is_refused(
    service: Service, simulator: Simulator
) -> None:
    await assert_fails_alone(service, simulator, IgnoreFrom(match=CANDLES, times=None), SourceError)

    assert len(simulator.requests) < 50


async def test_s8_nobody_depends_on_offsets_that_are_ignored(service: Service, simulator: Simulator) -> None:
    outcome = await meet(service, simulator, IgnoreStart(times=None))

    assert outcome.failures == {}
    await assert_equals_the_tape(service, simulator)


async def test_s14_an_answer_without_end_is_cut_off(
    open_service: OpenService, simulator: Simulator, database_url: str
) -> None:
    service = await open_service(database_url, iss_max_body=1 << 20)
    await follow_two(service)

    await assert_fails_alone(service, simulator, Bomb(match=CANDLES, times=None), SourceRefusedError)


async def test_s21_an_empty_day_is_not_believed_while_it_may_be_late(service: Service, simulator: Simulator) -> None:
    today = Timestamp.from_moscow(datetime(2024, 1, 17))
    await update_candles(service.storage, service.loader, service.clock, time_till=today)
    before = await spans_of(service, M1)

    outcome = await meet(service, simulator, Empty(match=CANDLES, times=None))

    assert outcome.failures == {}
    assert await spans_of(service, M1) == before
    await recover(service, simulator)


@pytest.mark.parametrize("known_till", [NOON - timedelta(days=2), NOON - timedelta(days=DAYS)], ids=["some", "none"])
async def test_s21_silence_of_who_forgot_what_it_told_is_no_silence(
    service: Service, simulator: Simulator, known_till: Timestamp
) -> None:
    await update_candles(service.storage, service.loader, service.clock, time_till=known_till)

    await assert_fails_alone(service, simulator, Empty(match=CANDLES, times=None), SourceBadAnswerError)


@pytest.mark.parametrize("seconds", [-3600, 3600])
async def test_s23_an_exchange_whose_clock_is_wrong_covers_nothing_too_early(
    service: Service, simulator: Simulator, seconds: int
) -> None:
    outcome = await meet(service, simulator, WrongDate(match=CANDLES, seconds=seconds, times=None))

    assert outcome.failures == {}
    last = (await spans_of(service, M1))[-1].time_till
    assert last <= NOON - service.adapter.delay - timedelta(seconds=max(-seconds, 0))
    await recover(service, simulator)


@pytest.mark.parametrize("seconds", [-3600, 3600])
async def test_s23_clocks_that_disagree_are_an_error_that_says_what_to_do(
    open_service: OpenService, simulator: Simulator, database_url: str, seconds: int
) -> None:
    now = Timestamp(datetime.now(UTC))
    simulator.clock.set(now)
    service = await open_service(database_url, clock="system")
    await create_security(service.storage, service.adapter, SBER, since={Timeframe.M1: now - timedelta(days=5)})

    outcome = await meet(service, simulator, WrongDate(match=CANDLES, seconds=seconds, times=None))

    assert "set this machine's clock right" in str(outcome.failures[M1])
    assert await spans_of(service, M1) == []
    await recover(service, simulator)


@pytest.mark.parametrize("age", [None, 3600])
async def test_s24_an_old_copy_takes_nothing_back(service: Service, simulator: Simulator, age: int | None) -> None:
    simulator.clock.advance(timedelta(seconds=30))
    await update(service)
    before = await spans_of(service, M1)
    await uncover(service, M1, NOON - timedelta(hours=4), NOON)
    await uncover(service, H1, NOON - timedelta(hours=4), NOON)
    stale = [Stale(seconds=3600, times=None), *([WrongDate(age=age, times=None)] if age else [])]

    outcome = await meet(service, simulator, *stale)

    assert (outcome.failures, outcome.revised) == ({}, {})
    await recover(service, simulator)
    assert await spans_of(service, M1) == before
