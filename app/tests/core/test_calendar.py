from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.core.calendar import CalendarDay, DayReason, TradingCalendar
from app.core.date_time import Timestamp
from app.core.session_history import usually_traded
from app.simulator import sessions as simulated
from app.simulator.listings import LISTINGS, Market

STOCK, FUTURES, CURRENCY = (TradingCalendar(engine) for engine in ("stock", "futures", "currency"))
DAY = timedelta(days=1)
MORNING, MAIN, EVENING = "morning 06:50-09:50", "main 09:50-18:50", "evening 19:00-23:50"
WEEKEND = "weekend 09:50-19:00"
LATE = "evening 19:00-23:50"


def at(text: str) -> Timestamp:
    return Timestamp.from_moscow(datetime.fromisoformat(text))


def day(text: str) -> date:
    return date.fromisoformat(text)


def sessions(calendar: TradingCalendar, text: str) -> list[str]:
    found = calendar.on(day(text)).sessions
    return [f"{s.kind} {s.period.time_from.moscow:%H:%M}-{s.period.time_till.moscow:%H:%M}" for s in found]


def told(text: str, *, is_traded: bool, engine: str = "stock", **more: object) -> CalendarDay:
    return CalendarDay(engine, day(text), is_traded, **more)  # type: ignore[arg-type]  # as given


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2015-05-29", ["main 10:00-18:45"]),
        ("2015-06-01", [MAIN]),
        ("2020-06-19", [MAIN]),
        ("2020-06-22", [MAIN, EVENING]),
        ("2021-12-03", [MAIN, EVENING]),
        ("2021-12-06", [MORNING, MAIN, EVENING]),
        ("2022-02-25", [MORNING, MAIN, EVENING]),
        ("2022-02-28", []),
        ("2022-03-18", []),
        ("2022-03-24", ["main 09:50-14:00"]),
        ("2022-03-30", ["main 09:50-14:00"]),
        ("2022-03-31", [MAIN]),
        ("2022-09-09", [MAIN]),
        ("2022-09-12", [MAIN, EVENING]),
        ("2025-01-24", [MAIN, EVENING]),
        ("2025-01-27", [MORNING, MAIN, EVENING]),
        ("2025-02-22", []),
        ("2025-03-01", [WEEKEND]),
        ("2025-06-12", [WEEKEND]),
    ],
)
def test_the_sessions_of_shares_on_both_sides_of_each_border(text: str, expected: Sequence[str]) -> None:
    assert sessions(STOCK, text) == expected


@pytest.mark.parametrize(
    ("calendar", "text", "expected"),
    [
        (FUTURES, "2021-02-26", ["main 10:00-18:45", LATE]),
        (FUTURES, "2021-03-01", ["main 06:50-18:45", LATE]),
        (FUTURES, "2022-03-01", ["main 06:50-18:45", LATE]),
        (FUTURES, "2026-03-20", ["main 06:50-18:45", LATE]),
        (FUTURES, "2026-03-23", ["main 08:50-18:45", LATE]),
        (FUTURES, "2026-07-13", ["main 08:50-18:45", LATE]),
        (FUTURES, "2026-07-14", ["main 06:50-18:45", LATE]),
        (CURRENCY, "2021-02-26", ["main 10:00-23:50"]),
        (CURRENCY, "2021-03-01", ["main 06:50-23:50"]),
    ],
)
def test_the_sessions_of_futures_and_pairs(calendar: TradingCalendar, text: str, expected: Sequence[str]) -> None:
    assert sessions(calendar, text) == expected


@pytest.mark.parametrize(
    ("text", "is_traded", "reason"),
    [
        ("2024-05-08", True, DayReason.ORDINARY),
        ("2024-05-09", False, DayReason.HOLIDAY),
        ("2024-12-31", False, DayReason.HOLIDAY),
        ("2024-05-11", False, DayReason.WEEKEND),
        ("2018-04-28", True, DayReason.TRANSFERRED),
        ("2018-12-29", True, DayReason.TRANSFERRED),
        ("2024-04-27", True, DayReason.TRANSFERRED),
        ("2024-11-02", True, DayReason.TRANSFERRED),
        ("2024-12-28", True, DayReason.TRANSFERRED),
        ("2025-11-01", True, DayReason.TRANSFERRED),
        ("2016-02-20", None, DayReason.WEEKEND),
        ("2011-12-31", None, DayReason.WEEKEND),
        ("2022-03-18", False, DayReason.HOLIDAY),
        ("2022-03-21", None, DayReason.ORDINARY),
        ("2025-02-22", False, DayReason.WEEKEND),
        ("2025-03-01", None, DayReason.WEEKEND),
        ("2026-06-12", None, DayReason.HOLIDAY),
    ],
)
def test_whether_a_day_is_traded_and_why(text: str, is_traded: bool | None, reason: DayReason) -> None:  # noqa: FBT001  # a column
    found = STOCK.on(day(text))

    assert (found.is_traded, found.reason) == (is_traded, reason)


