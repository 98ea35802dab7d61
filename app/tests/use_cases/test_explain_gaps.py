"""Each reason for a gap, from what is stored and the calendar."""

from dataclasses import replace
from datetime import date, datetime

import pytest

from app.core.calendar import CalendarDay
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Series, SeriesState, Timeframe
from app.core.spans import Period
from app.core.storage import IStorage
from app.repository.memory import MemoryStorage
from app.tests.builders import SBER, SBER_D1, SBER_M1, a_candle, a_card, a_quarantined_row, minute
from app.tests.looking import get_coverage
from app.use_cases.explain_gaps import Gap, GapReason, coverage_gaps, widened


def at(text: str) -> Timestamp:
    return Timestamp.from_moscow(datetime.fromisoformat(text))


def gap(time_from: str, time_till: str, reason: GapReason, *, is_empty: bool = False) -> Gap:
    return Gap(Period(at(time_from), at(time_till)), reason, is_empty)


STATE = SeriesState(
    SBER_M1, at("2024-01-03 10:00"), watermark=at("2024-01-19 22:00"), as_of=at("2024-01-19 22:16"), version=7
)


@pytest.fixture
async def storage() -> IStorage:
    """A security with minutes covered from Wednesday to half past nine on Friday evening, the watermark at ten."""
    storage = MemoryStorage()
    async with storage.begin() as uow:
        await uow.securities.add([a_card(SBER)])
        await uow.series.add([STATE, SeriesState(SBER_D1)])
        await cover(uow.spans, SBER_M1, "2024-01-17 00:00", "2024-01-19 21:30")
    return storage


async def cover(spans: object, series: Series, time_from: str, time_till: str) -> None:
    await spans.add([CandleSpan(series.security, series.timeframe, at(time_from), at(time_till))])  # type: ignore[attr-defined]


async def explained(storage: IStorage, state: SeriesState, time_from: str, time_till: str) -> list[Gap]:
    async with storage.read() as uow:
        return await coverage_gaps(uow, state, Period(at(time_from), at(time_till)))


async def test_what_is_covered_needs_no_reason(storage: IStorage) -> None:
    assert await explained(storage, STATE, "2024-01-18 00:00", "2024-01-19 21:30") == []


async def test_what_was_answered_without_a_bar_saw_no_trades_yet(storage: IStorage) -> None:
    assert await explained(storage, STATE, "2024-01-19 21:00", "2024-01-19 22:10") == [
        gap("2024-01-19 21:30", "2024-01-19 22:00", GapReason.NO_TRADES),
        gap("2024-01-19 22:00", "2024-01-19 22:10", GapReason.IN_PROGRESS),
    ]


@pytest.mark.parametrize(
    ("covered_till", "reason"),
    [("2024-01-18 16:00", GapReason.NO_TRADES), ("2024-01-18 15:50", GapReason.NOT_LOADED)],
    ids=["left for later", "never asked about"],
)
async def test_silence_too_short_to_be_worth_a_question_of_its_own_is_no_trades(
    storage: IStorage, covered_till: str, reason: GapReason
) -> None:
    state = replace(STATE, series=replace(SBER_M1, timeframe=Timeframe.M10))
    async with storage.begin() as uow:
        await uow.series.add([state])
        await cover(uow.spans, state.series, "2024-01-17 00:00", covered_till)

    assert await explained(storage, state, "2024-01-18 00:00", "2024-01-19 22:00") == [
        gap(covered_till, "2024-01-19 22:00", reason)
    ]


async def test_up_to_the_newest_bar_candles_are_in_progress(storage: IStorage) -> None:
    forming = replace(a_candle(is_final=False), timestamp=at("2024-01-19 21:44"))
    async with storage.begin() as uow:
        await uow.candles.add([forming])

    assert await explained(storage, STATE, "2024-01-19 21:00", "2024-01-19 22:00") == [
        gap("2024-01-19 21:30", "2024-01-19 21:45", GapReason.IN_PROGRESS),
        gap("2024-01-19 21:45", "2024-01-19 22:00", GapReason.NO_TRADES),
    ]


async def test_a_weekend_behind_what_is_covered_is_closed_and_misses_nothing(storage: IStorage) -> None:
    state = replace(STATE, watermark=at("2024-01-20 00:10"))
    async with storage.begin() as uow:
        await uow.series.add([state])
        await cover(uow.spans, SBER_M1, "2024-01-19 21:30", "2024-01-20 00:10")

    assert await explained(storage, state, "2024-01-19 00:00", "2024-01-21 12:00") == [
        gap("2024-01-20 00:10", "2024-01-21 12:00", GapReason.CLOSED, is_empty=True)
    ]
    coverage = await get_coverage(storage, SBER_M1, Period(at("2024-01-19 00:00"), at("2024-01-21 12:00")))
    assert coverage.is_complete
    assert not coverage.is_covered


async def test_an_old_weekend_that_nobody_asked_about_is_closed_but_not_complete(storage: IStorage) -> None:
    assert await explained(storage, STATE, "2024-01-13 00:00", "2024-01-15 00:00") == [
        gap("2024-01-13 00:00", "2024-01-15 00:00", GapReason.CLOSED)
    ]
    coverage = await get_coverage(storage, SBER_M1, Period(at("2024-01-13 00:00"), at("2024-01-15 00:00")))
    assert not coverage.is_complete


