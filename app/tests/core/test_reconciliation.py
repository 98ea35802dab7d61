from datetime import timedelta

import pytest

from app.core.batches import batch_of
from app.core.entities import QuarantinedRow, SeriesState
from app.core.market_data import SourcePage
from app.core.pages import CandlePage
from app.core.reconciliation import reconcile
from app.core.spans import Period
from app.tests.core.answers import (
    CALENDAR,
    DAY_AFTER,
    RULES,
    SERIES,
    answer,
    apply,
    minute,
    minutes,
    page,
    period,
    read,
)


def test_i3_an_empty_gap_is_filled_and_covered() -> None:
    changes = apply(read(period(0, 60), answer(*range(60), as_of=DAY_AFTER)))

    assert minutes(changes.new) == list(range(60))
    assert changes.covered == [period(0, 60)]
    assert changes.state.version > 0
    assert changes.state.history_version == 0


def test_i9_the_same_answer_again_changes_nothing() -> None:
    batch = read(period(0, 60), answer(*range(60), as_of=DAY_AFTER))
    first = apply(batch)

    again = reconcile(first.state, [period(0, 60)], page(*range(60), final=True), batch)

    assert not (again.new)
    assert not (again.changed)
    assert not (again.superseded)
    assert not (again.dropped)
    assert not (again.covered)
    assert again.state == first.state


def test_i5_a_corrected_final_candle_keeps_its_old_values() -> None:
    batch = read(period(0, 3), answer(0, 1, 2, as_of=DAY_AFTER, volume=11))

    changes = apply(batch, spans=[period(0, 3)], stored=page(0, 1, 2, final=True))

    assert minutes(changes.changed) == [0, 1, 2]
    assert [candle.volume for candle in changes.superseded] == [10, 10, 10]
    assert changes.state.history_version == changes.state.version > 0


def test_i5_a_final_candle_neither_forms_again_nor_vanishes() -> None:
    forming_again = read(period(0, 60), answer(44, as_of=minute(60)))

    changes = apply(forming_again, stored=page(43, 44, final=True))

    assert not (changes.new)
    assert not (changes.changed)
    assert not (changes.dropped)


def test_a_forming_bar_is_replaced_until_it_is_final() -> None:
    changes = apply(read(period(44, 60), answer(44, 45, as_of=minute(61), volume=12)), stored=page(44))

    assert minutes(changes.changed) == [44]
    assert changes.changed[0].is_final
    assert not changes.superseded
    assert changes.covered == [period(44, 45)]


def test_a_forming_bar_that_is_gone_is_dropped() -> None:
    changes = apply(read(period(43, 60), answer(45, as_of=minute(62))), stored=page(44))

    assert minutes(changes.dropped) == [44]
    assert minutes(changes.new) == [45]


def test_i8_the_slot_of_a_rejected_row_stays_uncovered() -> None:
    bad = QuarantinedRow(SERIES, minute(2), "[null]", "no number", DAY_AFTER)
    source = SourcePage(page(0, 1, 3, 4), DAY_AFTER, rejected=[bad], is_last=True)

    changes = apply(read(period(0, 5), source))

    assert changes.covered == [period(0, 2), period(3, 5)]


def test_i15_an_older_answer_writes_only_what_is_uncovered() -> None:
    older = read(period(0, 4), answer(0, 1, 2, 3, as_of=DAY_AFTER, volume=99))

    changes = apply(older, spans=[period(0, 2)], stored=page(0, 1, final=True), as_of=DAY_AFTER + timedelta(seconds=1))

    assert minutes(changes.new) == [2, 3]
    assert not (changes.changed)
    assert not (changes.superseded)
    assert changes.covered == [period(2, 4)]
    assert changes.state.as_of == DAY_AFTER + timedelta(seconds=1)


def test_i15_an_older_answer_never_touches_what_forms_in_a_newer_one() -> None:
    older = read(period(0, 60), answer(*range(48), as_of=minute(62), volume=99))

    changes = apply(older, stored=page(47, 48), as_of=minute(63))

    assert minutes(changes.new) == list(range(46))
    assert not (changes.changed)
    assert not (changes.dropped)
    assert changes.covered == [period(0, 46)]


def test_i15_an_older_answer_ends_what_even_older_ones_left_forming() -> None:
    older = read(period(0, 3), answer(0, 1, 2, as_of=DAY_AFTER, volume=11))

    changes = apply(older, stored=page(0, 1, 2), as_of=DAY_AFTER + timedelta(seconds=1))

    assert minutes(changes.changed) == [0, 1, 2]
    assert changes.covered == [period(0, 3)]


def test_bars_that_still_form_are_not_missed_by_the_next_batch() -> None:
    first = batch_of(SERIES, period(44, 60), [answer(44, 45, 46, as_of=minute(60))], RULES, CALENDAR, goes_on=True)
    rest = Period(first.period.time_till, minute(60))
    second = batch_of(SERIES, rest, [answer(47, as_of=minute(60))], RULES, CALENDAR, seen_till=first.given_till)

    changes = apply(second, stored=page(44, 45, 46))

    assert not changes.dropped
    assert minutes(changes.new) == [47]


def test_a_late_bar_inside_covered_time_is_a_change_of_history() -> None:
    changes = apply(
        read(period(0, 3), answer(0, 1, 2, as_of=DAY_AFTER)), spans=[period(0, 3)], stored=page(0, 2, final=True)
    )

    assert minutes(changes.new) == [1]
    assert changes.state.history_version == changes.state.version > 0


def test_a_row_that_forms_is_not_added_to_covered_time() -> None:
    late = read(period(0, 10), answer(0, 3, as_of=DAY_AFTER))

    changes = apply(late, spans=[period(0, 6)], stored=page(0, 5, final=True))

    assert not any([changes.new, changes.changed])


def test_old_values_that_differ_by_a_split_alone_are_not_kept() -> None:
    rescaled = SourcePage(rows_of((0, 0.1), (1, 0.1), (2, 0.2)), DAY_AFTER, is_last=True)

    changes = apply(
        read(period(0, 3), rescaled), spans=[period(0, 3)], stored=page(0, 1, 2, final=True), factors=[0.01, 0.1]
    )

    assert minutes(changes.changed) == [0, 1, 2]
    assert minutes(changes.superseded) == [2]


def rows_of(*rows: tuple[int, float]) -> CandlePage:
    """Build the candles of `page` with their prices multiplied."""
    scaled = ((minute(n).unix, 1 * by, 2 * by, 0.5 * by, 1.5 * by, 10, 15, 0) for n, by in rows)
    return CandlePage.from_rows(SERIES, scaled)


@pytest.mark.parametrize("version", [0, 10**15])
def test_i16_counters_rise_strictly_and_above_the_milliseconds_of_the_answer(version: int) -> None:
    state = SeriesState(SERIES, followed_from=minute(0), version=version)

    changes = reconcile(state, [], page(), read(period(0, 1), answer(0, as_of=DAY_AFTER)))

    assert changes.state.version > version
    assert changes.state.version >= DAY_AFTER.unix * 1000
