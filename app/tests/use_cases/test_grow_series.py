"""Growth by query: what is followed of it, what the exchange is asked, and where it ends."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import pytest

from app.core.corporate_actions import ListedSplit
from app.core.date_time import Timestamp
from app.core.entities import Security, SecurityCard, Series, SeriesState, Timeframe
from app.core.errors import FollowLimitError, LookupLimitError, SecurityNotFoundError, SeriesNotFoundError
from app.core.spans import Period
from app.core.storage import IStorage, Look
from app.core.updates import UpdatePart
from app.repository.memory import MemoryStorage
from app.tests.builders import GAZP, GAZP_M1, SBER, SBER_D1, SBER_M1, a_card, a_state, follow, minute
from app.tests.io.rest_client import NOW, FakeAdapter
from app.use_cases.grow_series import TRIED_LATELY, grow_series
from app.use_cases.list_unfinished import list_unfinished
from app.use_cases.look_up_series import FoundSeries, look_up_series

FIRST = minute(-24 * 60)
"""Where the candles of the exchange begin."""
HOUR = timedelta(hours=1)
PERIOD = Period(minute(0), NOW)


@dataclass
class Exchange(FakeAdapter):
    """Counts what it is asked for."""

    asked: list[str] = field(default_factory=list)
    timeframes: tuple[Timeframe, ...] = (Timeframe.M1, Timeframe.D1)

    async def card(self, security: Security, /) -> SecurityCard:
        self.asked.append(str(security))
        return await super().card(security)

    async def borders(self, card: SecurityCard, /) -> Mapping[Timeframe, Period]:
        self.asked.append(f"borders of {card.security}")
        await asyncio.sleep(0)
        return {
            timeframe: period
            for timeframe, period in (await super().borders(card)).items()
            if timeframe in self.timeframes
        }


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


async def grow(
    storage: IStorage,
    exchange: Exchange,
    series: Series = SBER_M1,
    period: Period = PERIOD,
    *,
    now: Timestamp = NOW,
    limit: int = 100,
) -> UpdatePart | None:
    async def look_up(series: Series, now: Timestamp) -> FoundSeries:
        return await look_up_series(storage, exchange, series, now)

    return await grow_series(storage, look_up, series, period, now=now, source="fake", limit=limit)


async def state_of(storage: IStorage, series: Series = SBER_M1) -> SeriesState:
    async with storage.read() as uow:
        return await uow.series.get(series)


async def unknown(storage: IStorage) -> list[str]:
    async with storage.read() as uow:
        return [look.name async for look in uow.looks]


async def finish(storage: IStorage, part: UpdatePart | None, done_at: Timestamp) -> None:
    assert part is not None
    async with storage.begin() as uow:
        await uow.update_parts.add([replace(part, done_at=done_at, rows=0)])


async def test_what_somebody_reads_is_followed_in_that_timeframe_since_that_day(
    storage: IStorage, exchange: Exchange
) -> None:
    part = await grow(storage, exchange)

    async with storage.read() as uow:
        states = [state async for state in uow.series]
        assert [each async for each in uow.update_parts] == [part]
        assert part is not None
        assert (await uow.updates.get(part.update_id)).asked_at == NOW
    assert states == [SeriesState(SBER_M1, minute(0), first_candle=FIRST, asked_at=NOW, is_grown=True)]
    assert (part.series, part.period, part.done_at) == (SBER_M1, PERIOD, None)


async def test_nothing_is_followed_before_the_first_candle(storage: IStorage, exchange: Exchange) -> None:
    part = await grow(storage, exchange, period=Period(FIRST - 9 * HOUR, NOW))

    assert (await state_of(storage)).followed_from == FIRST
    assert part is not None
    assert part.period == Period(FIRST, NOW)


async def test_asked_again_the_same_load_is_under_way_and_the_exchange_is_not_asked(
    storage: IStorage, exchange: Exchange
) -> None:
    part = await grow(storage, exchange, period=Period(FIRST - HOUR, NOW))
    asked = list(exchange.asked)

    again = [
        await grow(storage, exchange, period=period, now=NOW + HOUR)
        for period in (PERIOD, Period(minute(5), NOW + HOUR), Period(FIRST - 2 * HOUR, NOW))
    ]

    assert again == [part] * 3
    assert exchange.asked == asked == ["TQBR:SBER", "borders of TQBR:SBER"]


async def test_an_earlier_beginning_is_looked_for_once_and_is_certainly_missing(
    storage: IStorage, exchange: Exchange
) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as uow:
        await uow.series.add([replace(a_state(), checked_at=NOW)])

    part = await grow(storage, exchange, period=Period(minute(-60), minute(0)))

    state = await state_of(storage)
    assert (state.followed_from, state.checked_at, state.is_grown) == (minute(-60), None, False)
    assert exchange.asked == ["borders of TQBR:SBER"]
    assert part is not None
    assert part.period == Period(minute(-60), minute(0))


async def test_a_gap_of_what_is_followed_is_asked_for_without_the_exchange(
    storage: IStorage, exchange: Exchange
) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as uow:
        await uow.series.add([replace(a_state(), checked_at=NOW)])

    part = await grow(storage, exchange)

    assert part is not None
    assert exchange.asked == []
    assert await list_unfinished(storage) == [SBER_M1]


async def test_what_was_loaded_lately_is_not_asked_for_again_until_later(storage: IStorage, exchange: Exchange) -> None:
    first = await grow(storage, exchange)
    await finish(storage, first, NOW)

    lately = await grow(storage, exchange, now=NOW + TRIED_LATELY / 2)
    later = await grow(storage, exchange, now=NOW + TRIED_LATELY)

    assert lately is None
    assert later is not None
    assert later != first


async def test_what_was_removed_meanwhile_is_followed_again(storage: IStorage, exchange: Exchange) -> None:
    await grow(storage, exchange)
    async with storage.begin() as uow:
        await uow.series.add([replace(await uow.series.get(SBER_M1), followed_from=None)])

    part = await grow(storage, exchange)

    assert part is not None
    assert (await state_of(storage)).followed_from == minute(0)


async def test_no_more_grows_than_the_limit(storage: IStorage, exchange: Exchange) -> None:
    await follow(storage, GAZP_M1)
    await grow(storage, exchange, limit=1)
    asked = list(exchange.asked)

    with pytest.raises(FollowLimitError, match="FOLLOW_LIMIT"):
        await grow(storage, exchange, SBER_D1, limit=1)
    earlier_of_followed = await grow(storage, exchange, GAZP_M1, Period(FIRST, NOW), limit=1)
    earlier_of_grown = await grow(storage, exchange, period=Period(FIRST, NOW), limit=1)

    assert earlier_of_followed is None
    assert earlier_of_grown is not None
    assert exchange.asked == asked
    assert (await state_of(storage, GAZP_M1)).followed_from == minute(0)


async def test_the_limit_holds_for_two_that_come_at_once(storage: IStorage, exchange: Exchange) -> None:
    wanted = (SBER_M1, SBER_D1, GAZP_M1)

    ends = await asyncio.gather(
        *(grow(storage, exchange, series, limit=1) for series in wanted), return_exceptions=True
    )

    async with storage.read() as uow:
        assert await uow.series.filter_followed().count() == 1
    assert sorted(type(end).__name__ for end in ends) == ["FollowLimitError", "FollowLimitError", "UpdatePart"]


async def test_a_code_the_exchange_does_not_know_is_looked_up_once_an_hour(
    storage: IStorage, exchange: Exchange
) -> None:
    strange = Series(Security("XXXX", "TQBR"), Timeframe.M1)
    for now in (NOW, NOW + HOUR / 2, NOW + HOUR):
        with pytest.raises(SecurityNotFoundError):
            await grow(storage, exchange, strange, now=now)

    assert exchange.asked == ["TQBR:XXXX"] * 2
    assert await unknown(storage) == ["unknown:TQBR:XXXX"]


async def test_a_timeframe_the_exchange_does_not_have_is_looked_up_once_an_hour(
    storage: IStorage, exchange: Exchange
) -> None:
    for _ in range(2):
        with pytest.raises(SeriesNotFoundError, match="no candles of TQBR:SBER H1"):
            await grow(storage, exchange, Series(SBER, Timeframe.H1))

    assert len(exchange.asked) == 2
    assert await grow(storage, exchange, SBER_M1) is not None


async def test_before_the_first_candle_there_is_nothing_and_that_is_remembered(
    storage: IStorage, exchange: Exchange
) -> None:
    for _ in range(2):
        with pytest.raises(SeriesNotFoundError, match="its candles begin at 2024-01-02T07:00:00Z"):
            await grow(storage, exchange, period=Period(FIRST - HOUR, FIRST))

    assert len(exchange.asked) == 2
    assert (await state_of(storage)).followed_from is None
    assert await grow(storage, exchange) is not None


async def test_an_expired_contract_is_not_followed_behind_its_last_day(storage: IStorage) -> None:
    class Expired(Exchange):
        async def card(self, security: Security, /) -> SecurityCard:
            return replace(await super().card(security), expires=minute(0).moscow.date())

    with pytest.raises(SeriesNotFoundError, match="no candles"):
        await grow(storage, Expired(), period=Period(minute(24 * 60), minute(48 * 60)))

    assert (await state_of(storage)).followed_from is None


async def test_a_flood_of_unknown_codes_neither_asks_the_exchange_nor_fills_the_table(
    storage: IStorage, exchange: Exchange
) -> None:
    async with storage.begin() as uow:
        await uow.looks.add([Look("splits", NOW), *(Look(f"unknown:TQBR:X{n}", NOW) for n in range(100))])

    for ticker in ("NEW1", "NEW2"):
        with pytest.raises(LookupLimitError, match="POST /v1/securities"):
            await grow(storage, exchange, Series(Security(ticker, "TQBR"), Timeframe.M1))
    assert exchange.asked == []

    with pytest.raises(SecurityNotFoundError):
        await grow(storage, exchange, Series(Security("NEW1", "TQBR"), Timeframe.M1), now=NOW + HOUR)
    assert await unknown(storage) == ["splits", "unknown:TQBR:NEW1"]


async def test_splits_that_the_exchange_listed_before_are_taken_notice_of() -> None:
    storage = MemoryStorage()
    async with storage.begin() as uow:
        await uow.listed_splits.add([ListedSplit("SBER", minute(0).moscow.date(), 10)])

    await grow(storage, Exchange())

    async with storage.read() as uow:
        assert [split.security async for split in uow.splits] == [SBER]


async def test_what_was_followed_by_hand_stays_so(storage: IStorage, exchange: Exchange) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as uow:
        await uow.securities.add([a_card(GAZP)])

    await grow(storage, exchange, period=Period(FIRST, NOW))

    assert not (await state_of(storage)).is_grown


async def test_of_what_has_left_the_exchange_the_wish_ends_with_it_and_is_made_once(
    storage: IStorage, exchange: Exchange
) -> None:
    last = date(2023, 6, 1)
    gone = replace(a_card(SBER), is_traded=False, listed_till=last, history_till=last)
    async with storage.begin() as uow:
        await uow.claim_source("fake")
        await uow.securities.add([gone])
        await uow.series.add([SeriesState(SBER_M1, first_candle=FIRST - 400 * 24 * HOUR)])
    period = Period(FIRST - 300 * 24 * HOUR, NOW)

    parts = [await grow(storage, exchange, period=period, now=NOW + n * HOUR) for n in range(3)]

    assert parts[0] is not None
    assert parts[0].period.time_till < NOW
    assert parts == [parts[0]] * 3