def test_pairs_may_have_been_traded_on_the_last_day_of_a_year() -> None:
    assert CURRENCY.on(day("2015-12-31")).is_traded is None
    assert STOCK.on(day("2015-12-31")).is_traded is False


@pytest.mark.parametrize(
    ("text", "trade_date"),
    [
        ("2026-01-16", "2026-01-16"),
        ("2026-01-17", "2026-01-19"),
        ("2026-01-18", "2026-01-19"),
        ("2025-11-01", "2025-11-01"),
        ("2025-11-02", "2025-11-03"),
        ("2025-06-12", "2025-06-13"),
        ("2026-05-09", "2026-05-11"),
        ("2025-12-31", "2026-01-05"),
    ],
)
def test_a_day_off_belongs_to_the_next_working_day(text: str, trade_date: str) -> None:
    # the exchange announces its working days between holidays: what it has not announced is taken for a working day
    calendar = TradingCalendar.of("stock", [told("2026-01-02", is_traded=False), told("2026-05-11", is_traded=True)])

    assert calendar.on(day(text)).trade_date == day(trade_date)


def test_what_the_exchange_tells_of_a_day_wins() -> None:
    calendar = TradingCalendar.of(
        "stock",
        [
            told("2026-01-18", is_traded=True, trade_date=day("2026-01-20"), reason=DayReason.WEEKEND),
            told("2026-02-27", is_traded=False),
            told("2027-02-20", is_traded=True, reason=DayReason.TRANSFERRED),
            told("2014-06-14", is_traded=True),
            told("2026-01-17", is_traded=False, engine="futures"),
        ],
    )

    weekend, closed, working = (calendar.on(day(text)) for text in ("2026-01-18", "2026-02-27", "2027-02-20"))
    assert (weekend.is_traded, weekend.trade_date) == (True, day("2026-01-20"))
    assert (closed.is_traded, closed.reason, closed.trade_date) == (False, DayReason.HOLIDAY, day("2026-03-02"))
    assert closed.sessions == ()
    assert (working.trade_date, sessions(calendar, "2027-02-20")) == (working.day, [MORNING, MAIN, EVENING])
    assert calendar.on(day("2014-06-14")).reason is DayReason.TRANSFERRED  # there were no weekend sessions yet
    assert calendar.on(day("2026-01-17")).is_traded is None


def test_minutes_count_the_sessions_of_a_day_that_may_be_traded() -> None:
    assert [STOCK.minutes(day(text)) for text in ("2024-05-08", "2024-05-09", "2025-03-01")] == [830, 0, 550]


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2024-05-15 12:00", "2024-05-15 12:00"),
        ("2024-05-15 18:55", "2024-05-15 18:55"),
        ("2024-05-15 23:49", "2024-05-15 23:49"),
        ("2024-05-15 23:50", "2024-05-16 09:20"),
        ("2024-05-16 00:00", "2024-05-16 09:20"),
        ("2024-05-16 09:20", "2024-05-16 09:20"),
        ("2024-05-17 23:55", "2024-05-20 09:20"),
        ("2023-12-30 12:00", "2024-01-03 09:20"),
        ("2022-02-25 23:50", "2022-03-21 09:20"),
        ("2022-06-10 18:55", "2022-06-10 18:55"),
        ("2022-06-10 19:00", "2022-06-14 09:20"),
        ("2025-02-28 23:50", "2025-03-01 06:20"),
    ],
)
def test_closed_time_ends_before_the_next_session_that_may_be(moment: str, until: str) -> None:
    # 2022-06-13 was a day off that nothing here knows of
    calendar = TradingCalendar.of("stock", [told("2022-06-13", is_traded=False)])

    assert calendar.closed_until(at(moment)) == at(until)


@pytest.mark.parametrize(
    ("moment", "since"),
    [
        ("2024-05-16 09:20", "2024-05-15 23:50"),
        ("2024-05-16 09:21", "2024-05-16 09:21"),
        ("2024-05-15 23:50", "2024-05-15 23:50"),
        ("2024-05-20 00:00", "2024-05-17 23:50"),
        ("2024-01-03 09:00", "2023-12-29 23:50"),
        ("2022-03-21 09:20", "2022-02-25 23:50"),
    ],
)
def test_closed_time_begins_behind_the_last_session_that_may_be(moment: str, since: str) -> None:
    assert STOCK.closed_since(at(moment)) == at(since)


