"""How much there is to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.tasks.task_stream import NOBODY

_NOBODY = NOBODY.encode()


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is queued, of all streams together.

    `waiting`: tasks that no worker runs, among them those that no worker knows. `running`: tasks that one took and has
    not finished, be it dead. `oldest_age`: seconds since the oldest waiting one was queued; 0 when none waits.
    `workers`: how many were seen within a lease.
    """

    waiting: int
    running: int
    dead: int
    oldest_age: float
    workers: int


@dataclass(frozen=True, slots=True)
class Depth:
    """The same of one stream."""

    waiting: int
    running: int
    oldest_age: float
    workers: frozenset[bytes]


def backlog_of(depths: Sequence[Depth], dead: int) -> Backlog:
    """Add up streams that share their workers."""
    return Backlog(
        waiting=sum(depth.waiting for depth in depths),
        running=sum(depth.running for depth in depths),
        dead=dead,
        oldest_age=max(depth.oldest_age for depth in depths),
        workers=len(frozenset[bytes]().union(*(depth.workers for depth in depths))),
    )


async def depth_of(redis: Redis, stream: str, group: str, *, lease: int) -> Depth:
    """Measure a stream, in two round trips; `lease` in milliseconds."""
    asking: Any
    async with redis.pipeline(transaction=False) as asking:
        asking.time().xlen(stream).xinfo_groups(stream).xinfo_consumers(stream, group)
        asking.xpending_range(stream, group, "-", "+", 1, consumername=NOBODY)
        answers = await asking.execute(raise_on_error=False)
    (seconds, microseconds), length, groups, consumers, left = (
        [] if isinstance(answer, ResponseError) else answer  # no such stream, or nobody ever listened
        for answer in answers
    )
    workers = [consumer for consumer in consumers if consumer["name"] != _NOBODY]
    running = sum(worker["pending"] for worker in workers)
    now, first = seconds + microseconds / 1e6, await _oldest(redis, stream, groups, group, left)
    return Depth(
        waiting=max(length - running, 0),
        running=running,
        oldest_age=0 if first is None else max(now - first, 0),
        workers=frozenset(worker["name"] for worker in workers if worker["idle"] <= lease),
    )


async def _oldest(redis: Redis, stream: str, groups: Sequence[Any], group: str, left: Sequence[Any]) -> float | None:
    """Return the unix seconds at which the oldest message was queued that no worker has."""
    taken_up_to = next((each["last-delivered-id"] for each in groups if each["name"] == group.encode()), b"0-0")
    unread: Any = await redis.xrange(stream, min=f"({taken_up_to.decode()}", count=1)
    ids = [*(row["message_id"] for row in left), *(entry_id for entry_id, _ in unread)]
    return min((int(each.partition(b"-")[0]) / 1000 for each in ids), default=None)
