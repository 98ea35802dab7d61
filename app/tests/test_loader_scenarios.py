"""Paths of the loader model that once mattered, walked on purpose: what chance finds sometimes, these find always."""

from collections.abc import Iterator

import pytest

from app.repository.memory import MemoryStorage
from app.tests.test_loader_model import LAST, LoaderMachine


@pytest.fixture
def machine() -> Iterator[LoaderMachine]:
    """A hundred minutes have traded, the next one is forming; in the end one honest load heals everything."""
    machine = LoaderMachine(MemoryStorage)
    machine.begin(100, silent=0)
    yield machine
    machine.teardown()


def load(machine: LoaderMachine, length: int = LAST, *, fate: str = "lives") -> None:
    machine.load(0, length, 3, fate, 1)
    machine.covered_means_stored_final_and_true()


@pytest.mark.parametrize("fate", ["before_commit", "after_commit"])
def test_a_death_leaves_nothing_covered_that_is_not_stored(machine: LoaderMachine, fate: str) -> None:
    load(machine, 30, fate=fate)


def test_the_last_minute_of_a_source_that_lags_is_not_believed(machine: LoaderMachine) -> None:
    machine.the_source_lags(20)
    load(machine)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_silence_is_not_believed_of_a_source_that_traded(machine: LoaderMachine, times: int) -> None:
    machine.the_source_answers_nothing(times)
    load(machine, 30)
