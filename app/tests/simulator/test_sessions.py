"""When the generated market trades: mornings, evenings, weekends, and the day of contracts."""

from collections.abc import Sequence
from datetime import date, timedelta

import pytest

from app.simulator import sessions
from app.simulator.listings import BONDS, CURRENCY, FORTS, FUTURES, INDEX, SELT, SHARES, STOCK, TQBR, Listing, Market
from app.simulator.market import trading_minutes

SATURDAY, SUNDAY, SATURDAY_OFF = date(2025, 3, 1), date(2025, 3, 2), date(2025, 3, 15)
WEEKEND = [("09:50", "18:59")]
MAIN, MORNING, EVENING = ("10:00", "18:39"), ("06:50", "09:49"), ("19:05", "23:49")
EVERYTHING = [MORNING, MAIN, EVENING]


def day_of(market: Market, day: date, *, long_hours: bool = False) -> list[tuple[str, str]]:
    """The first and the last minute of each session."""
    minutes = sessions.minutes(market, day, long_hours=long_hours)
    firsts = [minute for minute in minutes if minute - 1 not in minutes]
    lasts = [minute for minute in minutes if minute + 1 not in minutes]
    return list(zip(clock(firsts), clock(lasts), strict=True))


def clock(minutes: Sequence[int]) -> list[str]:
    return [f"{minute // 60:02}:{minute % 60:02}" for minute in minutes]


@pytest.mark.parametrize(
    ("day", "long_hours", "expected"),
    [
        (date(2021, 12, 3), True, [MAIN, EVENING]),
        (date(2021, 12, 6), True, EVERYTHING),
        (date(2021, 12, 6), False, [MAIN, EVENING]),
        (date(2022, 2, 25), True, EVERYTHING),
        (date(2022, 2, 28), True, []),
        (date(2022, 3, 24), True, [("10:00", "13:59")]),
        (date(2022, 3, 31), True, [MAIN]),
        (date(2022, 9, 12), True, [MAIN, EVENING]),
        (date(2025, 1, 24), True, [MAIN, EVENING]),
        (date(2025, 1, 27), False, EVERYTHING),
        (date(2025, 2, 22), True, []),
        (SATURDAY, True, WEEKEND),
        (SUNDAY, True, WEEKEND),
        (SATURDAY, False, []),
        (SATURDAY_OFF, True, []),
        (date(2025, 3, 8), True, []),
    ],
)
def test_a_share_trades_in_the_sessions_of_its_time(
    day: date, *, long_hours: bool, expected: list[tuple[str, str]]
) -> None:
    assert day_of(SHARES, day, long_hours=long_hours) == expected


@pytest.mark.parametrize("long_hours", [False, True])
@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2024, 4, 27), [MAIN]),
        (date(2024, 11, 2), [MAIN]),
        (date(2024, 12, 28), [MAIN]),
        (date(2025, 11, 1), EVERYTHING),
    ],
)
def test_a_working_saturday_is_no_weekend_session(
    day: date, *, expected: list[tuple[str, str]], long_hours: bool
) -> None:
    assert day_of(SHARES, day, long_hours=long_hours) == expected


@pytest.mark.parametrize(
    ("market", "expected"), [(BONDS, [MAIN, EVENING]), (INDEX, [MAIN, EVENING]), (SELT, [("10:00", "18:59")])]
)
def test_mornings_are_of_shares_alone(market: Market, expected: list[tuple[str, str]]) -> None:
    assert day_of(market, date(2025, 1, 27)) == expected


@pytest.mark.parametrize("market", [SELT, FORTS])
def test_weekends_are_of_the_stock_engine_alone(market: Market) -> None:
    assert day_of(market, SATURDAY, long_hours=True) == []


@pytest.mark.parametrize(
    ("day", "day_sessions"),
    [
        (date(2026, 3, 20), [("10:00", "13:59"), ("14:05", "18:44")]),
        (date(2026, 3, 23), [("08:50", "18:44")]),
        (date(2026, 7, 13), [("08:50", "18:44")]),
        (date(2026, 7, 14), [("06:50", "18:44")]),
    ],
)
def test_contracts_lose_their_noon_break_and_begin_earlier(day: date, day_sessions: list[tuple[str, str]]) -> None:
    assert day_of(FORTS, day) == [*day_sessions, EVENING]


def test_two_weekends_in_three_have_sessions() -> None:
    saturdays = [SATURDAY + timedelta(weeks=n) for n in range(30)]

    traded = [day for day in saturdays if sessions.reason(STOCK, day) == sessions.WEEKEND]

    assert len(traded) == 19  # 20, but one is a holiday
    assert sessions.reason(STOCK, date(2026, 1, 18)) == sessions.WEEKEND


@pytest.mark.parametrize(
    ("day", "belongs_to"),
    [
        (SATURDAY, date(2025, 3, 3)),
        (SUNDAY, date(2025, 3, 3)),
        (date(2026, 1, 18), date(2026, 1, 19)),
        (date(2026, 2, 22), date(2026, 2, 24)),
    ],
)
def test_a_weekend_session_belongs_to_the_next_working_day(day: date, belongs_to: date) -> None:
    assert sessions.reason(STOCK, day) == sessions.WEEKEND
    assert sessions.session_date(STOCK, day) == belongs_to


def test_weekends_are_announced_when_they_begin() -> None:
    assert sessions.is_open(STOCK, SUNDAY, SATURDAY)
    assert not sessions.is_open(STOCK, SUNDAY, SATURDAY - timedelta(days=1))


def test_the_daily_table_lists_exactly_the_days_that_differ_from_their_weekday() -> None:
    days = dict(sessions.exceptions(STOCK, date(2024, 1, 1), date(2024, 12, 31), date(2024, 1, 17)))

    works = {day.isoformat() for day, hours in days.items() if hours.is_open}
    assert works == {"2024-04-27", "2024-11-02", "2024-12-28"}
    assert {date(2024, 1, 1), date(2024, 5, 9), date(2024, 12, 31)} <= days.keys()


def test_since_weekends_are_worked_the_daily_table_lists_those_that_are_not() -> None:
    days = dict(sessions.exceptions(STOCK, date(2025, 1, 1), date(2025, 12, 31), date(2025, 6, 2)))

    assert not days.keys() & {SATURDAY, SUNDAY, date(2025, 2, 22)}
    assert days[SATURDAY_OFF] == sessions.Hours(is_open=False, opens="06:50:00", closes="23:50:00")
    assert days[date(2025, 11, 1)] == sessions.Hours(is_open=True, opens="06:50:00", closes="23:50:00")


def test_other_engines_have_no_weekends() -> None:
    days = dict(sessions.exceptions(FUTURES, date(2025, 3, 1), date(2025, 12, 31), date(2025, 6, 2)))

    assert [day for day, hours in days.items() if hours.is_open] == [date(2025, 11, 1)]
    assert {each.is_open for n in (5, 6) for each in [sessions.usual_hours(CURRENCY, n, date(2025, 6, 2))]} == {False}


def test_a_security_has_long_hours_from_a_day_on() -> None:
    share = Listing("LONG", TQBR, "Long", "Long", silence=0, long_hours_from=date(2022, 1, 10))

    first = [trading_minutes(share, day, 0)[0] for day in (date(2021, 12, 6), date(2022, 1, 10), SATURDAY)]

    assert clock(first) == ["10:00", "06:50", "09:50"]
