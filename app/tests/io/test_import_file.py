import pytest

from app.core.entities import Security, Timeframe
from app.core.errors import InputError
from app.io.import_file import BadLine, Entry, read_entries
from app.tests.builders import GAZP, SBER


def securities(text: str) -> list[Security | str]:
    return [entry.security for entry in read_entries(text) if isinstance(entry, Entry)]


def test_plain_lines_name_a_board_or_none() -> None:
    text = "SBER TQBR\n\n# shares\ntqbr:gazp\nGAZP\tTQBR\nLKOH\n"

    assert securities(text) == [SBER, GAZP, GAZP, "LKOH"]
    assert [entry.line for entry in read_entries(text)] == [1, 4, 5, 6]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_csv_takes_its_columns_in_any_order(mark: str) -> None:
    text = f"\ufeffboard{mark}Ticker{mark}since\r\nTQBR{mark}SBER{mark}2024-01-03\r\n{mark}GAZP{mark}all\r\n"

    first, second = read_entries(text)

    assert isinstance(first, Entry)
    assert isinstance(second, Entry)
    assert (first.security, str(first.since)) == (SBER, "2024-01-02T21:00:00Z")
    assert (second.security, second.since) == ("GAZP", "all")


def test_a_csv_cell_may_list_timeframes() -> None:
    [entry] = read_entries('ticker,timeframes\nSBER,"H1, D1"\n')

    assert isinstance(entry, Entry)
    assert entry.timeframes == [Timeframe.H1, Timeframe.D1]


def test_a_bad_line_is_told_by_its_number_and_stops_nobody_else() -> None:
    text = (
        "ticker,board,timeframes,since\nSBER,TQBR,,\nСБЕР,TQBR,,\nGAZP,TQBR,M7,\nGAZP,TQBR,,long ago\nA,B,C,D,E\nGAZP\n"
    )

    entries = read_entries(text)

    assert [(entry.line, entry.error.field) for entry in entries if isinstance(entry, BadLine)] == [
        (3, "ticker"), (4, "timeframes"), (5, "since"), (6, "file"),
    ]  # fmt: skip
    assert securities(text) == [SBER, "GAZP"]
    [bad] = read_entries("SBER TQBR H1 2024-01-03")
    assert isinstance(bad, BadLine)


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(InputError, match="timeframe"):
        read_entries("ticker,timeframe\nSBER,H1\n")


def test_an_empty_file_names_nothing() -> None:
    assert read_entries("\n# nothing\n") == []
