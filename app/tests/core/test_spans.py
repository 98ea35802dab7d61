"""The span algebra against a set of minutes."""

import itertools
from datetime import timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from app.core.date_time import Timestamp
from app.core.spans import Period, gaps, merge, subtract

ORIGIN = Timestamp.from_unix(1_700_000_040)


def minute(number: int) -> Timestamp:
    return ORIGIN + timedelta(minutes=number)


def period(begin: int, end: int) -> Period:
    return Period(minute(begin), minute(end))


numbers = st.integers(0, 40)
periods = st.builds(period, numbers, numbers)
many = st.lists(periods, max_size=8)


def minutes(spans: list[Period]) -> set[int]:
    return {n for n in range(41) if any(minute(n) in span for span in spans)}


@example([period(0, 1), period(1, 2)])
@given(many)
def test_merging_keeps_the_minutes_in_normal_form(spans: list[Period]) -> None:
    united = merge(spans)

    assert minutes(united) == minutes(spans)
    assert all(united)
    assert all(a.time_till < b.time_from for a, b in itertools.pairwise(united))


@given(many, many)
def test_merging_is_commutative_associative_and_idempotent(one: list[Period], two: list[Period]) -> None:
    united = merge(one + two)

    assert merge(two + one) == united
    assert merge([*merge(one), *merge(two)]) == united
    assert merge(united) == united


@given(many, periods)
def test_gaps_and_spans_partition_the_window(spans: list[Period], window: Period) -> None:
    missing = gaps(spans, window)

    assert minutes(missing) == minutes([window]) - minutes(spans)
    assert merge(missing) == missing
    assert gaps([*spans, *missing], window) == []


@given(many, many)
def test_subtracting_leaves_what_no_hole_takes(spans: list[Period], holes: list[Period]) -> None:
    left = subtract(spans, holes)

    assert minutes(left) == minutes(spans) - minutes(holes)
    assert merge(left) == left


def test_periods_are_half_open() -> None:
    hour = period(0, 60)

    assert minute(0) in hour
    assert minute(60) not in hour
    assert not period(5, 5)
    assert hour & period(30, 90) == period(30, 60)
