"""What a split does to every kind of store, and who is shown what until prices are read again."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import pytest

from app.core.corporate_actions import ListedSplit, Split
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Security, Series, SeriesState, Timeframe
from app.core.errors import SourceError, SourceUnavailableError
from app.core.markets import Listed
from app.core.pages import CandlePage, Row
from app.core.spans import Period
from app.core.storage import IStorage
from app.repository.memory import MemoryStorage
from app.tests.builders import GAZP, GAZP_M1, SBER, SBER_M1, a_card, follow
from app.tests.io.rest_client import FakeAdapter, FakeClock, FakeDirectory
from app.use_cases.create_security import create_security
from app.use_cases.explain_gaps import GapReason
from app.use_cases.get_candles import CandleAnswer, get_candles
from app.use_cases.get_spans import get_spans
from app.use_cases.record_splits import apply_split, record_splits
from app.use_cases.remove_security import remove_security
from app.use_cases.verify import verify

DAY = date(2024, 1, 17)
MIDNIGHT = Timestamp.midnight(DAY)
HOUR = timedelta(hours=1)
NOW = MIDNIGHT + 12 * HOUR
TEN = ListedSplit("SBER", DAY, 10.0)
H1, W1 = Series(SBER, Timeframe.H1), Series(SBER, Timeframe.W1)
MONDAY, NEXT_MONDAY = Timestamp.midnight(date(2024, 1, 15)), Timestamp.midnight(date(2024, 1, 22))
WINDOW = Period(MIDNIGHT - 30 * HOUR, MIDNIGHT + 30 * HOUR)


@dataclass
class Splits(FakeDirectory):
    """Lists these splits, or fails; counts how often it was asked."""

    rows: list[ListedSplit] = field(default_factory=lambda: [TEN])
    error: SourceError | None = None
    asked: int = 0

    async def splits(self) -> Listed[ListedSplit]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return Listed(self.rows, ["[]: bad"])


def clock(moment: Timestamp = NOW) -> FakeClock:
    return FakeClock(moment)


async def hold(storage: IStorage, series: Series, *begins: Timestamp, forming: int = 0, price: float = 100.0) -> None:
    """Store and cover these bars, of which the last so many form."""
    final = len(begins) - forming
    rows = [a_row(begin, price, is_final=n < final) for n, begin in enumerate(begins)]
    after = series.timeframe.after
    async with storage.begin() as uow:
        await uow.securities.add([a_card(series.security)])
        end = after(begins[final - 1])
        state = SeriesState(series, begins[0], end, NOW - HOUR, version=5, history_version=3)
        await uow.series.add([state])
        await uow.candles.add(CandlePage.from_rows(series, rows))
        await uow.spans.add(CandleSpan(*_names(series), begin, after(begin)) for begin in begins[:final])


def a_row(begin: Timestamp, price: float, *, is_final: bool) -> Row:
    return (begin.unix, price, price, price, price, 1.0, 1.0, int(is_final))


def _names(series: Series) -> tuple[Security, Timeframe]:
    return series.security, series.timeframe


def hours(first: int, last: int) -> list[Timestamp]:
    return [MIDNIGHT + n * HOUR for n in range(first, last)]


async def read(
    storage: IStorage, series: Series = H1, *, limit: int | None = None, newest: bool = False
) -> CandleAnswer:
    begin, end = WINDOW.time_from, WINDOW.time_till
    return await get_candles(storage, series, time_from=begin, time_till=end, limit=limit, newest_first=newest)


async def spans(storage: IStorage, series: Series = H1) -> list[Period]:
    async with storage.read() as uow:
        return [Period(span.time_from, span.time_till) async for span in uow.spans.filter_by_series(series)]


async def state(storage: IStorage, series: Series = H1) -> SeriesState:
    async with storage.read() as uow:
        return await uow.series.get(series)


async def test_what_is_before_the_day_is_not_covered_and_not_shown_any_more(storage: IStorage) -> None:
    await hold(storage, H1, *hours(-6, 6))

    recorded = await record_splits(storage, Splits(), clock())

    assert recorded.splits == [Split(SBER, DAY, 10.0, NOW)]
    assert recorded.skipped == ["[]: bad"]
    assert await spans(storage) == [Period(MIDNIGHT, MIDNIGHT + 6 * HOUR)]
    found = await state(storage)
    assert found.version == found.history_version > 5
    assert found.stale_before == MIDNIGHT
    answer = await read(storage)
    assert [candle.timestamp for candle in answer.page] == hours(0, 6)
    reasons = [(gap.period.time_till, gap.reason) for gap in answer.gaps]
    assert (MIDNIGHT, GapReason.IN_PROGRESS) in reasons
    assert answer.version == found.version
    assert await verify(storage) == []


async def test_pages_from_both_ends_leave_the_old_prices_out(storage: IStorage) -> None:
    await hold(storage, H1, *hours(-6, 6))
    await record_splits(storage, Splits(), clock())
    async with storage.begin() as uow:  # as a reload that came half way
        await uow.spans.add([CandleSpan(*_names(H1), MIDNIGHT - 5 * HOUR, MIDNIGHT - 3 * HOUR)])

    oldest, newest = await read(storage, limit=3), await read(storage, limit=7, newest=True)

    assert [candle.timestamp for candle in oldest.page] == [*hours(-5, -3), MIDNIGHT]
    assert [candle.timestamp for candle in newest.page] == [MIDNIGHT - 4 * HOUR, *hours(0, 6)]
    assert (oldest.has_more, newest.has_more) == (True, True)


async def test_bars_made_of_minutes_are_made_of_new_prices_only(storage: IStorage) -> None:
    minutes = [MIDNIGHT + timedelta(minutes=n) for n in range(-7, 7)]
    await hold(storage, SBER_M1, *minutes)
    await record_splits(storage, Splits(), clock())
    async with storage.begin() as uow:
        await uow.spans.add([CandleSpan(*_names(SBER_M1), minutes[0], minutes[3])])

    answer = await read(storage, Series(SBER, Timeframe.M5))

    assert [(bar.timestamp, bar.volume, bar.is_final) for bar in answer.page] == [
        (MIDNIGHT - timedelta(minutes=10), 2.0, False),
        (MIDNIGHT - timedelta(minutes=5), 1.0, False),
        (MIDNIGHT, 5.0, True),
        (MIDNIGHT + timedelta(minutes=5), 2.0, False),
    ]


async def test_a_bar_that_holds_the_midnight_is_read_again_and_forms_on(storage: IStorage) -> None:
    await hold(storage, W1, MONDAY - timedelta(days=7), MONDAY, forming=1)
    await record_splits(storage, Splits(), clock())

    assert await spans(storage, W1) == []
    assert (await state(storage, W1)).stale_before == NEXT_MONDAY
    async with storage.begin() as uow:
        assert [candle.timestamp async for candle in uow.candles] == [MONDAY - timedelta(days=7)]
        await uow.candles.add(CandlePage.from_rows(W1, [a_row(MONDAY, 10.0, is_final=False)]))
    answer = await get_candles(storage, W1, time_from=MONDAY - timedelta(days=7), time_till=NEXT_MONDAY)
    assert [(candle.timestamp, candle.close) for candle in answer.page] == [(MONDAY, 10.0)]


async def test_a_split_is_recorded_once(storage: IStorage) -> None:
    await hold(storage, H1, *hours(-6, 6))
    directory = Splits()
    await record_splits(storage, directory, clock())
    before = await state(storage)

    again = await record_splits(storage, directory, clock(NOW + 2 * HOUR))

    assert (again.splits, directory.asked) == ([], 2)
    assert await state(storage) == before


async def test_of_two_that_look_at_once_one_records(storage: IStorage) -> None:
    await hold(storage, H1, *hours(-6, 6))

    both = await asyncio.gather(*(record_splits(storage, Splits(), clock()) for _ in range(2)))

    assert sorted(len(recorded.splits) for recorded in both) == [0, 1]


async def test_the_list_is_read_once_an_hour_and_after_a_failure_at_once() -> None:
    storage, directory = MemoryStorage(), Splits(error=SourceUnavailableError("away"))
    with pytest.raises(SourceUnavailableError):
        await record_splits(storage, directory, clock())
    directory.error = None

    for minutes in (0, 30, 59):
        await record_splits(storage, directory, clock(NOW + timedelta(minutes=minutes)))
    assert directory.asked == 2
    await record_splits(storage, directory, clock(NOW + HOUR))

    assert directory.asked == 3


async def test_what_others_have_and_what_is_to_come_changes_nothing(storage: IStorage) -> None:
    await hold(storage, H1, *hours(-6, 6))
    before = await state(storage)
    bond = replace(a_card(GAZP), market="bonds")
    await follow(storage, GAZP_M1)
    async with storage.begin() as uow:
        await uow.securities.add([bond])
    rows = [ListedSplit("FIXSBER", DAY, 10), ListedSplit("GAZP", DAY, 10), replace(TEN, day=DAY + timedelta(days=1))]

    assert (await record_splits(storage, Splits(rows), clock())).splits == []

    assert await state(storage) == before
    assert len((await record_splits(storage, Splits(rows), clock(NOW + 12 * HOUR))).splits) == 1


async def test_a_split_before_everything_stored_is_only_recorded(storage: IStorage) -> None:
    await hold(storage, H1, *hours(0, 6))
    before = await state(storage)

    recorded = await record_splits(storage, Splits(), clock())

    assert len(recorded.splits) == 1
    assert await state(storage) == before


async def test_what_is_followed_newly_knows_the_splits_that_were_listed(storage: IStorage) -> None:
    await record_splits(storage, Splits(), clock())
    await create_security(storage, FakeAdapter(), SBER, since={Timeframe.H1: MIDNIGHT - 6 * HOUR})
    await hold(storage, H1, *hours(-6, 6))
    before = await state(storage)

    recorded = await record_splits(storage, Splits(), clock(NOW + HOUR))

    assert recorded.splits == []
    assert await state(storage) == before


async def test_who_is_followed_again_after_a_split_is_read_again(storage: IStorage) -> None:
    await hold(storage, H1, *hours(-6, 6))
    await remove_security(storage, clock(), SBER)
    await record_splits(storage, Splits(), clock())
    assert len((await read(storage)).page) == 12

    await create_security(storage, FakeAdapter(), SBER, since={Timeframe.H1: MIDNIGHT - 3 * HOUR})

    answer = await read(storage)
    assert [candle.timestamp for candle in answer.page] == hours(0, 6)
    [coverage] = await get_spans(storage, clock(), SBER)
    assert coverage.gaps[0].reason == GapReason.IN_PROGRESS


async def test_who_is_not_followed_any_more_waits_for_nobody(storage: IStorage) -> None:
    await hold(storage, H1, *hours(-6, 6))
    await record_splits(storage, Splits(), clock())
    await remove_security(storage, clock(), SBER)

    gaps = (await read(storage)).gaps

    assert GapReason.NOT_LOADED in {gap.reason for gap in gaps if gap.period.time_till <= MIDNIGHT}
    await remove_security(storage, clock(), SBER, purge=True)
    assert (await state(storage)).stale_before is None


async def test_a_split_found_by_its_prices_is_applied_though_it_is_recorded(storage: IStorage) -> None:
    await hold(storage, H1, *hours(-6, 6))
    await record_splits(storage, Splits(), clock())
    async with storage.begin() as uow:
        await uow.spans.add([CandleSpan(*_names(H1), MIDNIGHT - 6 * HOUR, MIDNIGHT)])
        await apply_split(uow, SBER, DAY, 10.0, NOW + HOUR)

    assert await spans(storage) == [Period(MIDNIGHT, MIDNIGHT + 6 * HOUR)]
