"""S: rows that are wrong, all the way into the store. Each row: the fault strikes, then it is gone."""

from datetime import datetime, timedelta

import pytest

from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.errors import SourceShiftError
from app.core.spans import Period
from app.simulator.fault_kinds import BadRow, Beyond, Revise, Shuffle
from app.simulator.faults import Match
from app.simulator.iss import Value
from app.simulator.server import Simulator
from app.tests.journeys.healing import H1, M1, assert_fails_alone, follow_two, meet, minutes, recover, spans_of, wall
from app.tests.journeys.test_update import assert_equals_the_tape, update

CANDLES = Match(path="SBER/candles")
PRICES = ("open", "high", "low", "close")
DAY_10 = Timestamp.from_moscow(datetime(2024, 1, 16, 10))
pytestmark = pytest.mark.usefixtures("without_pauses")


@pytest.fixture
async def service(service: Service) -> Service:
    """Two series are followed: the faults strike the minutes of SBER, the hours of GAZP show that nobody else cares."""
    await follow_two(service)
    return service


@pytest.mark.parametrize("value", ["NaN", "Infinity", None, "", "193.5"])
async def test_s15_a_price_that_is_no_number_keeps_only_its_slot_open(
    service: Service, simulator: Simulator, value: Value
) -> None:
    is_bare = value in {"NaN", "Infinity"}
    await assert_quarantined(service, simulator, {"close": value}, is_bare=is_bare)


@pytest.mark.parametrize("values", [{"high": 1}, {"open": 1e9}, {"volume": -1}], ids=["high", "open", "volume"])
async def test_s16_prices_that_contradict_each_other_keep_only_their_slot_open(
    service: Service, simulator: Simulator, values: dict[str, Value]
) -> None:
    await assert_quarantined(service, simulator, values, is_bare=False)


async def assert_quarantined(
    service: Service, simulator: Simulator, values: dict[str, Value], *, is_bare: bool
) -> None:
    """One slot stays open, is said so, and is asked again when its pause is over."""
    bad = BadRow(match=CANDLES, begin=wall(DAY_10), values=values, bare=is_bare, times=None)

    outcome = await meet(service, simulator, bad)

    assert (outcome.failures, outcome.quarantined) == ({}, {M1: 1})
    before, after = await spans_of(service, M1)
    assert Period(before.time_till, after.time_from) == Period(DAY_10, DAY_10 + minutes(1))
    async with service.storage.read() as uow:
        assert [row.begin async for row in uow.quarantine] == [DAY_10]
    simulator.clock.advance(minutes(11))
    await recover(service, simulator)
    async with service.storage.read() as uow:
        assert await uow.quarantine.count() == 0


async def test_s16_prices_below_zero_are_prices(service: Service, simulator: Simulator) -> None:
    prices = dict(zip(PRICES, (-2.0, -1.0, -3.0, -2.0), strict=True))

    outcome = await meet(service, simulator, Revise(match=CANDLES, begin=wall(DAY_10), values=prices))

    assert (outcome.failures, outcome.quarantined) == ({}, {})
    await assert_equals_the_tape(service, simulator)


async def test_s17_rows_out_of_order_are_stored_in_order(service: Service, simulator: Simulator) -> None:
    outcome = await meet(service, simulator, Shuffle(times=None))

    assert outcome.failures == {}
    await assert_equals_the_tape(service, simulator)


async def test_s18_rows_of_the_future_are_not_taken(service: Service, simulator: Simulator) -> None:
    faults = Beyond(days=30, times=None), Beyond(match=Match(path="GAZP/candles"), days=1, times=None)

    outcome = await meet(service, simulator, *faults)

    assert outcome.failures == {}
    await recover(service, simulator)


async def test_s18_a_row_far_ahead_of_its_page_is_not_believed(service: Service, simulator: Simulator) -> None:
    await assert_fails_alone(service, simulator, Beyond(match=CANDLES, days=1, times=None), SourceShiftError)


async def test_s19_a_forming_bar_is_replaced_until_it_is_whole(service: Service, simulator: Simulator) -> None:
    seen = []
    for _ in range(4):
        await update(service)
        async with service.storage.read() as uow:
            hours = [candle async for candle in uow.candles.filter_by_series(H1).newest_first()[:1]]
        assert all(span.time_till <= hours[0].timestamp for span in await spans_of(service, H1))
        seen.append((hours[0].timestamp, hours[0].value, hours[0].is_final))
        simulator.clock.advance(timedelta(minutes=3, seconds=20))
    simulator.clock.advance(timedelta(hours=3))

    outcome = await recover(service, simulator)

    assert {(begin, is_final) for begin, _, is_final in seen} == {(seen[0][0], False)}
    assert len({value for _, value, _ in seen}) == 4
    assert outcome.revised == {}
