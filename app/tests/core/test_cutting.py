from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import chain, pairwise, repeat

from hypothesis import given
from hypothesis import strategies as st

from app.core.calendar import TradingCalendar
from app.core.cutting import FEWEST_BARS, MOST_BARS, Sizes, bars_of, cut, first_bars
from app.core.date_time import Timestamp
from app.core.entities import SOURCED, Security, Series, Timeframe
from app.core.market_data import Wish
from app.core.spans import Period

STOCK = TradingCalendar("stock")


def at(text: str) -> Timestamp:
    return Timestamp.from_moscow(datetime.fromisoformat(text))


YEAR = Period(at("2023-01-01"), at("2024-01-01"))


def windows_of(
    period: Period,
    timeframe: Timeframe = Timeframe.M1,
    settled: Timestamp = YEAR.time_till,
    sizes: Iterator[int] | None = None,
) -> list[Period]:
    return [*cut(period, timeframe, settled, STOCK, (sizes or repeat(FEWEST_BARS)).__next__)]


moments = st.datetimes(datetime(2024, 11, 1), datetime(2025, 6, 1)).map(Timestamp.from_moscow)


@given(moments, moments, moments, st.sampled_from(SOURCED))
def test_windows_follow_each_other_and_make_up_the_period(
    one: Timestamp, other: Timestamp, settled: Timestamp, timeframe: Timeframe
) -> None:
    period = Period(min(one, other), max(one, other))

    windows = windows_of(period, timeframe, settled)

    assert (windows[0].time_from, windows[-1].time_till) == (period.time_from, period.time_till)
    assert all(left.time_till == right.time_from for left, right in pairwise(windows))
    assert all(window.time_till <= settled for window in windows[:-1])


def test_a_year_of_minutes_is_many_windows_of_whole_days() -> None:
    windows = windows_of(YEAR)

    assert len(windows) > 30
    for window in windows[:-1]:
        assert window.time_till.moscow.time() == datetime.min.time()
        minutes = sum(STOCK.minutes(day) for day in _days(window))
        assert FEWEST_BARS <= minutes < FEWEST_BARS + 900


def _days(window: Period) -> set[date]:
    hours = range(int((window.time_till - window.time_from).total_seconds()) // 3600)
    return {Timestamp.from_unix(window.time_from.unix + hour * 3600).moscow.date() for hour in hours}


def test_a_year_of_hours_is_one_question() -> None:
    assert windows_of(YEAR, Timeframe.H1) == [YEAR]


def test_what_has_not_settled_is_not_cut() -> None:
    assert windows_of(YEAR, settled=YEAR.time_from) == [YEAR]


def test_the_first_window_may_be_shorter_than_the_others() -> None:
    windows = windows_of(YEAR, sizes=chain([FEWEST_BARS], repeat(4 * FEWEST_BARS)))

    first, second, *_ = (sum(STOCK.minutes(day) for day in _days(window)) for window in windows)
    assert FEWEST_BARS <= first < FEWEST_BARS + 900
    assert 4 * FEWEST_BARS <= second < 4 * FEWEST_BARS + 900


def test_first_windows_rise_from_a_few_pages_where_there_is_much_to_do() -> None:
    assert first_bars(20_000, 8) == [2_500, 5_000, 7_500, 10_000, 12_500, 15_000, 17_500, 20_000]
    assert first_bars(20_000, 32)[:4] == [1_250, 1_250, 1_875, 2_500]
    assert first_bars(FEWEST_BARS, 8) == [FEWEST_BARS] * 8


def test_a_rest_that_is_not_worth_a_window_goes_with_the_one_before() -> None:
    week = Period(at("2023-02-06"), at("2023-02-15"))

    days = windows_of(week, sizes=repeat(2_000))

    assert [window.time_till for window in days] == [at("2023-02-09"), week.time_till]


def test_last_windows_fall_to_the_share_of_each_lane() -> None:
    month = Period(at("2023-01-01"), at("2023-02-01"))
    series = [Series(Security(ticker, "TQBR"), Timeframe.M1) for ticker in ("AFKS", "GAZP", "LKOH", "SBER")]
    sizes = Sizes([Wish(each, month) for each in series for _ in range(8)], 4)
    left = 4 * 8 * bars_of(month, Timeframe.M1)
    given = []

    while left > 0:
        given.append(sizes.next())
        part = Period(month.time_from, month.time_from + given[-1] * timedelta(minutes=2))
        sizes.took(part, Timeframe.M1)
        left -= bars_of(part, Timeframe.M1)

    assert given[:5] == [5_000, 10_000, 15_000, MOST_BARS, MOST_BARS]
    assert given[4:] == sorted(given[4:], reverse=True)
    assert given[-1] == FEWEST_BARS
