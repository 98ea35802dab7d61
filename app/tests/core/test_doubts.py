"""Final candles that an answer lacks (I5)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.core.date_time import Timestamp
from app.core.entities import QuarantinedRow
from app.core.market_data import SourcePage
from app.core.reconciliation import MISSING, retry_at
from app.tests.core.answers import (
    DAY_AFTER,
    SEEN,
    SERIES,
    answer,
    apply,
    minute,
    minutes,
    page,
    period,
    read,
)


def doubt(number: int, *, seen_at: Timestamp = SEEN, reason: str = MISSING) -> QuarantinedRow:
    return QuarantinedRow(SERIES, minute(number), "[]", reason, seen_at)


def test_i5_a_final_candle_that_an_answer_lacks_is_first_doubted() -> None:
    lacks_one = read(period(0, 5), answer(0, 2, 3, 4, as_of=DAY_AFTER))

    changes = apply(lacks_one, spans=[period(0, 5)], stored=page(*range(5), final=True))

    [row] = changes.doubts
    assert (row.begin, row.reason, row.raw) == (minute(1), MISSING, "[1.0, 2.0, 0.5, 1.5, 10.0, 15.0]")
    assert changes.uncovered == [period(1, 2)]
    assert (minutes(changes.withdrawn), minutes(changes.dropped), changes.covered) == ([], [], [])
    assert changes.state.history_version == changes.state.version > 0


def test_i5_a_candle_in_doubt_that_is_missing_again_is_withdrawn() -> None:
    lacks_one = read(period(0, 5), answer(0, 2, 3, 4, as_of=DAY_AFTER))
    spans = [period(0, 1), period(2, 5)]

    changes = apply(lacks_one, spans=spans, stored=page(*range(5), final=True), quarantined=[doubt(1)])

    assert minutes(changes.withdrawn) == [1]
    assert changes.covered == [period(1, 2)]
    assert (changes.doubts, changes.uncovered) == ([], [])
    assert changes.state.history_version == changes.state.version > 0


def test_i5_a_candle_in_doubt_that_is_back_is_covered_again() -> None:
    whole = read(period(0, 5), answer(*range(5), as_of=DAY_AFTER))
    spans = [period(0, 1), period(2, 5)]

    changes = apply(whole, spans=spans, stored=page(*range(5), final=True), quarantined=[doubt(1)])

    assert changes.covered == [period(1, 2)]
    assert not any([changes.changed, changes.withdrawn, changes.doubts])


@pytest.mark.parametrize(
    ("row", "doubts"),
    [(doubt(1, seen_at=DAY_AFTER), []), (doubt(1, reason="audit: volume differs"), [minute(1)])],
)
def test_i5_neither_the_same_look_nor_another_doubt_is_a_first_sight(
    row: QuarantinedRow, doubts: list[Timestamp]
) -> None:
    lacks_one = read(period(0, 5), answer(0, 2, 3, 4, as_of=DAY_AFTER + timedelta(minutes=1)))
    spans = [period(0, 1), period(2, 5)]

    changes = apply(lacks_one, spans=spans, stored=page(*range(5), final=True), quarantined=[row])

    assert not any([changes.withdrawn, changes.covered])
    assert [each.begin for each in changes.doubts] == doubts


def test_i5_nothing_behind_the_last_row_is_doubted_and_that_row_may_be_half() -> None:
    late = read(period(0, 10), answer(0, 1, 2, as_of=DAY_AFTER, volume=11))

    changes = apply(late, spans=[period(0, 5)], stored=page(*range(5), final=True))

    assert minutes(changes.changed) == [0, 1]
    assert not any([changes.doubts, changes.uncovered, changes.covered, changes.dropped])


def test_i7_silence_is_not_believed_of_an_answer_that_lacks_what_was_told_before() -> None:
    silent = read(period(0, 10), answer(as_of=DAY_AFTER))

    changes = apply(silent, stored=page(3, final=True))

    assert not any([changes.covered, changes.doubts, changes.withdrawn])


def test_i5_a_later_row_of_the_same_answer_shows_what_is_missing_before_it() -> None:
    witnessed = read(period(0, 10), SourcePage(page(0), minute(60), is_followed=True))

    changes = apply(witnessed, stored=page(0, 7, final=True))

    assert [row.begin for row in changes.doubts] == [minute(7)]
    assert changes.covered == [period(0, 7), period(8, 10)]


def test_i5_an_answer_that_may_have_lost_its_beginning_proves_nothing_there() -> None:
    lost = read(period(0, 10), answer(5, 9, as_of=DAY_AFTER))

    changes = apply(lost, stored=page(0, 2, 5, 9, final=True), quarantined=[doubt(2)])

    assert not changes.withdrawn
    assert [(row.begin, row.attempts) for row in changes.doubts] == [(minute(0), 1), (minute(2), 2)]
    assert changes.covered == [period(5, 10)]


def test_i5_a_bad_row_is_not_missing() -> None:
    bad = QuarantinedRow(SERIES, minute(1), "[null]", "no number", DAY_AFTER)
    source = SourcePage(page(0, 2), DAY_AFTER, rejected=[bad], is_last=True)

    changes = apply(read(period(0, 3), source), stored=page(0, 1, 2, final=True), quarantined=[doubt(1)])

    assert not any([changes.doubts, changes.withdrawn])
    assert changes.covered == [period(0, 1), period(2, 3)]


def test_i15_an_older_answer_neither_doubts_nor_withdraws_nor_covers_what_it_lacks() -> None:
    older = read(period(0, 5), answer(0, 2, 3, 4, as_of=DAY_AFTER))
    later = DAY_AFTER + timedelta(seconds=1)

    changes = apply(older, stored=page(*range(5), final=True), as_of=later, quarantined=[doubt(1)])

    assert not any([changes.doubts, changes.withdrawn, changes.uncovered])
    assert changes.covered == [period(0, 1)]


def test_i8_pauses_before_asking_again_grow_up_to_a_day() -> None:
    pauses = [retry_at(replace(doubt(1), attempts=attempts)) - SEEN for attempts in (1, 2, 9, 1_000)]

    assert pauses == [timedelta(minutes=10), timedelta(minutes=20), timedelta(hours=24), timedelta(hours=24)]
