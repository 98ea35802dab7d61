from datetime import timedelta

from app.core.batches import batch_of
from app.core.market_data import SourcePage
from app.tests.core.answers import CALENDAR, DAY_AFTER, RULES, SERIES, answer, minute, page, period, read


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


def test_i7_a_later_row_of_the_same_answer_proves_all_before_it() -> None:
    as_of = minute(60)
    witnessed = SourcePage(page(3), as_of, is_followed=True)

    batch = read(period(0, 10), witnessed)

    assert batch.period == period(0, 10)
    assert [candle.is_final for candle in batch.candles] == [True]
