import json
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.date_time import Timestamp
from app.core.entities import Security, Series, Timeframe
from app.core.errors import SourceBadAnswerError, SourceError, SourceSchemaError
from app.market_data_adapter.parsing import parse_borders, parse_candles
from app.market_data_adapter.parsing_reference import parse_cards
from app.market_data_adapter.walls import unix_of

SERIES = Series(Security("SBER", "TQBR"), Timeframe.M1)
COLUMNS = ["begin", "open", "high", "low", "close", "volume", "value"]
GOOD = ["2024-01-03 10:00:00", 270, 271.5, 269.93, 271, 4171150, 599770205.4000001]


def answer(*rows: list[object], columns: list[str] = COLUMNS) -> bytes:
    return json.dumps({"candles": {"columns": columns, "data": rows}}).encode()


def at(minute: int, **changes: object) -> list[object]:
    row = dict(zip(COLUMNS, GOOD, strict=True)) | {"begin": f"2024-01-03 10:{minute:02}:00"} | changes
    return [row[name] for name in COLUMNS]


def test_numbers_are_taken_as_the_doubles_they_are() -> None:
    page = parse_candles(answer(GOOD), SERIES)

    candle = page.candles[0]
    assert (candle.open, candle.high, candle.low, candle.close) == (270.0, 271.5, 269.93, 271.0)
    assert (candle.volume, candle.value) == (4171150.0, 599770205.4000001)
    assert str(candle.timestamp) == "2024-01-03T07:00:00Z"
    assert not candle.is_final


def test_s4_columns_are_found_by_name_whatever_their_order_and_company() -> None:
    columns = ["end", *reversed(COLUMNS), "numtrades"]
    row = ["2024-01-03 10:00:59", *reversed(GOOD), 17]

    assert parse_candles(answer(row, columns=columns), SERIES).candles == parse_candles(answer(GOOD), SERIES).candles


def test_s4_a_missing_column_is_named() -> None:
    with pytest.raises(SourceSchemaError, match="no column volume"):
        parse_candles(answer([*GOOD[:5], 1], columns=["begin", "open", "high", "low", "close", "value"]), SERIES)


def test_another_block_in_place_of_candles_is_a_changed_schema() -> None:
    with pytest.raises(SourceSchemaError, match="securities in place of 'candles'"):
        parse_candles(b'{"securities": {"columns": [], "data": []}}', SERIES)


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>maintenance</body></html>",
        b'{"candles": {"columns": ["begin"',
        b'[{"charsetinfo": {"name": "utf-8"}}, {"indices": [{"error": "Error while acquiring data."}]}]',
        b'{"candles": [{"error": "Error while acquiring data."}]}',
        b"",
        b"null",
    ],
)
def test_s2_s3_what_is_no_answer_is_never_an_empty_one(body: bytes) -> None:
    with pytest.raises(SourceBadAnswerError):
        parse_candles(body, SERIES)


@pytest.mark.parametrize(
    "body",
    [
        b'[\n{"charsetinfo": {"name": "utf-8"}},\n{"indices": [\n{"error": "Error while acquiring data."}\n]}\n]',
        b'{"candles": [{"error": "Error while acquiring data."}]}',
        b'{"indices": [{"error": "Error while acquiring data."}]}',
    ],
    ids=["in a list", "in its place", "in another's place"],
)
def test_s2_an_error_inside_an_answer_is_quoted(body: bytes) -> None:
    with pytest.raises(SourceBadAnswerError, match=r"no table 'candles': 'Error while acquiring data\.'"):
        parse_candles(body, SERIES)


