import csv
import json
import struct
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answers import encoding
from app.core.date_time import Timestamp
from app.core.pages import CandlePage, Row
from app.tests.builders import SBER_M1, T0, a_page

MOSCOW = ZoneInfo("Europe/Moscow")
doubles = st.floats(allow_nan=False, allow_infinity=False)
moments = st.integers(0, 2**32 - 1)


@st.composite
def pages(draw: st.DrawFn) -> CandlePage:
    begins = sorted(draw(st.sets(moments, max_size=20)))
    rows: list[Row] = [(begin, *draw(st.tuples(*[doubles] * 6)), draw(st.integers(0, 1))) for begin in begins]
    return CandlePage.from_rows(SBER_M1, rows)


def a_row(begin: int, number: float = 1.0) -> Row:
    return (begin, number, number, number, number, number, number, 1)


def bits(number: float) -> bytes:
    return struct.pack("<d", number)


def flat(page: CandlePage) -> list[tuple[int, list[bytes], bool]]:
    return [(row[0], [bits(number) for number in row[1:7]], bool(row[7])) for row in page.rows]


def read(fields: list[str | float | bool]) -> tuple[int, list[bytes], bool]:
    begin, *prices, final = fields
    moment = Timestamp(datetime.fromisoformat(str(begin)))
    return moment.unix, [bits(float(price)) for price in prices], final in {True, "true"}


@given(pages(), st.sampled_from([UTC, MOSCOW]))
def test_objects_read_back_bit_for_bit(page: CandlePage, zone: ZoneInfo) -> None:
    candles = json.loads(encoding.objects(page, zone))

    assert [read(list(candle.values())) for candle in candles] == flat(page)
    assert all(tuple(candle) == encoding.COLUMNS for candle in candles)


@given(pages(), st.sampled_from([UTC, MOSCOW]))
def test_rows_read_back_bit_for_bit(page: CandlePage, zone: ZoneInfo) -> None:
    assert [read(row) for row in json.loads(encoding.rows(page, zone))] == flat(page)


@given(pages(), st.sampled_from([UTC, MOSCOW]))
def test_csv_reads_back_bit_for_bit(page: CandlePage, zone: ZoneInfo) -> None:
    header, *lines = csv.reader(encoding.csv(page, zone).decode().splitlines(), strict=True)

    assert tuple(header) == encoding.COLUMNS
    assert [read(list(line)) for line in lines] == flat(page)


@pytest.mark.parametrize(
    "number", [5e-324, 599770205.4000001, 1.7976931348623157e308, 1e22, -0.0, 0.1 + 0.2, 123456789012345680.0]
)
def test_awkward_doubles_survive(number: float) -> None:
    page = CandlePage.from_rows(SBER_M1, [a_row(T0.unix, number)])

    [candle] = json.loads(encoding.objects(page, UTC))

    assert bits(candle["close"]) == bits(number)


def test_times_are_written_as_their_zone_had_them() -> None:
    page = CandlePage.from_rows(SBER_M1, [a_row(1_400_000_000), a_row(T0.unix)])

    assert [row[0] for row in json.loads(encoding.rows(page, MOSCOW))] == [
        "2014-05-13T20:53:20+04:00",
        "2024-01-03T10:00:00+03:00",
    ]
    assert [row[0] for row in json.loads(encoding.rows(page, UTC))] == ["2014-05-13T16:53:20Z", "2024-01-03T07:00:00Z"]


def test_a_page_may_be_empty() -> None:
    page = a_page([])

    assert encoding.objects(page, UTC) == encoding.rows(page, UTC) == b"[]"
    assert encoding.csv(page, UTC) == b"begin,open,high,low,close,volume,value,final\r\n"
