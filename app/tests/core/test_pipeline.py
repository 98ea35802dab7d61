import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from app.core.pipeline import pump
from app.tests.tasks.waiting import eventually


class Numbered:
    """A source of `(name, 0), (name, 1) ...` that takes its time and may fail."""

    def __init__(self, name: int, length: int, chance: random.Random, fails_at: int | None = None) -> None:
        self.name, self.length, self.chance, self.fails_at = name, length, chance, fails_at
        self.given = 0
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[tuple[int, int]]:
        try:
            for number in range(self.length):
                await asyncio.sleep(self.chance.random() / 1000)
                if number == self.fails_at:
                    raise KeyError(self.name)
                self.given += 1
                yield self.name, number
        finally:
            self.is_closed = True


@pytest.mark.parametrize("seed", range(5))
async def test_items_of_one_source_arrive_in_order_one_at_a_time_and_sources_run_in_parallel(seed: int) -> None:
    chance = random.Random(seed)
    arrived: list[tuple[int, int]] = []
    busy: set[int] = set()
    peak = 0

    async def sink(item: tuple[int, int]) -> None:
        nonlocal peak
        assert item[0] not in busy
        busy.add(item[0])
        peak = max(peak, len(busy))
        await asyncio.sleep(chance.random() / 1000)
        arrived.append(item)
        busy.remove(item[0])

    failures = await pump([Numbered(name, 20, chance) for name in range(7)], sink, workers=3, depth=2)

    assert failures == {}
    assert sorted(arrived) == [(name, number) for name in range(7) for number in range(20)]
    for name in range(7):
        assert [number for source, number in arrived if source == name] == list(range(20))
    assert 3 <= peak <= 2 * 3  # three are read, the last items of three others may be on their way


async def test_a_lane_reads_on_while_the_last_items_of_one_source_are_on_their_way_but_of_one_only() -> None:
    sources = [Numbered(name, 2, random.Random(name)) for name in range(3)]
    may_go_on = asyncio.Event()

    async def sink(item: tuple[int, int]) -> None:
        await may_go_on.wait()

    pumping = asyncio.create_task(pump(sources, sink, workers=1, depth=2))
    await eventually(lambda: sources[1].given == 2)
    await asyncio.sleep(0.01)
    assert [source.given for source in sources] == [2, 2, 0]
    may_go_on.set()
    assert await pumping == {}
    assert [source.given for source in sources] == [2, 2, 2]


async def test_a_full_queue_holds_its_producer_back() -> None:
    source = Numbered(0, 50, random.Random(0))
    ahead = 0

    async def slow(item: tuple[int, int]) -> None:
        nonlocal ahead
        await asyncio.sleep(0.002)
        ahead = max(ahead, source.given - item[1])

    await pump([source], slow, workers=1, depth=2)

    assert ahead <= 2 + 2  # what waits, what is in hand, what waits for a place


async def test_a_tolerated_failure_ends_its_own_source_only() -> None:
    chance = random.Random(1)
    sources = [Numbered(name, 5, chance, fails_at=3 if name == 1 else None) for name in range(4)]
    arrived = []

    async def sink(item: tuple[int, int]) -> None:
        if item == (2, 4):
            raise KeyError(2)
        arrived.append(item)

    failures = await pump(sources, sink, workers=2, depth=1, tolerate=(KeyError,))

    assert {position: error.args for position, error in failures.items()} == {1: (1,), 2: (2,)}
    assert sorted(arrived) == [
        (name, number) for name in range(4) for number in range(5) if number < {1: 3, 2: 4}.get(name, 5)
    ]


async def test_what_a_source_gave_before_it_failed_still_arrives() -> None:
    arrived = []

    async def slow(item: tuple[int, int]) -> None:
        await asyncio.sleep(0.005)
        arrived.append(item)

    failures = await pump(
        [Numbered(0, 9, random.Random(0), fails_at=4)], slow, workers=1, depth=2, tolerate=(KeyError,)
    )

    assert list(failures) == [0]
    assert arrived == [(0, number) for number in range(4)]


async def test_any_other_failure_cancels_everything_and_is_raised() -> None:
    sources = [Numbered(name, 10_000, random.Random(name)) for name in range(3)]

    async def sink(item: tuple[int, int]) -> None:
        if item == (1, 4):
            raise ValueError("the sink broke")

    with pytest.raises(ExceptionGroup) as caught:
        await pump(sources, sink, workers=3, depth=1, tolerate=(KeyError,))

    assert caught.group_contains(ValueError, match="the sink broke")
    assert all(source.is_closed for source in sources)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
