"""The same work wanted by many at once."""

import asyncio
from collections.abc import Sequence

import pytest

from app.answers.flights import Flights


class Work:
    """Something that takes until it is told to go on."""

    def __init__(self, *outcomes: object) -> None:
        self.outcomes = iter(outcomes)
        self.begun = 0
        self.goes_on = asyncio.Event()

    async def __call__(self) -> object:
        self.begun += 1
        await self.goes_on.wait()
        outcome = next(self.outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def started(flights: Flights[object], work: Work, times: int) -> Sequence[asyncio.Task[object]]:
    tasks = [asyncio.create_task(flights.run("key", work)) for _ in range(times)]
    await turns()
    return tasks


async def turns() -> None:
    """Let everybody go on as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_many_want_is_made_once() -> None:
    flights, work = Flights[object](), Work("made")
    tasks = await started(flights, work, 200)
    work.goes_on.set()

    assert await asyncio.gather(*tasks) == ["made"] * 200
    assert work.begun == 1
    assert not flights.under_way("key")


async def test_what_is_wanted_later_is_made_anew() -> None:
    flights, work = Flights[object](), Work("first", "second")
    work.goes_on.set()

    assert [await flights.run("key", work), await flights.run("key", work)] == ["first", "second"]


async def test_other_keys_are_made_beside_it() -> None:
    flights, slow, quick = Flights[object](), Work(), Work("quick")
    (task,) = await started(flights, slow, 1)
    quick.goes_on.set()

    assert await flights.run("another", quick) == "quick"
    task.cancel()


@pytest.mark.parametrize(("cancelled", "made"), [([0], 2), ([0, 1], 3), ([0, 1, 2], 4), ([1], 1), ([0, 2], 2)])
async def test_who_is_cancelled_takes_nobody_along(cancelled: list[int], made: int) -> None:
    flights, work = Flights[object](), Work("made")
    tasks = await started(flights, work, 5)
    for number in cancelled:
        tasks[number].cancel()
        await turns()
    work.goes_on.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert [outcome == "made" for outcome in outcomes] == [number not in cancelled for number in range(5)]
    assert work.begun == made
    assert not flights.under_way("key")


async def test_a_failure_is_everybodys_at_once_and_is_not_kept() -> None:
    flights, work = Flights[object](), Work(OSError("gone"), "made")
    tasks = await started(flights, work, 50)
    flight = flights.under_way("key")
    work.goes_on.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert {str(outcome) for outcome in outcomes} == {"gone"}
    assert flight is not None
    assert await flights.outcome(flight) == []
    assert work.begun == 1
    assert await flights.run("key", work) == "made"


async def test_who_waits_for_the_outcome_makes_nothing() -> None:
    flights, work = Flights[object](), Work("made")
    assert flights.under_way("key") is None
    (task,) = await started(flights, work, 1)
    flight = flights.under_way("key")
    assert flight is not None
    waiting = [asyncio.create_task(flights.outcome(flight)) for _ in range(2)]
    await turns()
    waiting[0].cancel()
    work.goes_on.set()

    assert await task == "made"
    assert await waiting[1] == await flights.outcome(flight) == ["made"]


async def test_the_outcome_of_what_is_given_up_is_nothing() -> None:
    flights = Flights[object]()
    (task,) = await started(flights, Work(), 1)
    flight = flights.under_way("key")
    task.cancel()

    assert flight is not None
    assert await flights.outcome(flight) == []
