"""Bounded producers and consumers: the one owner of `asyncio.Queue`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _End:
    """Marks the end of a source in its queue, and says what ended it."""

    failure: Exception | None = None


async def pump(
    sources: Iterable[AsyncIterable[Item]],
    sink: Callable[[Item], Awaitable[None]],
    *,
    workers: int,
    depth: int,
    tolerate: tuple[type[Exception], ...] = (),
) -> dict[int, Exception]:
    """Move every item of every source into the sink.

    Items of one source reach the sink in order, one at a time; up to `workers` sources are read at once, each with at
    most `depth` items waiting: a full queue holds its producer back. While the last items of a source are on their way
    the next one is read, but not the one after it.

    What a source gave before it failed still reaches the sink. A failure of a tolerated kind, raised by a source or by
    the sink for one of its items, ends that source alone and is returned under the source's position. Any other failure
    cancels everything and is raised (in an ExceptionGroup).
    """
    waiting = iter(enumerate(sources))
    failures: dict[int, Exception] = {}

    async def consume(position: int, queue: "asyncio.Queue[Item | _End]", producer: asyncio.Task[None]) -> None:
        try:
            while not isinstance(item := await queue.get(), _End):
                await sink(item)
            if item.failure is not None:
                raise item.failure
        except* tolerate as group:
            failures[position] = _first(group)
            producer.cancel()

    async def lane() -> None:
        before: asyncio.Task[None] | None = None
        for position, source in waiting:
            queue: asyncio.Queue[Item | _End] = asyncio.Queue(depth)
            producer = tasks.create_task(_produce(source, queue))
            consumer = tasks.create_task(consume(position, queue, producer))
            await asyncio.wait([producer] if before is None else [producer, before])
            before = consumer

    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            tasks.create_task(lane())
    return failures


async def _produce(source: AsyncIterable[Item], queue: "asyncio.Queue[Item | _End]") -> None:
    """Put what a source gives into a queue, and its end."""
    items = aiter(source)
    try:
        async for item in items:
            await queue.put(item)
    except Exception as failure:  # noqa: BLE001  # raised by the consumer, behind what came before it
        await queue.put(_End(failure))
    else:
        await queue.put(_End())
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
