"""TaskIQ over Redis streams, without the holes of the stock broker (`docs/adr/0007-a-stream-broker-of-our-own.md`).

A message belongs to the worker that took it for as long as it renews its lease. One whose lease ran out is run again by
another worker; one that was taken too often, or that nobody can read, is moved to the dead stream; one of a task that
this worker does not know is left to those that do (`docs/adr/0025-a-worker-that-can-be-trusted.md`).
"""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from copy import copy
from functools import partial
from typing import Any, Self

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from taskiq import AckableMessage, BrokerMessage
from taskiq_redis import RedisStreamBroker

from app.tasks.backlog import Backlog, backlog_of, depth_of
from app.tasks.dead_letters import DeadLetters
from app.tasks.outage import Outage
from app.tasks.task_stream import Entry, TaskStream
from app.tasks.urgency import is_urgent

_log = structlog.stdlib.get_logger(__name__)

_FROM_THE_BEGINNING = "0"
_LONGEST_BLOCK = 1.0
_PAUSE = 1.0
_REDIS_TIMEOUT = 3.0
_TIMEOUT = 5.0
_A_DAY = 86_400.0
_ONCE_MORE = Retry(NoBackoff(), 1, (RedisConnectionError,))
"""For connections that lay idle while Redis was restarted; every command of ours may be repeated."""
_WAITS_AT_MOST = 3600
"""Seconds after which a message that no worker took no longer keeps an equal one from being queued."""

_KICK = """
local wanted = tonumber(ARGV[5])
for lane = 1, #KEYS / 2 do
  local stream, waiting = KEYS[2 * lane - 1], KEYS[2 * lane]
  local last = redis.call('HGET', waiting, ARGV[2])
  if last then
    if #redis.pcall('XPENDING', stream, ARGV[1], last, last, 1) > 0 then return 0 end
    local age = redis.call('TIME')[1] - tonumber(string.match(last, '^%d+')) / 1000
    if age < tonumber(ARGV[4]) and #redis.call('XRANGE', stream, last, last) > 0 then
      if lane <= wanted then return 0 end
      redis.call('XDEL', stream, last)
      redis.call('HDEL', waiting, ARGV[2])
    end
  end
end
redis.call('HSET', KEYS[2 * wanted], ARGV[2], redis.call('XADD', KEYS[2 * wanted - 1], '*', 'data', ARGV[3]))
return 1
"""


class Delivery(AckableMessage):
    """A message in the hands of this worker; `release` it when it came to its end, acknowledged or not."""

    release: Callable[[], None]


