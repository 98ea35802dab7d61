"""Questions that are asked together: each is answered as if it had been asked alone, and later than it was put."""

import asyncio
from collections.abc import Sequence

import pytest

from app.repository.sql.gathering import Gathering


class Slow:
    """Answers a batch when told to, with what is true when it is asked."""

    def __init__(self) -> None:
        self.truth = 0
        self.batches: list[list[str]] = []
        self.gates: list[asyncio.Future[None]] = []

    async def ask(self, questions: Sequence[str]) -> Sequence[str]:
        self.batches.append([*questions])
        truth = self.truth
        self.gates.append(asyncio.get_running_loop().create_future())
        await self.gates[-1]
        return [f"{question}{truth}" for question in questions]


async def until(slow: Slow, batches: int) -> None:
    async with asyncio.timeout(60):
        while len(slow.gates) < batches:  # noqa: ASYNC110  # a turn of the loop, not a time
            await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)


async def test_who_comes_while_a_batch_is_on_its_way_goes_with_the_next() -> None:
    slow = Slow()
    gathering = Gathering(slow.ask, at_once=1)

    first = asyncio.create_task(gathering("a"))
    await until(slow, 1)
    slow.truth = 1
    later = [asyncio.create_task(gathering(name)) for name in "bcd"]
    await asyncio.sleep(0)
    slow.gates[0].set_result(None)
    await until(slow, 2)
    slow.gates[1].set_result(None)

    assert [await first, *[await each for each in later]] == ["a0", "b1", "c1", "d1"]
    assert [sorted(batch) for batch in slow.batches] == [["a"], ["b", "c", "d"]]


async def test_an_error_is_everybodys_and_nobodys_afterwards() -> None:
    asked: list[Sequence[int]] = []

    async def fail_once(questions: Sequence[int]) -> Sequence[int]:
        asked.append(questions)
        await asyncio.sleep(0)
        if 0 in questions:
            raise ZeroDivisionError
        return questions

    gathering = Gathering(fail_once, at_once=1)
    found = await asyncio.gather(*(gathering(n) for n in (5, 0, 1)), return_exceptions=True)

    assert [type(each) for each in found] == [ZeroDivisionError] * 3
    assert await gathering(7) == 7
    assert asked == [[5, 0, 1], [7]]


@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_whoever_gives_up_takes_nobody_along(cancelled: int) -> None:
    slow = Slow()
    gathering = Gathering(slow.ask, at_once=1)
    tasks = [asyncio.create_task(gathering("a"))]
    await until(slow, 1)
    tasks += [asyncio.create_task(gathering(name)) for name in "bc"]
    await asyncio.sleep(0)

    tasks[cancelled].cancel()
    slow.gates[0].cancel() if cancelled == 0 else slow.gates[0].set_result(None)
    await until(slow, 2)
    slow.gates[1].set_result(None)
    async with asyncio.timeout(60):
        found = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(found[cancelled], asyncio.CancelledError)
    assert [each for n, each in enumerate(found) if n != cancelled] == (
        [f"{name}0" for n, name in enumerate("abc") if n != cancelled]
    )


async def test_who_is_woken_to_ask_and_gives_up_hands_on() -> None:
    slow = Slow()
    gathering = Gathering(slow.ask, at_once=1)
    first = asyncio.create_task(gathering("a"))
    await until(slow, 1)
    second, third = (asyncio.create_task(gathering(name)) for name in "bc")
    await asyncio.sleep(0)

    slow.gates[0].set_result(None)
    while not first.done():
        await asyncio.sleep(0)
        second.cancel()
    await until(slow, 2)
    slow.gates[1].set_result(None)

    async with asyncio.timeout(60):
        assert await third == "c0"
    assert second.cancelled()