def test_metadata_and_the_exchanges_own_order_of_columns_do_not_matter() -> None:
    body = b"""{"candles": {
\t"metadata": {"open": {"type": "double"}, "begin": {"type": "datetime", "bytes": 19, "max_size": 0}},
\t"columns": ["open", "close", "high", "low", "value", "volume", "begin", "end"],
\t"data": [
\t\t[101, 101.5, 102, 100.5, 1015.0000000001, 10, "2014-06-09 10:00:00", "2014-06-09 10:59:10"]
\t]
}}"""

    [candle] = parse_candles(body, Series(SERIES.security, Timeframe.H1)).candles

    assert str(candle.timestamp) == "2014-06-09T06:00:00Z"
    assert (candle.open, candle.high, candle.low, candle.close) == (101, 102, 100.5, 101.5)
    assert (candle.volume, candle.value) == (10, 1015.0000000001)


@given(st.integers(0, len(answer(at(0), at(1), at(2))) - 1))
def test_s3_an_answer_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(SourceError):
        parse_candles(answer(at(0), at(1), at(2))[:length], SERIES)


@pytest.mark.parametrize(
    "changes",
    [
        {"open": None},
        {"close": ""},
        {"close": "271"},
        {"high": nan},
        {"high": inf},
        {"low": -inf},
        {"high": True},
        {"high": 269.95},
        {"low": 270.5},
        {"open": 272},
        {"volume": -1},
        {"value": nan},
        {"begin": "2024-01-03 10:01:30"},
    ],
)
def test_s15_s16_only_the_bad_row_is_rejected(changes: dict[str, object]) -> None:
    page = parse_candles(answer(at(0), at(1, **changes), at(2)), SERIES)

    assert [str(candle.timestamp) for candle in page.candles] == ["2024-01-03T07:00:00Z", "2024-01-03T07:02:00Z"]
    assert [row.begin for row in page.rejected] == [Timestamp.from_unix(unix_of("2024-01-03 10:01:00")).unix]
    assert page.raw_count == 3


_numbers = st.sampled_from([-1, -0.0, 0, 5e-324, 1e308, 10**400, 268.5, 271, 272.25])
_oddities = st.one_of(_numbers, st.sampled_from([None, "1", True]))
_minutes = [f"2024-01-03 10:0{minute}:00" for minute in range(6)]
_odd_begins = [
    "2024-01-03 10:00:30", "2014-10-26 01:30:00", "2011-03-27 02:30:00", "2024-02-30 10:00:00", "10:00",
    "2024-01-03 24:00:00", "2024-01-03 10:60:00", "2024-01-03 1\u0663:00:00", "2024-01-03 10:0/:00",
    "1014-01-03 10:00:00",
]  # fmt: skip


def _rows(begins: st.SearchStrategy[str], values: st.SearchStrategy[object]) -> st.SearchStrategy[list[list[object]]]:
    changes = st.dictionaries(st.sampled_from(COLUMNS[1:]), values, max_size=1)
    return st.lists(st.builds(lambda begin, more: at(0, begin=begin, **more), begins, changes), max_size=6)


_nearly_tidy = _rows(st.just(_minutes[0]), _numbers).map(
    lambda rows: [[_minutes[n], *r[1:]] for n, r in enumerate(rows)]
)
_untidy = _rows(st.sampled_from(_minutes + _odd_begins), _oddities)


@given(_nearly_tidy | _untidy)
def test_columns_are_read_as_rows_are(rows: list[list[object]]) -> None:
    in_order, otherwise = (
        _outcome(answer(*(row[::step] for row in rows), columns=COLUMNS[::step])) for step in (1, -1)
    )

    assert in_order == otherwise


def _outcome(body: bytes) -> object:
    try:
        page = parse_candles(body, SERIES)
    except SourceError as error:
        return type(error)
    return page.candles, [(row.begin, row.reason) for row in page.rejected], page.raw_count, page.conflicts


def test_negative_prices_are_legal() -> None:
    page = parse_candles(answer(at(0, open=-37.6, high=-10, low=-40.3, close=-37.6)), SERIES)

    assert page.candles[0].low == -40.3
    assert not page.rejected