class StreamBroker(RedisStreamBroker):
    """A queue for tasks that may run twice, but should not.

    `lease`: seconds after which a message of a silent worker is run by another. `deliveries`: how many workers may die
    of a message. `patience`: seconds for which one of an unknown task waits for a worker that knows it. Who listens
    also runs `keep_leases`.
    """

    def __init__(
        self, url: str, *, lease: float, deliveries: int = 5, patience: float = _A_DAY, queue: str = "candles"
    ) -> None:
        """Take the address; nothing is opened before the first command."""
        urgent = f"{queue}:urgent"
        super().__init__(
            url,
            queue,
            consumer_group_name=queue,
            consumer_name=f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
            consumer_id=_FROM_THE_BEGINNING,
            additional_streams={urgent: ">"},
            idle_timeout=int(lease * 1000),
            xread_block=int(min(_LONGEST_BLOCK, lease / 3) * 1000),
            xread_count=1,
            socket_timeout=_REDIS_TIMEOUT,
            socket_connect_timeout=_REDIS_TIMEOUT,
            retry=_ONCE_MORE,
        )
        self._deliveries = deliveries
        self._patience = int(patience * 1000)
        self._beat = lease / 3
        self._redis: Redis = Redis(connection_pool=self.connection_pool)
        self._kick_script = self._redis.register_script(_KICK)
        self.dead = DeadLetters(self._redis, f"{queue}:dead", self.formatter)
        self._streams = tuple(
            TaskStream(
                self._redis,
                name,
                group=queue,
                consumer=self.consumer_name,
                lease=self.idle_timeout,
                patience=self._patience,
            )
            for name in (urgent, queue)
        )
        self._listened = self._streams
        self._unknown: set[str] = set()
        self._kicking = Outage("no task can be queued")
        self._listening = Outage("no task can be taken")
        self._counting = Outage("tasks cannot be counted")

    def urgent_only(self) -> Self:
        """Return this very worker's broker as it listens to urgent tasks alone."""
        spare = copy(self)
        spare._listened = self._streams[:1]  # noqa: SLF001  # our own
        return spare

    async def startup(self) -> None:
        """Start even while Redis is away: who listens declares the groups."""
        with suppress(RedisError):
            await super().startup()

    async def shutdown(self) -> None:
        """Leave what was not finished to other workers: at once, or while Redis is slow with the end of the lease."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_TIMEOUT):
                for stream in self._streams:
                    await stream.leave_all()
        await super().shutdown()

    async def kick(self, message: BrokerMessage) -> None:
        """Queue it, unless a message of the same task id still waits or runs; an urgent one overtakes one that waits.

        QueueUnavailableError when Redis is away, full or slow: then it may be queued nevertheless.
        """
        with self._kicking.watch():
            async with asyncio.timeout(_TIMEOUT):
                await self._kick_script(
                    keys=[key for stream in self._streams for key in (stream.name, stream.waiting)],
                    args=[
                        self.consumer_group_name,
                        message.task_id,
                        message.message,
                        _WAITS_AT_MOST,
                        1 if is_urgent(message.labels) else 2,
                    ],
                )

    async def backlog(self) -> Backlog:
        """Count what is queued, in five short questions. QueueUnavailableError when Redis is away or slow."""
        with self._counting.watch():
            async with asyncio.timeout(_TIMEOUT):
                dead = await self._redis.xlen(self.dead.stream)
                depths = [
                    await depth_of(self._redis, stream.name, self.consumer_group_name, lease=self.idle_timeout)
                    for stream in self._streams
                ]
        return backlog_of(depths, dead)

    async def listen(self) -> AsyncGenerator[Delivery, None]:
        """Give one message at a time, whatever happens to Redis."""
        while True:
            try:
                await self._declare_consumer_group()
                async with aclosing(self._messages()) as messages:
                    async for message in messages:
                        yield message
            except RedisError as error:
                self._listening.begin(error)
                await asyncio.sleep(_PAUSE)

    async def keep_leases(self) -> None:
        """Until cancelled, renew what runs here, and acknowledge again what Redis did not hear."""
        while True:
            for stream in self._streams:
                with suppress(RedisError):  # the listener tells it
                    await stream.keep_leases()
                if _is_cancelled():
                    return
            await asyncio.sleep(self._beat)

    def abandon(self) -> None:
        """Acknowledge nothing of what still runs: it will run again elsewhere."""
        for stream in self._streams:
            stream.abandon()

    async def _messages(self) -> AsyncGenerator[Delivery, None]:
        """Look for what others left about once a second, and again at once when there was something; else for new."""
        look_at = 0.0
        while True:
            taken = None
            if time.monotonic() >= look_at and (taken := await self._overdue()) is None:
                look_at = time.monotonic() + min(self._beat, _LONGEST_BLOCK)
                for stream in self._listened:
                    await stream.forget_the_dead()
            taken = taken or await self._new()
            self._listening.end()
            if taken and (message := await self._admit(*taken)):
                yield message

    async def _new(self) -> tuple[TaskStream, Entry] | None:
        """Take a message of the most urgent stream that has one, or wait a while for any."""
        for stream in self._listened[:-1]:
            if taken := await self._read(stream):
                return taken
        return await self._read(*self._listened, block=self.block)

    async def _read(self, *streams: TaskStream, block: int | None = None) -> tuple[TaskStream, Entry] | None:
        answer: Any = await self._redis.xreadgroup(
            self.consumer_group_name,
            self.consumer_name,
            {stream.name: ">" for stream in streams},
            count=1,
            block=block,
        )
        if _is_cancelled():
            raise asyncio.CancelledError
        entries = {name.decode(): Entry(*taken[0]) for name, taken in answer or ()}
        found = [(stream, entries[stream.name]) for stream in streams if stream.name in entries]
        for stream, entry in found[1:]:  # they came together, and there is room for one
            await stream.leave(entry)
        return found[0] if found else None

    async def _overdue(self) -> tuple[TaskStream, Entry] | None:
        """Take over a message that no living worker holds; bury what was taken too often."""
        for stream in self._listened:
            async with aclosing(stream.overdue()) as overdue:
                async for late in overdue:
                    if (entry := await stream.take_over(late)) is None:
                        continue
                    if late.deliveries < self._deliveries:
                        return stream, entry
                    await self._bury(stream, entry, f"{late.deliveries} workers did not finish it")
        return None

    async def _admit(self, stream: TaskStream, entry: Entry) -> Delivery | None:
        """Hold a message that names a task of ours; bury what nobody can read, and leave the rest to others."""
        try:
            message = self.formatter.loads(entry.fields[b"data"])
            message.parse_labels()
        except Exception as error:  # noqa: BLE001  # it may hold anything, so anything may be raised
            await self._bury(stream, entry, f"unreadable: {error!r}")
            return None
        if self.find_task(message.task_name) is None:
            await self._pass_on(stream, entry, message.task_name)
            return None
        stream.hold(entry.entry_id, message.task_id)
        return Delivery(
            data=entry.fields[b"data"],
            ack=partial(stream.acknowledge, entry.entry_id),
            release=partial(stream.release, entry.entry_id),
        )

    async def _pass_on(self, stream: TaskStream, entry: Entry, task: str) -> None:
        """Leave a message to workers that know its task, unless they had time enough."""
        if entry.idle >= self._patience:
            await self._bury(stream, entry, f"no worker knew the task {task}")
            return
        await stream.pass_on(entry)
        if task not in self._unknown:
            _log.warning("left to workers that know it, as newer ones may", task=task)
        self._unknown.add(task)

    async def _bury(self, stream: TaskStream, entry: Entry, reason: str) -> None:
        await stream.bury(entry, self.dead.stream, reason)
        _log.error(
            "message moved to the dead stream", stream=self.dead.stream, id=entry.entry_id.decode(), reason=reason
        )


def _is_cancelled() -> bool:
    """Say whether somebody wants this task to end: on Python 3.11 the client of Redis may swallow that."""
    task = asyncio.current_task()
    return task is not None and bool(task.cancelling())
