"""The text of answers."""

import json

import pytest

from app.simulator.iss import Block, Column, Style, number, render

NAMES = Block.of("names", [Column("id", "int32"), Column("name")], [(1, "A, B"), (2, 'C "100%" D/E'), (3, None)])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (543374940.0, "543374940"),
        (599770205.4000001, "599770205.4000001"),
        (0.0329, "0.0329"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers_are_as_short_as_they_go(value: float, text: str) -> None:
    assert number(value) == text


def test_texts_with_commas_stay_whole_in_every_form() -> None:
    extended = json.loads(render([NAMES], Style(meta=False, extended=True)))
    chosen = json.loads(render([NAMES], Style(meta=False, columns={"names": ["NAME"]})))

    assert extended[1]["names"][0] == {"id": 1, "name": "A, B"}
    assert chosen["names"]["data"] == [["A, B"], ['C "100%" D/E'], [None]]


def test_data_may_be_left_out() -> None:
    answer = json.loads(render([NAMES], Style(data=False)))

    assert list(answer["names"]) == ["metadata", "columns"]


def test_only_the_blocks_asked_for_are_written() -> None:
    assert json.loads(render([NAMES], Style(only=frozenset({"others"})))) == {}
