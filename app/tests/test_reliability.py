"""docs/reliability.md names the tests there are, and all of them."""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parents[1] / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = [f"{part}{number}" for part, count in (("S", 25), ("T", 5), ("B", 13)) for number in range(1, count + 1)]


def told() -> Mapping[str, set[str]]:
    """The tests that the table names, by row."""
    rows = re.findall(r"^\| ([STB]\d+) \| .* \| (.*) \|$", PAGE, re.MULTILINE)
    return {row: set(re.findall(r"`([^`]+)`", tests)) for row, tests in rows}


def existing() -> Mapping[str, set[str]]:
    """The tests there are, by the rows in their names."""
    found = defaultdict(set)
    for file in TESTS.rglob("test_*.py"):
        text = file.read_text(encoding="utf-8")
        for name, rows in re.findall(r"^(?:async )?def (test_((?:[a-z]\d+_)+)\w+)\(", text, re.MULTILINE):
            for row in rows.upper().strip("_").split("_"):
                found[row].add(f"{file.relative_to(TESTS).as_posix()}::{name}")
    return found


def test_every_row_stands_in_the_table_once() -> None:
    assert re.findall(r"^\| ([A-Z]\d+) \|", PAGE, re.MULTILINE) == ROWS


@pytest.mark.parametrize("row", ROWS)
def test_a_row_names_the_tests_there_are(row: str) -> None:
    assert told()[row] == existing().get(row, set())


def test_a_row_without_a_test_says_so() -> None:
    silent = re.findall(r"^\| (\w+) \| .* \| not yet \|$", PAGE, re.MULTILINE)

    assert silent == [row for row in ROWS if row not in existing()]


def test_the_rows_of_other_parts_that_have_tests_are_listed() -> None:
    listed = re.findall(r"\b[DAN]\d+\b", PAGE.rpartition("already:")[2])

    assert set(listed) == {row for row in existing() if re.fullmatch(r"[DAN]\d+", row)}
