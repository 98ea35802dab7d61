"""May 2024: working days trade from 09:50 to 18:50 and from 19:00 to 23:50; bars are final 16 minutes late."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.batches import Rules
from app.core.calendar import CalendarDay, DayReason, TradingCalendar
from app.core.date_time import Timestamp
from app.core.entities import SOURCED, SecurityCard, Series, SeriesState, Timeframe
from app.core.freshness import LOOKS_BACK, Freshness, Judge, OpenTime, Outlook, Verdict, due_tick, worst_first
from app.core.market_data import SourceStatus
from app.core.schedule import Schedule
from app.tests.builders import GAZP, SBER, a_card

RULES = Rules(timedelta(minutes=15), timedelta(seconds=60))
TICK = timedelta(seconds=10)
MINUTE = timedelta(minutes=1)
A_DAY_OF_TRADING = timedelta(minutes=540 + 290)


def moscow(text: str) -> Timestamp:
    return Timestamp.from_moscow(datetime.fromisoformat(text))


NOON = moscow("2024-05-15T12:00")
BEGIN = moscow("2024-05-02")


def judged(
    now: Timestamp,
    *,
    timeframe: Timeframe = Timeframe.M1,
    checked_at: Timestamp | None = None,
    covered_till: Timestamp | None = None,
    source: SourceStatus | None = None,
    card: SecurityCard | None = None,
    days: tuple[CalendarDay, ...] = (),
    tick: timedelta = TICK,
    **state: Any,  # noqa: ANN401  # fields of a state
) -> Freshness:
    followed = replace(SeriesState(Series(SBER, timeframe), BEGIN, as_of=checked_at, checked_at=checked_at), **state)
    first = min(moment for moment in (checked_at, covered_till, followed.followed_from) if moment)
    open_time = OpenTime.of(TradingCalendar.of("stock", days), first.moscow.date(), now.moscow.date())
    judge = Judge(RULES, now, tick, source or SourceStatus())
    return judge.judge(followed, card or a_card(), open_time, covered_till)


def test_a_series_that_was_asked_about_just_now_owes_nothing() -> None:
    found = judged(NOON, checked_at=NOON)

    assert (found.verdict, found.lag, found.owed_since) == (Verdict.FRESH, timedelta(), None)
    assert found.current_till == NOON - 16 * MINUTE


@pytest.mark.parametrize(("minutes", "lag", "owed_since"), [(0.9, 0, None), (1, 1, 1), (3, 3, 1), (60, 60, 1)])
def test_what_became_final_since_is_owed_from_that_moment(minutes: float, lag: int, owed_since: int | None) -> None:
    found = judged(NOON + minutes * MINUTE, checked_at=NOON)

    assert found.lag == lag * MINUTE
    assert found.owed_since == (None if owed_since is None else NOON + owed_since * MINUTE)


def test_after_two_of_its_ticks_it_is_behind() -> None:
    owed_since = NOON + MINUTE

    assert judged(owed_since + 2 * MINUTE, checked_at=NOON).verdict is Verdict.FRESH
    assert judged(owed_since + 2 * MINUTE + timedelta(seconds=1), checked_at=NOON).verdict is Verdict.BEHIND


def test_who_looks_seldom_is_not_behind_for_it() -> None:
    late = NOON + 15 * MINUTE

    assert judged(late, checked_at=NOON, tick=timedelta(minutes=10)).verdict is Verdict.FRESH
    assert judged(late, checked_at=NOON, tick=timedelta(minutes=5)).verdict is Verdict.BEHIND


@pytest.mark.parametrize(
    ("timeframe", "expected"),
    [(Timeframe.M1, MINUTE), (Timeframe.M10, 10 * MINUTE), *((each, 60 * MINUTE) for each in SOURCED[2:])],
)
def test_a_series_is_due_with_each_bar_but_at_least_once_an_hour(timeframe: Timeframe, expected: timedelta) -> None:
    assert due_tick(timeframe, TICK) == expected


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M10, Timeframe.H1, Timeframe.D1])
@pytest.mark.parametrize("now", ["2024-05-18T01:00", "2024-05-18T15:00", "2024-05-19T23:59", "2024-05-20T10:06:59"])
def test_through_a_night_and_a_weekend_it_stays_fresh(timeframe: Timeframe, now: str) -> None:
    found = judged(moscow(now), timeframe=timeframe, checked_at=moscow("2024-05-18T00:16"))

    assert (found.verdict, found.lag) == (Verdict.FRESH, timedelta())


def test_the_first_minute_after_a_weekend_is_owed_when_it_is_final() -> None:
    found = judged(moscow("2024-05-20T10:07"), checked_at=moscow("2024-05-18T00:16"))

    assert (found.lag, found.owed_since) == (MINUTE, moscow("2024-05-20T10:07"))


def test_the_end_of_a_session_stays_owed_while_the_exchange_is_closed() -> None:
    found = judged(moscow("2024-05-19T12:00"), checked_at=moscow("2024-05-17T23:46"))

    assert (found.verdict, found.lag) == (Verdict.BEHIND, 20 * MINUTE)


def test_the_break_between_two_sessions_is_not_owed() -> None:
    found = judged(moscow("2024-05-15T19:21"), checked_at=moscow("2024-05-15T19:01"))

    assert found.lag == 10 * MINUTE


@pytest.mark.parametrize(
    ("timeframe", "final_at", "days"),
    [
        (Timeframe.D1, "2024-05-16T00:16", 1),
        (Timeframe.W1, "2024-05-20T00:16", 5),
        (Timeframe.MN1, "2024-06-01T00:16", 20),
        (Timeframe.Q1, "2024-07-01T00:16", 41),
    ],
)
def test_a_long_bar_is_owed_when_it_has_ended_and_behind_two_hours_later(
    timeframe: Timeframe, final_at: str, days: int
) -> None:
    due = moscow(final_at)
    begin = timeframe.floor(NOON)

    def at(moment: Timestamp) -> Freshness:
        return judged(moment, timeframe=timeframe, checked_at=NOON, followed_from=begin)

    assert at(due - MINUTE).lag == timedelta()
    assert (at(due).owed_since, at(due).verdict) == (due, Verdict.FRESH)
    assert at(due).lag // A_DAY_OF_TRADING == _trading_days(begin, due) >= days
    assert at(due + 121 * MINUTE).verdict is Verdict.BEHIND


def _trading_days(begin: Timestamp, end: Timestamp) -> int:
    calendar = TradingCalendar("stock")
    first = begin.moscow.date()
    days = (first + timedelta(days=number) for number in range((end.moscow.date() - first).days))
    return sum(calendar.on(day).is_traded is True for day in days)


def test_silence_that_was_asked_about_is_not_owed() -> None:
    assert judged(NOON, checked_at=NOON, covered_till=moscow("2024-05-14T11:00")).verdict is Verdict.FRESH


def test_what_is_covered_is_not_owed_though_no_load_was_whole() -> None:
    found = judged(NOON, covered_till=NOON - 17 * MINUTE)

    assert (found.current_till, found.lag, found.verdict) == (NOON - 17 * MINUTE, MINUTE, Verdict.FRESH)


@pytest.mark.parametrize(
    ("source", "verdict"),
    [
        (SourceStatus("ok"), Verdict.BEHIND),
        (SourceStatus("paused"), Verdict.PAUSED),
        (SourceStatus("open"), Verdict.SOURCE_DOWN),
        (SourceStatus("half_open"), Verdict.SOURCE_DOWN),
    ],
)
def test_the_exchange_is_blamed_when_it_is_to_blame(source: SourceStatus, verdict: Verdict) -> None:
    assert judged(NOON + 5 * MINUTE, checked_at=NOON, source=source).verdict is verdict
    assert judged(NOON, checked_at=NOON, source=source).verdict is Verdict.FRESH


def test_a_weekend_that_nobody_told_of_is_closed_and_a_session_that_was_told_is_owed() -> None:
    checked, now = moscow("2026-05-16T00:16"), moscow("2026-05-16T12:00")
    told = CalendarDay("stock", date(2026, 5, 16), is_traded=True, reason=DayReason.WEEKEND)
    since = moscow("2026-05-14")

    assert judged(now, checked_at=checked, followed_from=since).lag == timedelta()
    assert judged(now, checked_at=checked, followed_from=since, days=(told,)).lag == timedelta(minutes=114)


def test_what_is_not_traded_any_more_owes_nothing_behind_its_last_day() -> None:
    expired = replace(a_card(), expires=date(2024, 5, 14))

    found = judged(NOON, checked_at=moscow("2024-05-14T23:56"), card=expired)

    assert (found.lag, found.verdict) == (10 * MINUTE, Verdict.BEHIND)
    assert judged(NOON, checked_at=moscow("2024-05-15T00:06"), card=expired).verdict is Verdict.FRESH


def test_nothing_is_owed_of_before_the_first_candle_or_of_before_it_is_followed() -> None:
    at = moscow("2024-05-15T11:30")

    assert judged(NOON, first_candle=at).lag == 14 * MINUTE
    assert judged(NOON, followed_from=at).lag == 14 * MINUTE
    assert judged(NOON, followed_from=at, covered_till=moscow("2024-05-13")).lag == 14 * MINUTE


def test_a_version_tells_when_a_series_changed_last() -> None:
    given, milliseconds = NOON - 5 * MINUTE, (NOON - 5 * MINUTE).microseconds // 1000

    assert judged(NOON, version=milliseconds, as_of=NOON).changed_at == given
    assert judged(NOON, version=milliseconds + 3, as_of=given).changed_at == given
    assert judged(NOON, version=7, as_of=NOON).changed_at is None


def test_the_worst_come_first_and_give_the_verdict_of_all() -> None:
    series = [Series(security, Timeframe.M1) for security in (GAZP, SBER)]
    found = [
        Freshness(SeriesState(series[0]), None, None, timedelta(hours=2), NOON, Verdict.FRESH),
        Freshness(SeriesState(series[0]), None, None, timedelta(hours=1), NOON, Verdict.BEHIND),
        Freshness(SeriesState(series[1]), None, None, timedelta(hours=3), NOON, Verdict.BEHIND),
    ]

    outlook = Outlook(NOON, SourceStatus(), worst_first(found))

    assert list(outlook.series) == [found[2], found[1], found[0]]
    assert outlook.verdict is Verdict.BEHIND
    assert outlook.counts == {"fresh": 1, "paused": 0, "source_down": 0, "behind": 2}
    assert Outlook(NOON, SourceStatus(), []).verdict is Verdict.FRESH


def test_a_series_that_fails_says_when_it_is_tried_again() -> None:
    found = judged(NOON, checked_at=BEGIN, failed_at=NOON, failures=2)

    assert found.retry_at == NOON + 2 * MINUTE
    assert judged(NOON, checked_at=NOON).retry_at is None


_MINUTES = st.integers(min_value=-600, max_value=9 * 1440)


@given(ends=st.tuples(_MINUTES, _MINUTES).map(sorted))
def test_open_time_is_the_open_minutes(ends: list[int]) -> None:
    first = date(2024, 5, 8)
    calendar = TradingCalendar("stock")
    open_time = OpenTime.of(calendar, first, first + timedelta(days=8))
    begin = Timestamp.midnight(first)
    inside = [begin + number * MINUTE for number in range(*ends)]
    is_open = [
        any(moment in session.period for session in calendar.on(moment.moscow.date()).sessions)
        and first <= moment.moscow.date() <= first + timedelta(days=8)
        for moment in inside
    ]

    assert open_time.between(begin + ends[0] * MINUTE, begin + ends[1] * MINUTE) == sum(is_open) * MINUTE
    opening = next((moment for moment, is_ in zip(inside, is_open, strict=True) if is_), None)
    if opening is not None:
        assert open_time.next(begin + ends[0] * MINUTE) == opening


def test_of_days_before_those_that_are_known_nothing_is_owed() -> None:
    open_time = OpenTime.of(TradingCalendar("stock"), date(2024, 5, 15), date(2024, 5, 15))

    assert open_time.between(NOON - LOOKS_BACK, NOON) == timedelta(minutes=130)
    assert open_time.next(moscow("2024-05-15T23:50")) is None
    assert open_time.next(NOON - LOOKS_BACK) == moscow("2024-05-15T09:50")


@given(
    timeframe=st.sampled_from(SOURCED),
    checked=st.integers(min_value=0, max_value=60 * 1440),
    later=st.integers(min_value=0, max_value=20 * 1440),
)
def test_whatever_is_owed_is_due(timeframe: Timeframe, checked: int, later: int) -> None:
    checked_at = BEGIN + checked * MINUTE
    now = checked_at + later * MINUTE
    found = judged(now, timeframe=timeframe, checked_at=checked_at, reread_at=now)

    due = Schedule(RULES, now, {}).due(found.state, a_card(), TradingCalendar("stock"))

    if found.owed_since is not None:
        assert due is not None
        assert due.since <= found.owed_since <= now


def test_a_series_of_which_the_exchange_has_nothing_owes_nothing_for_an_hour() -> None:
    silent = judged(NOON, checked_at=NOON - 59 * MINUTE, as_of=None)
    left = judged(NOON, checked_at=NOON - 60 * MINUTE, as_of=None)

    assert (silent.verdict, left.verdict) == (Verdict.FRESH, Verdict.BEHIND)
