from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.core.calendar import TradingCalendar
from app.core.date_time import Timestamp
from app.core.entities import QuarantinedRow, Security, Series, SeriesState, Timeframe
from app.core.market_data import SourcePage
from app.core.pages import CandlePage
from app.core.reconciliation import MISSING, Batch, Changes, Rules, batch_of, reconcile, retry_at
from app.core.spans import Period

SERIES = Series(Security("SBER", "TQBR"), Timeframe.M1)
RULES = Rules(delay=timedelta(minutes=15))
CALENDAR = TradingCalendar("stock")
NOON = Timestamp(datetime(2024, 1, 3, 12, tzinfo=UTC))


def minute(number: int) -> Timestamp:
    return NOON + timedelta(minutes=number)


SEEN = minute(1_000)
DAY_AFTER = minute(2_000)


def period(begin: int, end: int) -> Period:
    return Period(minute(begin), minute(end))


def page(*numbers: int, volume: float = 10, final: bool = False) -> CandlePage:
    return CandlePage.from_rows(SERIES, ((minute(n).unix, 1, 2, 0.5, 1.5, volume, 15, final) for n in numbers))


def answer(*numbers: int, as_of: Timestamp, is_last: bool = True, volume: float = 10) -> SourcePage:
    return SourcePage(page(*numbers, volume=volume), as_of, is_last=is_last)


def read(asked: Period, *pages: SourcePage) -> Batch:
    return batch_of(SERIES, asked, pages, RULES, CALENDAR)


def apply(
    batch: Batch,
    *,
    spans: Sequence[Period] = (),
    stored: CandlePage | None = None,
    as_of: Timestamp | None = None,
    quarantined: Sequence[QuarantinedRow] = (),
    factors: Sequence[float] = (),
) -> Changes:
    state = SeriesState(SERIES, followed_from=minute(0), as_of=as_of, watermark=as_of)
    return reconcile(state, spans, stored or page(), batch, quarantined=quarantined, factors=factors)


def minutes(candles: CandlePage) -> list[int]:
    return [(candle.timestamp - NOON) // timedelta(minutes=1) for candle in candles]


def test_i4_bars_are_final_up_to_the_watermark() -> None:
    batch = read(period(0, 60), answer(*range(45), as_of=minute(60)))

    assert batch.watermark == minute(44)  # 15 minutes of delay and one of margin
    assert [candle.is_final for candle in batch.candles] == [True] * 44 + [False]
    assert batch.period == period(0, 44)


def test_i7_an_answer_covers_up_to_the_end_of_its_last_final_bar() -> None:
    batch = read(period(0, 60), answer(0, 1, 2, 30, 31, as_of=minute(120)))

    assert batch.period == period(0, 31)


def test_i7_the_last_bar_of_an_answer_is_final_when_a_later_one_or_time_has_shown_that_it_is_whole() -> None:
    lagging = [answer(0, 1, 30, as_of=minute(120))]

    alone = read(period(0, 60), *lagging)
    followed = batch_of(SERIES, period(0, 60), lagging, RULES, CALENDAR, goes_on=True)
    settled = read(period(0, 60), answer(0, 1, 30, as_of=DAY_AFTER))

    assert (alone.period, alone.candles[-1].is_final) == (period(0, 2), False)
    assert (followed.period, followed.candles[-1].is_final) == (period(0, 31), True)
    assert (settled.period, settled.candles[-1].is_final) == (period(0, 60), True)


def test_i7_silence_is_believed_when_it_has_settled() -> None:
    day_later = minute(24 * 60)

    assert read(period(0, 60), answer(0, as_of=day_later + timedelta(minutes=40))).period == period(0, 40)
    assert read(period(0, 60), answer(as_of=day_later + timedelta(minutes=90))).period == period(0, 60)


def test_i7_silence_proves_nothing_while_more_may_follow() -> None:
    assert read(period(0, 60), answer(0, as_of=minute(5_000), is_last=False)).period == period(0, 1)


def test_i7_closed_time_behind_the_last_minute_of_a_session_is_covered_up_to_the_watermark() -> None:
    at_night = minute(650)  # the session ended at 530

    batch = read(period(500, 700), answer(500, 529, as_of=at_night))

    assert batch.candles[-1].is_final
    assert batch.period == period(500, 634)


def test_i7_closed_time_is_no_reason_to_believe_a_last_bar_before_it() -> None:
    batch = read(period(500, 700), answer(500, 528, as_of=minute(650)))

    assert not batch.candles[-1].is_final
    assert batch.period == period(500, 501)


def test_i7_closed_time_ends_when_the_next_session_may_begin() -> None:
    batch = read(period(500, 1_200), answer(500, 529, as_of=minute(1_190)))

    assert batch.period == period(500, 1_100)


def test_i7_closed_time_is_not_covered_while_more_may_follow() -> None:
    batch = read(period(500, 700), answer(500, 529, as_of=minute(650), is_last=False))

    assert batch.period == period(500, 530)


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


@pytest.mark.parametrize("version", [0, 10**15])
def test_i16_counters_rise_strictly_and_above_the_milliseconds_of_the_answer(version: int) -> None:
    state = SeriesState(SERIES, followed_from=minute(0), version=version)

    changes = reconcile(state, [], page(), read(period(0, 1), answer(0, as_of=DAY_AFTER)))

    assert changes.state.version > version
    assert changes.state.version >= DAY_AFTER.unix * 1000


def test_a_late_bar_inside_covered_time_is_a_change_of_history() -> None:
    changes = apply(
        read(period(0, 3), answer(0, 1, 2, as_of=DAY_AFTER)), spans=[period(0, 3)], stored=page(0, 2, final=True)
    )

    assert minutes(changes.new) == [1]
    assert changes.state.history_version == changes.state.version > 0


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


def test_i7_a_later_row_of_the_same_answer_proves_all_before_it() -> None:
    as_of = minute(60)
    witnessed = SourcePage(page(3), as_of, is_followed=True)

    batch = read(period(0, 10), witnessed)

    assert batch.period == period(0, 10)
    assert [candle.is_final for candle in batch.candles] == [True]


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


def test_a_row_that_forms_is_not_added_to_covered_time() -> None:
    late = read(period(0, 10), answer(0, 3, as_of=DAY_AFTER))

    changes = apply(late, spans=[period(0, 6)], stored=page(0, 5, final=True))

    assert not any([changes.new, changes.changed])


def test_i8_pauses_before_asking_again_grow_up_to_a_day() -> None:
    pauses = [retry_at(replace(doubt(1), attempts=attempts)) - SEEN for attempts in (1, 2, 9, 1_000)]

    assert pauses == [timedelta(minutes=10), timedelta(minutes=20), timedelta(hours=24), timedelta(hours=24)]


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