def test_hours_that_the_exchange_tells_widen_a_day_and_never_narrow_it() -> None:
    calendar = TradingCalendar.of(
        "stock",
        [
            told("2026-11-24", is_traded=True, opens=time(5), closes=time(23, 55)),
            told("2026-11-25", is_traded=True, opens=time(11), closes=time(12)),
            told("2026-11-26", is_traded=True, closes=time(23, 59, 59)),
        ],
    )

    assert calendar.closed_until(at("2026-11-24 00:00")) == at("2026-11-24 04:30")
    assert calendar.closed_until(at("2026-11-24 23:55")) == at("2026-11-25 06:20")
    assert calendar.closed_until(at("2026-11-25 23:50")) == at("2026-11-26 06:20")
    assert calendar.closed_until(at("2026-11-26 23:50")) == at("2026-11-27 06:20")


def test_only_a_weekend_session_that_was_told_ends_early() -> None:
    saturday = at("2026-01-17 19:00")
    weekend = TradingCalendar.of("stock", [told("2026-01-17", is_traded=True, reason=DayReason.WEEKEND)])
    working = TradingCalendar.of("stock", [told("2026-01-17", is_traded=True, reason=DayReason.TRANSFERRED)])

    assert weekend.closed_until(saturday) > saturday
    assert [calendar.closed_until(saturday) for calendar in (STOCK, working)] == [saturday, saturday]


def test_of_an_unknown_engine_nothing_is_certain() -> None:
    calendar = TradingCalendar("agro")

    assert (calendar.on(day("2024-01-01")).is_traded, calendar.on(day("2024-05-14")).is_traded) == (None, None)
    for moment in (at("2024-01-01 23:59"), at("2024-05-11 00:00")):
        assert (calendar.closed_until(moment), calendar.closed_since(moment)) == (moment, moment)


def test_a_closure_without_an_end_is_not_believed() -> None:
    days = [day("2026-01-01") + n * DAY for n in range(100)]
    calendar = TradingCalendar.of("stock", [CalendarDay("stock", each, is_traded=False) for each in days])

    assert calendar.closed_until(at("2026-01-10 12:00")) == at("2026-01-10 12:00")
    assert calendar.closed_since(at("2026-04-05 12:00")) == at("2026-04-05 12:00")


days = st.dates(date(2012, 1, 1), date(2027, 12, 31))
reasons = st.none() | st.sampled_from(DayReason)
hours = st.none() | st.times().map(lambda wall: wall.replace(second=0, microsecond=0))


@st.composite
def calendars(draw: st.DrawFn) -> tuple[TradingCalendar, date]:
    """A calendar that was told something of the days around one."""
    engine = draw(st.sampled_from(["stock", "futures", "currency", "agro"]))
    middle = draw(days)
    around = st.integers(-9, 9).map(lambda n: middle + n * DAY)
    found = st.builds(CalendarDay, st.just(engine), around, st.booleans(), st.none(), reasons, hours, hours)
    return TradingCalendar.of(engine, draw(st.lists(found, max_size=12))), middle


OLD_WEEKEND = CalendarDay("stock", date(2021, 5, 22), is_traded=True, reason=DayReason.WEEKEND)


@given(calendars())
@example((TradingCalendar.of("stock", [OLD_WEEKEND]), OLD_WEEKEND.day))
def test_no_minute_of_a_session_that_may_be_is_called_closed(given_: tuple[TradingCalendar, date]) -> None:
    calendar, middle = given_
    for session in calendar.on(middle).sessions:
        for moment in (session.period.time_from, session.period.time_till - timedelta(minutes=1)):
            assert calendar.closed_until(moment) == moment
            assert calendar.closed_since(moment + timedelta(minutes=1)) == moment + timedelta(minutes=1)


@given(calendars(), st.integers(-7 * 1440, 7 * 1440))
def test_closed_time_has_two_ends_that_agree(given_: tuple[TradingCalendar, date], minutes: int) -> None:
    calendar, middle = given_
    moment = Timestamp.midnight(middle) + timedelta(minutes=minutes)

    until, since = calendar.closed_until(moment), calendar.closed_since(moment)

    assert since <= moment <= until
    assert calendar.closed_until(until) == until
    assert calendar.closed_since(since) == since
    if until > moment:
        assert calendar.closed_since(until) <= moment
    if since < moment:
        assert calendar.closed_until(since) >= moment


@given(days)
def test_days_of_the_working_week_are_traded_as_far_as_is_known(each: date) -> None:
    for engine in ("futures", "currency"):
        if each.weekday() < 5 and STOCK.on(each).reason is DayReason.ORDINARY:
            assert usually_traded(engine, each) is True


@given(days, st.sampled_from(sorted({listing.board.market for listing in LISTINGS}, key=lambda market: market.id)))
def test_whatever_the_simulated_exchange_trades_is_not_called_closed(each: date, market: Market) -> None:
    calendar = TradingCalendar(market.engine.name)
    minutes = simulated.minutes(market, each)
    for minute in {*minutes[:1], *minutes[-1:]}:
        moment = Timestamp.midnight(each) + timedelta(minutes=minute)
        assert calendar.closed_until(moment) == moment
