import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.date_time import Timestamp
from app.core.entities import Security, Timeframe
from app.core.errors import InputError
from app.io.parameters import YEARS, parse_moment, parse_security, parse_since, parse_timeframe

NEW_YEAR = "2023-12-31T21:00:00Z"


@pytest.mark.parametrize("text", ["TQBR:SBER", "tqbr:sber", " TQBR:SBER ", "TQBR: SBER", "ＴＱＢＲ:ＳＢＥＲ"])
def test_a_security_is_read_as_board_and_ticker(text: str) -> None:
    assert parse_security(text) == Security("SBER", "TQBR")


def test_ticker_and_board_may_come_apart() -> None:
    assert parse_security("su26238rmfs4", "tqob") == Security("SU26238RMFS4", "TQOB")


@pytest.mark.parametrize(
    "text", ["", "SBER", ":", "TQBR:", ":SBER", "TQBR:SB ER", "TQBR:СБЕР", "TQBR:A/..", "A:" + "B" * 52]
)
def test_what_is_no_security_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"TQBR") as refusal:
        parse_security(text)

    assert refusal.value.field == "security"


def test_a_board_given_twice_is_refused() -> None:
    with pytest.raises(InputError):
        parse_security("TQBR:SBER", "TQBR")


@pytest.mark.parametrize(
    ("texts", "timeframe"),
    [
        ("M1 m1 1m 1min 1Min 1", Timeframe.M1),
        ("M5 m5 5m 5min 5", Timeframe.M5),
        ("M10 m10 10m 10min 10", Timeframe.M10),
        ("M15 15m 15min 15", Timeframe.M15),
        ("M30 30m 30Min 30", Timeframe.M30),
        ("H1 h1 1h 1H 60min 60", Timeframe.H1),
        ("H2 2h 120m 120min 120", Timeframe.H2),
        ("H4 h4 4H 240min 240", Timeframe.H4),
        ("D1 1d 1D 24h D", Timeframe.D1),
        ("W1 1w 1W 7d", Timeframe.W1),
        ("MN1 mn1 1M 1mo 1month", Timeframe.MN1),
        ("Q1 1q 1Q", Timeframe.Q1),
    ],
)
def test_a_timeframe_has_many_names(texts: str, timeframe: Timeframe) -> None:
    assert {parse_timeframe(text) for text in texts.split()} == {timeframe}


@pytest.mark.parametrize("text", ["", "M", "m", "10M", "60M", "5M", "30M", "24", "7", "31", "4", "M2", "1 h", "²"])
def test_a_timeframe_that_can_be_misread_is_refused_with_the_list(text: str) -> None:
    with pytest.raises(InputError, match="M1, M5, M10, M15, M30, H1, H2, H4, D1, W1, MN1, Q1"):
        parse_timeframe(text)


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01",
        "2024-01-01T00:00",
        "2024-01-01 00:00:00",
        "2024-01-01T00:00:00.000",
        "2024-01-01T00:00:00+03:00",
        "2024-01-01T00:00:00+0300",
        "2023-12-31T21:00:00Z",
        "2023-12-31t21:00:00z",
        "1704056400",
        "1704056400000",
        " 2024-01-01 ",
    ],
)
def test_a_moment_is_read_in_many_forms(text: str) -> None:
    assert str(parse_moment(text, "from")) == NEW_YEAR


def test_moscow_was_not_always_three_hours_ahead() -> None:
    assert str(parse_moment("2013-06-01T10:00", "from")) == "2013-06-01T06:00:00Z"


def test_of_a_repeated_hour_the_first_is_meant() -> None:
    assert str(parse_moment("2014-10-26T01:30", "from")) == "2014-10-25T21:30:00Z"


def test_a_bare_date_as_the_end_means_through_that_day() -> None:
    assert str(parse_moment("2023-12-31", "till", is_end=True)) == NEW_YEAR


@pytest.mark.parametrize("text", ["2024-01-01T00:00", "2023-12-31T21:00:00Z", "1704056400"])
def test_a_time_as_the_end_is_that_time(text: str) -> None:
    assert str(parse_moment(text, "till", is_end=True)) == NEW_YEAR


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2010-03-28T02:30", "never happened"),
        ("2024-02-30", "day"),
        ("2024-01-01T25:00", "hour"),
        ("2024-01-01T10:00+99:00", "offset|is no moment"),
        ("1989-12-31", "years 1990 to 2100"),
        ("2101-01-01", "years 1990 to 2100"),
        ("0001-01-01", "is no moment"),
        ("9999-12-31T23:59:59-14:00", "is no moment"),
        ("20240103", "years 1990 to 2100"),
        ("-1", "years 1990 to 2100"),
        ("99999999999999999999999", "is no moment"),
        ("9" * 5000, "is no moment"),
        ("2024-01-01T10:00:00 03:00", "lost the [+]"),
        ("", "is no moment"),
        ("yesterday", "is no moment"),
        ("2024-W01-1", "is no moment"),
        ("20240101T100000", "is no moment"),
        ("٢٠٢٤-٠١-٠١", "is no moment"),
    ],
)
def test_what_is_no_moment_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refusal:
        parse_moment(text, "from")

    assert refusal.value.field == "from"
    assert len(str(refusal.value)) < 400


@given(st.text(max_size=40))
def test_any_text_is_a_moment_of_our_years_or_an_input_error(text: str) -> None:
    try:
        moment = parse_moment(text, "from")
    except InputError:
        return
    assert moment.moscow.year in YEARS


@given(st.integers(662_688_000_000_000, 4_133_960_000_000_000))  # 1991 to 2100
def test_what_we_write_reads_back(microseconds: int) -> None:
    moment = Timestamp.from_microseconds(microseconds)

    assert parse_moment(str(moment), "from") == moment


def test_since_may_be_all() -> None:
    assert parse_since(" All ") == "all"
    assert str(parse_since("2024-01-01")) == NEW_YEAR
    with pytest.raises(InputError, match="or all"):
        parse_since("everything")
