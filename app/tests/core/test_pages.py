from datetime import timedelta

import pytest

from app.core.date_time import Timestamp
from app.core.entities import Candle, Security, Series, Timeframe
from app.core.pages import CandlePage

SERIES = Series(Security("SBER", "TQBR"), Timeframe.M1)
ORIGIN = Timestamp.from_unix(1_700_000_040)


def candle(number: int) -> Candle:
    begin = ORIGIN + timedelta(minutes=number)
    return Candle(SERIES.security, SERIES.timeframe, begin, 1.5, 2, 0.5, 1, number, 15.25)


CANDLES = [candle(number) for number in range(6)]
PAGE = CandlePage.from_candles(SERIES, CANDLES)


def test_a_page_is_the_sequence_of_its_candles() -> None:
    assert list(PAGE) == CANDLES
    assert PAGE[-1] == CANDLES[-1]
    assert len(PAGE) == 6
    assert CANDLES[2] in PAGE


@pytest.mark.parametrize("window", [slice(2, 4), slice(None, 3), slice(-2, None), slice(9, None), slice(None, None, 2)])
def test_a_slice_is_a_page(window: slice) -> None:
    part = PAGE[window]

    assert isinstance(part, CandlePage)
    assert list(part) == CANDLES[window]


def test_candles_are_sorted_on_the_way_in() -> None:
    assert CandlePage.from_candles(SERIES, reversed(CANDLES)) == PAGE


def test_periods_are_half_open_and_need_not_be_aligned() -> None:
    assert list(PAGE.between(candle(1).timestamp, candle(3).timestamp)) == CANDLES[1:3]
    second = timedelta(microseconds=1)
    assert list(PAGE.between(candle(1).timestamp + second, candle(3).timestamp + second)) == CANDLES[2:4]


def test_pages_are_joined_in_the_order_given() -> None:
    assert CandlePage.join(SERIES, [PAGE[:2], PAGE[2:2], PAGE[2:]]) == PAGE
    assert list(CandlePage.join(SERIES, [])) == []


def test_only_bars_that_end_by_the_watermark_are_final() -> None:
    finals = [each.is_final for each in PAGE.final_before(candle(2).timestamp + timedelta(seconds=59))]

    assert finals == [True, True, False, False, False, False]