@pytest.mark.parametrize(
    "begin",
    ["", "yesterday", "2024-01-03", "2024-01-03T10:00:00", "2024-01-03Ж10:00:00", "2010-03-28 02:30:00", None, 7],
)
def test_a_row_without_a_readable_begin_spoils_the_answer(begin: object) -> None:
    with pytest.raises(SourceBadAnswerError):
        parse_candles(answer(at(0), at(1, begin=begin)), SERIES)


def test_s5_s17_rows_are_sorted_and_equal_repeats_folded() -> None:
    page = parse_candles(answer(at(2), at(0), at(2), at(1)), SERIES)

    assert page.candles == parse_candles(answer(at(0), at(1), at(2)), SERIES).candles
    assert page.conflicts == 0
    assert page.raw_count == 4


def test_s5_of_two_values_for_one_candle_the_later_row_wins_and_is_counted() -> None:
    page = parse_candles(answer(at(0), at(1), at(1, volume=7)), SERIES)

    assert page.candles[1].volume == 7
    assert page.conflicts == 1


def test_longer_bars_begin_on_their_day() -> None:
    weekly = Series(SERIES.security, Timeframe.W1)
    monday, tuesday = at(0, begin="2024-01-08 00:00:00"), at(0, begin="2024-01-16 00:00:00")

    page = parse_candles(answer(monday, tuesday), weekly)

    assert len(page.candles) == 1
    assert page.rejected[0].reason == "no W1 bar begins there"


def test_bars_of_another_interval_are_no_answer() -> None:
    hourly = Series(SERIES.security, Timeframe.H1)

    with pytest.raises(SourceBadAnswerError, match="are no H1 bars"):
        parse_candles(answer(*(at(number) for number in range(9))), hourly)


@pytest.mark.parametrize("begin", ["0000-00-00 00:00:00", "0001-01-01 00:00:00", "9999-12-31 23:59:00"])
def test_impossible_dates_are_no_answer(begin: str) -> None:
    with pytest.raises((SourceBadAnswerError, ArithmeticError, ValueError)):  # the client makes one error of them
        parse_candles(answer(at(0), at(1, begin=begin)), SERIES)


def test_borders_reach_to_the_end_of_the_last_slot() -> None:
    body = {
        "borders": {
            "columns": ["begin", "end", "interval"],
            "data": [
                ["2011-12-15 10:00:00", "2021-03-18 13:59:00", 1],
                ["2010-01-11 00:00:00", "2024-01-03 00:00:00", 24],
            ],
        },
        "durations": {"columns": [], "data": []},
    }

    borders = parse_borders(json.dumps(body).encode())

    assert str(borders[Timeframe.M1]) == "[2011-12-15T06:00:00Z, 2021-03-18T11:00:00Z)"
    assert str(borders[Timeframe.D1]) == "[2010-01-10T21:00:00Z, 2024-01-03T21:00:00Z)"


def test_a_card_is_read_for_each_board() -> None:
    description = [["NAME", "Полное", "Сбербанк России ПАО ао"], ["ISIN", "ISIN код", "RU0009029540"]]
    boards = [
        ["TQBR", "stock", "shares", 1, 1, 2, "2013-03-25", "2026-11-20"],
        ["SMAL", "stock", "shares", 0, 0, 2, None, None],
    ]
    names = ["boardid", "engine", "market", "is_traded", "is_primary", "decimals", "listed_from", "listed_till"]
    body = {
        "description": {"columns": ["name", "title", "value"], "data": description},
        "boards": {"columns": names, "data": boards},
    }

    primary, odd_lots = parse_cards(json.dumps(body).encode(), "SBER")

    assert (str(primary.security), primary.engine, primary.market, primary.isin) == (
        "TQBR:SBER",
        "stock",
        "shares",
        "RU0009029540",
    )
    assert primary.is_primary
    assert not odd_lots.is_traded
    assert odd_lots.listed_from is None
