"""Who is let in next."""

import asyncio
from contextlib import AsyncExitStack

from app.core.urgency import in_background
from app.market_data_adapter.line import Line


class Visitors:
    """Those who want in, each a task of its own; `came` tells in which order they were let in."""

    def __init__(self, line: Line) -> None:
        self.came: list[str] = []
        self._line = line

    def send(self, name: str, *, background: bool) -> "asyncio.Task[None]":
        async def visit() -> None:
            in_background.set(background)
            async with self._line:
                self.came.append(name)

        return asyncio.create_task(visit())


async def test_people_pass_those_for_whom_nobody_waits_and_otherwise_who_came_first_goes_first() -> None:
    line = Line(1)
    visitors = Visitors(line)
    async with line:
        tasks = [visitors.send(name, background=name[0] == "b") for name in ("b1", "b2", "p1", "b3", "p2")]
        await asyncio.sleep(0)

    await asyncio.gather(*tasks)

    assert visitors.came == ["p1", "p2", "b1", "b2", "b3"]


async def test_no_more_are_in_than_there_are_places_and_who_gives_up_takes_none() -> None:
    line = Line(2)
    visitors = Visitors(line)
    async with AsyncExitStack() as first:
        await first.enter_async_context(line)
        async with line:
            waits, gives_up, late = (visitors.send(name, background=False) for name in ("waits", "gives up", "late"))
            await asyncio.sleep(0)
            gives_up.cancel()
            await asyncio.sleep(0)
            assert visitors.came == []
        await asyncio.gather(waits, late)

    assert visitors.came == ["waits", "late"]
    async with line, line:
        pass


async def test_a_place_that_was_given_to_who_is_cancelled_goes_to_the_next() -> None:
    line = Line(1)
    visitors = Visitors(line)
    async with line:
        called, following = (visitors.send(name, background=False) for name in ("called", "following"))
        await asyncio.sleep(0)
    called.cancel()  # it has the place by now, and does not know

    await following

    assert called.cancelled()
    assert visitors.came == ["following"]
