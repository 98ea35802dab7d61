"""When series are due: bars, nights, failures; and what of it comes first."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from app.core.batches import Rules
from app.core.calendar import CalendarDay, DayReason, TradingCalendar
from app.core.date_time import Timestamp
from app.core.entities import Series, SeriesState, Timeframe
from app.core.schedule import Due, Schedule, chosen, last_night, retried_at
from app.tests.builders import GAZP, SBER, a_card

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
RULES = Rules(timedelta(minutes=15))
CARD = a_card(SBER)
CALENDAR = TradingCalendar(
    "stock",
    {date(2026, 1, 17): CalendarDay("stock", date(2026, 1, 17), is_traded=False, reason=DayReason.WEEKEND),
     date(2026, 1, 18): CalendarDay("stock", date(2026, 1, 18), is_traded=False, reason=DayReason.WEEKEND)},
)  # fmt: skip


def at(wall: str) -> Timestamp:
    return Timestamp.from_moscow(datetime.fromisoformat(wall))


def checked(timeframe: Timeframe, wall: str) -> SeriesState:
    """A followed series of which everything was loaded then, and whose last days were compared that night."""
    moment = at(wall)
    followed_from = Timestamp.midnight(date(2026, 1, 1))
    return SeriesState(
        Series(SBER, timeframe),
        followed_from,
        as_of=moment,
        checked_at=moment,
        reread_at=max(last_night(moment), moment - HOUR),
    )


def due(state: SeriesState, wall: str) -> Due | None:
    return due_at(state, at(wall))


def due_at(state: SeriesState, now: Timestamp) -> Due | None:
    return Schedule(RULES, now, {}).due(state, CARD, CALENDAR)


def first_due(state: SeriesState, since: str, hours: int) -> Timestamp | None:
    """Walk on minute by minute to the first at which it is due."""
    begin = at(since)
    moments = (begin + n * MINUTE for n in range(hours * 60))
    return next((now for now in moments if due_at(state, now)), None)


@pytest.mark.parametrize(
    ("timeframe", "checked_at", "expected"),
    [
        (Timeframe.M1, "2026-01-14 12:00", "2026-01-14 12:01"),
        (Timeframe.M10, "2026-01-14 12:00", "2026-01-14 12:06"),
        (Timeframe.H1, "2026-01-14 12:20", "2026-01-14 13:16"),
        (Timeframe.D1, "2026-01-14 12:00", "2026-01-15 00:16"),
        (Timeframe.W1, "2026-01-14 12:00", "2026-01-19 00:16"),
        (Timeframe.MN1, "2026-01-14 12:00", "2026-02-01 00:16"),
        (Timeframe.Q1, "2026-01-14 12:00", "2026-04-01 00:16"),
        (Timeframe.M1, "2026-01-14 23:50", "2026-01-14 23:51"),
        (Timeframe.M1, "2026-01-15 00:05", "2026-01-15 00:06"),  # the last minute before 23:50 is final then
        (Timeframe.M1, "2026-01-15 00:06", "2026-01-15 06:36"),
        (Timeframe.D1, "2026-01-15 00:16", "2026-01-15 07:21"),  # the next day shows that it was whole
        (Timeframe.D1, "2026-01-17 00:16", "2026-01-19 07:21"),
        (Timeframe.M1, "2026-01-17 00:06", "2026-01-19 06:36"),
    ],
)
def test_a_series_is_due_when_the_next_bar_has_become_final(
    timeframe: Timeframe, checked_at: str, expected: str
) -> None:
    state = replace(checked(timeframe, checked_at), reread_at=at("2030-01-01 00:00"))

    assert due(state, expected)
    before = at(expected) - MINUTE
    hours = (before - at(checked_at)) // HOUR
    assert [due_at(state, before - n * HOUR) for n in range(hours + 1)] == [None] * (hours + 1)


def test_after_days_away_there_is_one_update_to_do_since_the_first_bar_that_was_missed() -> None:
    state = replace(checked(Timeframe.M1, "2026-01-12 12:00"), reread_at=at("2030-01-01 00:00"))

    assert due(state, "2026-01-14 15:00") == Due(state.series, at("2026-01-12 12:01"))
    assert due(replace(state, checked_at=at("2026-01-14 15:00")), "2026-01-14 15:00") is None


def test_over_a_weekend_nothing_is_due_but_the_night() -> None:
    state = checked(Timeframe.M1, "2026-01-17 00:06")

    nights = []
    for minute in range(48 * 60):
        now = at("2026-01-17 00:07") + minute * MINUTE
        if Schedule(RULES, now, {}).due(state, CARD, CALENDAR):
            nights.append(now)
            state = replace(state, checked_at=now, reread_at=now)

    assert nights == [at("2026-01-17 04:00"), at("2026-01-18 04:00")]


def test_what_is_missing_for_certain_is_due_at_once_and_told_by_its_size() -> None:
    state = replace(checked(Timeframe.M1, "2026-01-14 12:00"), checked_at=None)

    found = due(state, "2026-01-14 12:00")

    assert found is not None
    assert found.is_missing
    assert 10 < found.requests < 30  # some thousand minutes


@pytest.mark.parametrize(("failures", "pause"), [(1, MINUTE), (2, 2 * MINUTE), (6, 32 * MINUTE), (50, HOUR)])
def test_what_fails_is_left_alone_longer_and_longer(failures: int, pause: timedelta) -> None:
    failed_at = at("2026-01-14 12:00")
    state = replace(checked(Timeframe.M1, "2026-01-14 11:00"), failed_at=failed_at, failures=failures)

    assert retried_at(state) == failed_at + pause
    assert first_due(state, "2026-01-14 12:00", 2) == failed_at + pause
    assert first_due(replace(state, checked_at=None), "2026-01-14 12:00", 2) == failed_at + pause


def test_a_slot_in_quarantine_is_asked_about_when_its_time_has_come_even_at_night() -> None:
    state, hole = checked(Timeframe.M1, "2026-01-15 01:00"), at("2026-01-15 02:00")
    schedule = Schedule(RULES, at("2026-01-15 02:00"), {state.series: [hole]})

    assert schedule.due(state, CARD, CALENDAR) == Due(state.series, hole)
    assert Schedule(RULES, at("2026-01-15 01:59"), {state.series: [hole]}).due(state, CARD, CALENDAR) is None
    assert schedule.due(replace(state, checked_at=hole), CARD, CALENDAR) is None


def test_of_many_slots_in_quarantine_the_next_one_counts() -> None:
    state = checked(Timeframe.M1, "2026-01-15 01:00")
    holes = [at("2026-01-15 00:30"), at("2026-01-15 03:00"), at("2026-01-15 02:00")]

    assert due_at(state, at("2026-01-15 02:30")) is None
    schedule = Schedule(RULES, at("2026-01-15 02:30"), {state.series: holes})
    assert schedule.due(state, CARD, CALENDAR) == Due(state.series, at("2026-01-15 02:00"))


def test_a_night_that_compares_nothing_is_tried_once_an_hour() -> None:
    state = replace(checked(Timeframe.D1, "2026-01-15 04:00"), reread_at=at("2026-01-14 04:00"))

    assert first_due(state, "2026-01-15 04:00", 3) == at("2026-01-15 05:00")


def test_a_series_without_anything_is_looked_at_once_an_hour() -> None:
    state = replace(checked(Timeframe.M1, "2026-01-14 12:00"), as_of=None)

    assert first_due(state, "2026-01-14 12:00", 2) == at("2026-01-14 13:00")


def test_a_long_bar_that_forms_is_read_again_only_for_who_looks_at_it() -> None:
    state = checked(Timeframe.D1, "2026-01-14 12:00")
    asked = replace(state, asked_at=at("2026-01-14 11:00"))

    assert first_due(asked, "2026-01-14 12:00", 2) == at("2026-01-14 12:10")
    assert first_due(state, "2026-01-14 12:00", 2) is None
    assert (
        due(replace(asked, checked_at=at("2026-01-17 12:00"), reread_at=at("2026-01-17 12:00")), "2026-01-17 13:00")
        is None
    )


def test_nothing_is_expected_after_the_last_day_of_a_security() -> None:
    card = replace(CARD, is_traded=False, listed_till=date(2026, 1, 5), history_till=date(2026, 1, 5))
    state = replace(checked(Timeframe.M1, "2026-01-20 12:00"), reread_at=at("2030-01-01 00:00"))

    assert Schedule(RULES, at("2026-01-21 12:00"), {}).due(state, card, CALENDAR) is None


def test_the_wanted_and_the_stalest_come_first_then_small_ones_that_were_never_loaded() -> None:
    noon = at("2026-01-14 12:00")
    series = [Series(security, timeframe) for security in (SBER, GAZP) for timeframe in Timeframe]
    stale, fresh, wanted = Due(series[0], noon - HOUR), Due(series[1], noon), Due(series[2], noon, is_wanted=True)
    big, small = (Due(series[n], noon, requests, is_missing=True) for n, requests in ((3, 500), (4, 5)))

    assert chosen([big, fresh, small, stale, wanted], 100) == [wanted, stale, fresh, small]
    assert chosen([big, fresh, small, stale, wanted], 2) == [wanted, stale, small]
    assert chosen([big], 1) == [big]
    assert chosen([], 1) == []
