"""Lists of splits and renames, as they come and as they should not."""

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.corporate_actions import ListedSplit, Rename
from app.core.errors import SourceBadAnswerError, SourceSchemaError
from app.market_data_adapter.parsing_actions import parse_renames, parse_splits

SPLITS = ("tradedate", "secid", "before", "after")
RENAMES = ("action_date", "old_secid", "new_secid")
CELLS = st.none() | st.integers() | st.floats() | st.text(max_size=10)


def answer(block: str, columns: tuple[str, ...], *rows: tuple[object, ...]) -> bytes:
    return json.dumps({block: {"columns": columns, "data": rows}}).encode()


def test_splits_and_consolidations_are_shares_after_by_shares_before() -> None:
    listed = parse_splits(answer("splits", SPLITS, ("2025-03-27", "PLZL", 1, 10), ("2024-07-15", "VTBR", 5000, 1)))

    assert listed.rows == [ListedSplit("PLZL", date(2025, 3, 27), 10), ListedSplit("VTBR", date(2024, 7, 15), 0.0002)]
    assert listed.skipped == []


def test_service_rows_are_splits_of_tickers_nobody_has() -> None:
    listed = parse_splits(
        answer(
            "splits",
            SPLITS,
            ("2024-04-08", "FIXGMKN", 1, 100),
            ("2022-08-25", "TSLA-RM", 1, 3),
            ("2024-01-01", "RU000A0JR2C1", 1, 2),
        )
    )

    assert [split.ticker for split in listed.rows] == ["FIXGMKN", "TSLA-RM", "RU000A0JR2C1"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (("0000-00-00", "GMKN", 1, 100), "0000-00-00"),
        ((None, "GMKN", 1, 100), "fromisoformat"),
        (("2024-04-08", None, 1, 100), "no ticker"),
        (("2024-04-08", " ", 1, 100), "no ticker"),
        (("2024-04-08", "GMKN", 0, 100), "division by zero"),
        (("2024-04-08", "GMKN", 1, 0), "positive"),
        (("2024-04-08", "GMKN", -1, -2), "positive"),
        (("2024-04-08", "GMKN", None, 1), "unsupported operand"),
        (("2024-04-08", "GMKN", "1", 1), "unsupported operand"),
        (("2024-04-08", "GMKN", 5e-324, 1e308), "positive"),
        (("2024-04-08", "GMKN", 7, 7), "as many shares"),
    ],
)
def test_a_bad_row_is_skipped_with_a_reason_and_the_others_are_read(row: tuple[object, ...], why: str) -> None:
    listed = parse_splits(answer("splits", SPLITS, row, ("2025-03-27", "PLZL", 1, 10)))

    assert [split.ticker for split in listed.rows] == ["PLZL"]
    [skipped] = listed.skipped
    assert why in skipped


def test_columns_are_read_by_name_and_more_of_them_do_not_matter() -> None:
    listed = parse_renames(
        answer("changeover", ("new_secid", "action_date", "comment", "old_secid"), ("T", "2024-11-28", None, "tcsg"))
    )

    assert listed.rows == [Rename("TCSG", "T", date(2024, 11, 28))]


@pytest.mark.parametrize(
    "row",
    [
        ("2024-11-28", "T", "T"),
        ("2024-11-28", "", "T"),
        ("soon", "TCSG", "T"),
        ("2024-11-28", 7, "T"),
        ("2024-01-01", "RU000A1054321", "XXXXXX"),
    ],
)
def test_a_rename_that_is_none_is_skipped(row: tuple[object, ...]) -> None:
    assert (parse_renames(answer("changeover", RENAMES, row)).rows, len(parse_renames(
        answer("changeover", RENAMES, row)).skipped)) == ([], 1)  # fmt: skip


def test_of_a_ticker_and_a_day_the_later_row_counts() -> None:
    again = answer("splits", SPLITS, ("2025-03-27", "PLZL", 1, 100), ("2025-03-27", "PLZL", 1, 10))

    assert parse_splits(again).rows == [ListedSplit("PLZL", date(2025, 3, 27), 10)]


def test_a_list_without_a_needed_column_is_another_schema() -> None:
    with pytest.raises(SourceSchemaError, match="after"):
        parse_splits(answer("splits", SPLITS[:-1]))
    with pytest.raises(SourceSchemaError, match="changeover"):
        parse_renames(answer("history", RENAMES))


@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), max_size=5))
def test_whatever_comes_nothing_but_our_errors_comes_out(rows: list[tuple[object, ...]]) -> None:
    try:
        listed = parse_splits(answer("splits", SPLITS, *rows))
    except SourceBadAnswerError:
        return

    assert len(listed.rows) + len(listed.skipped) <= len(rows)
