"""One security of each class of the exchange, all the way into the store."""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta

import pytest

from app.bootstrap import Service
from app.core.entities import SOURCED, Security, SecurityCard, Series, Timeframe
from app.core.pages import CandlePage
from app.core.spans import Period
from app.simulator.server import Simulator
from app.tests.journeys.conftest import NOON, contents
from app.tests.journeys.test_update import assert_equals_the_tape
from app.use_cases.audit_candles import audit_candles
from app.use_cases.create_security import create_security
from app.use_cases.get_spans import get_spans
from app.use_cases.update_candles import update_candles
from app.use_cases.verify import verify

CLASSES = {
    "TQBR": "LKOH",
    "TQTF": "SBMX",
    "TQIF": "RU000A0JR2C1",
    "TQOB": "SU26238RMFS4",
    "TQCB": "RU000A103X66",
    "TQIR": "RU000A1041B2",
    "SNDX": "IMOEX",
    "RTSI": "RTSI",
    "CETS": "USD000UTSTOM",
    "RFUD": "SIH4",
    "ROPD": "SI90000BC4",
}


async def follow(
    service: Service, security: Security | str, *, days: int = 12, timeframes: tuple[Timeframe, ...] = ()
) -> SecurityCard:
    since = await service.since(timeframes or SOURCED, NOON - timedelta(days=days))
    return (await create_security(service.storage, service.adapter, security, since=since)).card


async def update(service: Service) -> None:
    outcome = await update_candles(service.storage, service.loader, service.clock)
    assert outcome.failures == {}


async def stored(service: Service, security: Security, timeframe: Timeframe) -> CandlePage:
    page, _, _ = (await contents(service.storage))[Series(security, timeframe)]
    return page


def asked_for_candles(simulator: Simulator) -> list[str]:
    return [request.query for request in simulator.requests if request.path.endswith("/candles.json")]


@pytest.mark.parametrize(("board", "ticker"), CLASSES.items(), ids=CLASSES)
async def test_every_timeframe_of_a_security_of_each_class_equals_the_tape(
    service: Service, simulator: Simulator, board: str, ticker: str
) -> None:
    card = await follow(service, ticker)
    await update(service)

    assert (card.security, card.is_primary) == (Security(ticker, board), True)
    assert {series.timeframe for series in await contents(service.storage)} == set(SOURCED)
    await assert_equals_the_tape(service, simulator)
    assert await verify(service.storage) == []
    assert await audit_candles(service.storage, service.clock) == []


ONE_KIND = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@ONE_KIND
async def test_contracts_have_no_value_and_indices_no_volume(service: Service) -> None:
    future = await follow(service, "SIH4", timeframes=(Timeframe.D1,))
    index = await follow(service, "IMOEX", timeframes=(Timeframe.D1,))
    await update(service)

    futures, indices = [await stored(service, card.security, Timeframe.D1) for card in (future, index)]
    assert set(futures.values) == {0.0}
    assert min(futures.volumes) > 0
    assert set(indices.volumes) == {0.0}
    assert min(indices.values) > 0


@ONE_KIND
async def test_prices_below_zero_are_prices(service: Service, simulator: Simulator) -> None:
    card = await follow(service, "CLG4", timeframes=(Timeframe.H1,))
    await update(service)

    page = await stored(service, card.security, Timeframe.H1)
    assert min(page.lows) < 0
    truth = simulator.truth(page.series, Period(page[0].timestamp, NOON))
    assert list(page.lows) == list(truth.lows)
    assert await verify(service.storage) == []


@ONE_KIND
async def test_bonds_are_quoted_in_per_cent_and_valued_in_money(service: Service) -> None:
    card = await follow(service, "SU26238RMFS4", timeframes=(Timeframe.D1,))
    await update(service)

    day = (await stored(service, card.security, Timeframe.D1))[0]
    assert 20 < day.close < 120
    assert day.value == pytest.approx(day.volume * day.close * 10, rel=0.05)


@ONE_KIND
async def test_a_card_tells_what_the_exchange_knows(service: Service) -> None:
    share, bond, future = [await follow(service, ticker) for ticker in ("GAZP", "RU000A103X66", "SIH4")]

    assert (share.lot, share.decimals, share.currency, share.primary_board) == (10, 2, "RUB", "TQBR")
    assert (share.listed_from, share.history_till, share.expires) == (date(2011, 12, 15), date(2024, 1, 17), None)
    assert (bond.kind, bond.lot, bond.expires) == ("exchange_bond", 1, date(2029, 9, 28))
    assert (future.secid, future.lot, future.expires) == ("SiH4", 1, date(2024, 3, 21))


@ONE_KIND
async def test_nothing_is_asked_before_the_first_candle(service: Service, simulator: Simulator) -> None:
    since = await service.since((Timeframe.D1, Timeframe.H1), NOON - timedelta(days=9000))
    followed = await create_security(service.storage, service.adapter, "SBMX", since=since)
    simulator.requests.clear()

    await update_candles(service.storage, service.loader, service.clock, time_from=NOON - timedelta(days=9000))

    assert {state.followed_from.moscow.date() for state in followed.series if state.followed_from} == {
        date(2018, 9, 17)
    }
    asked = asked_for_candles(simulator)
    assert asked
    assert all("from=2018-09" in query or "from=2018-0" not in query for query in asked)
    assert not any(f"from={year}" in query for query in asked for year in range(1999, 2018))


@ONE_KIND
async def test_an_earlier_since_moves_the_beginning_back_as_far_as_the_first_candle(service: Service) -> None:
    await follow(service, "SBMX", timeframes=(Timeframe.D1,), days=30)

    since = await service.since((Timeframe.D1,), NOON - timedelta(days=9000))
    [state] = (await create_security(service.storage, service.adapter, "SBMX", since=since)).series

    assert state.followed_from == state.first_candle
    assert state.followed_from is not None
    assert state.followed_from.moscow.date() == date(2018, 9, 17)


@pytest.mark.parametrize(
    ("ticker", "last_day"), [("SIZ3", date(2023, 12, 21)), ("POLY", date(2023, 10, 19))], ids=["expired", "delisted"]
)
async def test_what_does_not_trade_any_more_is_loaded_once_and_not_asked_again(
    service: Service, simulator: Simulator, ticker: str, last_day: date
) -> None:
    card = await follow(service, ticker, days=120, timeframes=(Timeframe.H1, Timeframe.D1))
    await update(service)
    simulator.requests.clear()
    simulator.clock.advance(timedelta(days=3))

    await update(service)

    assert card.last_day == last_day
    for coverage in await get_spans(service.storage, service.clock, card.security):
        assert list(coverage.gaps) == []
    assert asked_for_candles(simulator) == []
    assert len(await stored(service, card.security, Timeframe.D1)) > 5
    assert await verify(service.storage) == []


async def test_a_future_is_asked_until_its_last_day_is_closed(
    open_service: Callable[..., Awaitable[Service]], simulator: Simulator, sqlite_url: str
) -> None:
    service = await open_service(sqlite_url)
    card = await follow(service, "SIH4", days=2, timeframes=(Timeframe.H1,))
    await update(service)
    simulator.clock.advance(timedelta(days=70))
    await update(service)
    simulator.requests.clear()

    await update(service)

    assert asked_for_candles(simulator) == []
    page = await stored(service, card.security, Timeframe.H1)
    assert page[-1].timestamp.moscow.date() == card.expires
