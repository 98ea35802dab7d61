from datetime import date, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.core.calendar import TradingCalendar
from app.core.cutting import FEWEST_BARS, cut, first_bars
from app.core.date_time import Timestamp
from app.core.entities import SOURCED, Timeframe
from app.core.spans import Period

STOCK = TradingCalendar("stock")


def at(text: str) -> Timestamp:
    return Timestamp.from_moscow(datetime.fromisoformat(text))


YEAR = Period(at("2023-01-01"), at("2024-01-01"))
moments = st.datetimes(datetime(2024, 11, 1), datetime(2025, 6, 1)).map(Timestamp.from_moscow)


@given(moments, moments, moments, st.sampled_from(SOURCED))
def test_windows_follow_each_other_and_make_up_the_period(
    one: Timestamp, other: Timestamp, settled: Timestamp, timeframe: Timeframe
) -> None:
    period = Period(min(one, other), max(one, other))

    windows = [*cut(period, timeframe, settled, STOCK)]

    assert (windows[0].time_from, windows[-1].time_till) == (period.time_from, period.time_till)
    assert all(left.time_till == right.time_from for left, right in pairwise(windows))
    assert all(window.time_till <= settled for window in windows[:-1])


def test_a_year_of_minutes_is_many_windows_of_whole_days() -> None:
    windows = [*cut(YEAR, Timeframe.M1, YEAR.time_till, STOCK)]

    assert len(windows) > 30
    for window in windows[:-1]:
        assert window.time_till.moscow.time() == datetime.min.time()
        minutes = sum(STOCK.minutes(day) for day in _days(window))
        assert FEWEST_BARS <= minutes < FEWEST_BARS + 900


def _days(window: Period) -> set[date]:
    hours = range(int((window.time_till - window.time_from).total_seconds()) // 3600)
    return {Timestamp.from_unix(window.time_from.unix + hour * 3600).moscow.date() for hour in hours}


def test_a_year_of_hours_is_one_question() -> None:
    assert [*cut(YEAR, Timeframe.H1, YEAR.time_till, STOCK)] == [YEAR]


def test_what_has_not_settled_is_not_cut() -> None:
    assert [*cut(YEAR, Timeframe.M1, YEAR.time_from, STOCK)] == [YEAR]


def test_the_first_window_may_be_shorter_than_the_others() -> None:
    windows = [*cut(YEAR, Timeframe.M1, YEAR.time_till, STOCK, 4 * FEWEST_BARS, first=FEWEST_BARS)]

    first, second, *_ = (sum(STOCK.minutes(day) for day in _days(window)) for window in windows)
    assert FEWEST_BARS <= first < FEWEST_BARS + 900
    assert 4 * FEWEST_BARS <= second < 4 * FEWEST_BARS + 900


def test_first_windows_rise_from_a_few_pages_where_there_is_much_to_do() -> None:
    assert first_bars(20_000, 8) == [2_500, 5_000, 7_500, 10_000, 12_500, 15_000, 17_500, 20_000]
    assert first_bars(20_000, 32)[:4] == [1_250, 1_250, 1_875, 2_500]
    assert first_bars(FEWEST_BARS, 8) == [FEWEST_BARS] * 8