async def test_nights_split_a_gap_at_its_ends_only(storage: IStorage) -> None:
    assert await explained(storage, STATE, "2024-01-05 23:55", "2024-01-16 02:00") == [
        gap("2024-01-05 23:55", "2024-01-08 09:20", GapReason.CLOSED),
        gap("2024-01-08 09:20", "2024-01-15 23:50", GapReason.NOT_LOADED),
        gap("2024-01-15 23:50", "2024-01-16 02:00", GapReason.CLOSED),
    ]


async def test_the_exchange_itself_knows_better_when_it_is_closed(storage: IStorage) -> None:
    async with storage.begin() as uow:
        await uow.calendar.add([CalendarDay("stock", date(2024, 1, 13), is_traded=True)])

    assert await explained(storage, STATE, "2024-01-13 00:00", "2024-01-14 00:00") == [
        gap("2024-01-13 00:00", "2024-01-13 09:20", GapReason.CLOSED),
        gap("2024-01-13 09:20", "2024-01-13 23:50", GapReason.NOT_LOADED),
        gap("2024-01-13 23:50", "2024-01-14 00:00", GapReason.CLOSED),
    ]


async def test_before_its_first_candle_and_after_its_last_day_a_security_has_none(storage: IStorage) -> None:
    state = replace(STATE, first_candle=at("2024-01-16 12:00"))
    delisted = replace(a_card(SBER), expires=date(2024, 1, 16))
    async with storage.begin() as uow:
        await uow.securities.add([delisted])

    assert await explained(storage, state, "2024-01-16 11:00", "2024-01-17 00:00") == [
        gap("2024-01-16 11:00", "2024-01-16 12:00", GapReason.BEFORE_LISTING, is_empty=True),
        gap("2024-01-16 12:00", "2024-01-16 23:50", GapReason.NOT_LOADED),
        gap("2024-01-16 23:50", "2024-01-17 00:00", GapReason.CLOSED),
    ]
    assert await explained(storage, state, "2024-01-19 12:00", "2024-01-25 12:00") == [
        gap("2024-01-19 21:30", "2024-01-25 12:00", GapReason.CLOSED, is_empty=True)
    ]


async def test_what_the_exchange_failed_to_answer_is_its_error(storage: IStorage) -> None:
    state = replace(STATE, failed_at=at("2024-01-19 22:30"), failure="HTTP 503")

    assert await explained(storage, state, "2024-01-19 21:00", "2024-01-19 22:40") == [
        gap("2024-01-19 21:30", "2024-01-19 22:30", GapReason.SOURCE_ERROR),
        gap("2024-01-19 22:30", "2024-01-19 22:40", GapReason.IN_PROGRESS),
    ]


async def test_the_slot_of_a_refused_row_is_an_error_of_the_source() -> None:
    storage = MemoryStorage()
    state = SeriesState(SBER_M1, minute(0), watermark=minute(10), as_of=minute(20))
    async with storage.begin() as uow:
        await uow.securities.add([a_card(SBER)])
        await uow.series.add([state])
        await uow.spans.add(
            CandleSpan(SBER, Timeframe.M1, minute(begin), minute(end)) for begin, end in ((0, 3), (4, 10))
        )
        await uow.quarantine.add([a_quarantined_row(3)])

    async with storage.read() as uow:
        found = await coverage_gaps(uow, state, Period(minute(0), minute(10)))

    assert found == [Gap(Period(minute(3), minute(4)), GapReason.SOURCE_ERROR)]


def test_a_longer_bar_in_which_something_is_missing_is_not_empty() -> None:
    running = gap("2024-01-19 20:54", "2024-01-19 23:50", GapReason.IN_PROGRESS)
    closed = gap("2024-01-19 23:50", "2024-01-20 06:00", GapReason.CLOSED, is_empty=True)

    assert widened([running, closed], Timeframe.H4) == [
        gap("2024-01-19 20:00", "2024-01-20 00:00", GapReason.IN_PROGRESS),
        gap("2024-01-20 00:00", "2024-01-20 08:00", GapReason.CLOSED, is_empty=True),
    ]
    assert widened(
        [running, gap("2024-01-19 23:50", "2024-01-20 00:00", GapReason.CLOSED, is_empty=True)], Timeframe.H4
    ) == [gap("2024-01-19 20:00", "2024-01-20 00:00", GapReason.IN_PROGRESS)]


async def test_closed_days_of_a_daily_series_are_whole_days(storage: IStorage) -> None:
    state = SeriesState(SBER_D1, at("2024-01-01 00:00"), watermark=at("2024-01-20 00:00"), as_of=at("2024-01-20 00:20"))
    async with storage.begin() as uow:
        await uow.series.add([state])
        await cover(uow.spans, SBER_D1, "2024-01-01 00:00", "2024-01-20 00:00")

    assert await explained(storage, state, "2024-01-15 00:00", "2024-01-23 00:00") == [
        gap("2024-01-20 00:00", "2024-01-22 00:00", GapReason.CLOSED, is_empty=True),
        gap("2024-01-22 00:00", "2024-01-23 00:00", GapReason.IN_PROGRESS),
    ]
