"""What is kept for a while."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answers.shelf import Shelf


@dataclass(frozen=True)
class Thing:
    size: int


@dataclass(frozen=True)
class AnotherThing:
    size: int


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3000), st.booleans())))
def test_all_of_it_stays_within_its_bytes(steps: list[tuple[str, int, bool]]) -> None:
    shelf = Shelf(5000, 60)
    for key, size, is_asked in steps:
        shelf.keep(key, Thing(size))
        assert shelf.find(key, Thing) == Thing(size)
        if is_asked:
            shelf.find("a", Thing)

        found = [shelf.find(key, Thing) for key in "abcdef"]
        assert shelf.size == sum(400 + thing.size for thing in found if thing) <= 5000


def test_what_was_used_longest_ago_goes_first() -> None:
    shelf = Shelf(3 * 1400, 60)
    for key in "abc":
        shelf.keep(key, Thing(1000))
    shelf.find("a", Thing)
    shelf.keep("d", Thing(1000))

    assert [key for key in "abcd" if shelf.find(key, Thing)] == ["a", "c", "d"]


@pytest.mark.parametrize("capacity", [0, 1399])
def test_what_does_not_fit_pushes_nothing_out(capacity: int) -> None:
    shelf = Shelf(capacity, 60)
    shelf.keep("small", Thing(0))
    before = shelf.find("small", Thing)
    shelf.keep("large", Thing(1000))

    assert shelf.find("large", Thing) is None
    assert shelf.find("small", Thing) == before


def test_nothing_outlives_its_time_however_often_it_is_asked_for() -> None:
    clock = Clock()
    shelf = Shelf(10_000, 60, now=clock)
    shelf.keep("a", Thing(1))
    for clock.now in range(60):
        assert shelf.find("a", Thing) == Thing(1)
    clock.now = 60

    assert shelf.find("a", Thing) is None
    assert shelf.size == 0


def test_a_thing_of_another_kind_is_not_given() -> None:
    shelf = Shelf(10_000, 60)
    shelf.keep("a", Thing(1))

    assert shelf.find("a", AnotherThing) is None
