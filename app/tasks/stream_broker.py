"""TaskIQ over a Redis stream, without the holes of the stock broker (`docs/adr/0007-a-stream-broker-of-our-own.md`).

A message belongs to the worker that took it for as long as it renews its lease. One whose lease ran out is run again by
another worker; one that was taken too often, or that nobody can read, is moved to the dead stream.
"""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.typing import StreamIdT
from taskiq import AckableMessage, BrokerMessage
from taskiq_redis import RedisStreamBroker

_log = structlog.stdlib.get_logger(__name__)

Entry = tuple[bytes, dict[bytes, bytes]]
"""A message of the stream: its id and its fields."""

_FROM_THE_BEGINNING = "0"
_LONGEST_BLOCK = 1.0
_PAUSE = 1.0
_REDIS_TIMEOUT = 3.0
_FORGOTTEN_AFTER_LEASES = 10
_DEAD_KEPT = 10_000
_ONCE_MORE = Retry(NoBackoff(), 1, (RedisConnectionError,))
"""For connections that lay idle while Redis was restarted; every command of ours may be repeated."""
_WAITS_AT_MOST = 3600
"""Seconds after which a message that no worker took no longer keeps an equal one from being queued."""

_KICK = """
local last = redis.call('HGET', KEYS[2], ARGV[2])
if last then
  if #redis.pcall('XPENDING', KEYS[1], ARGV[1], last, last, 1) > 0 then return 0 end
  local age = redis.call('TIME')[1] - tonumber(string.match(last, '^%d+')) / 1000
  if age < tonumber(ARGV[4]) and #redis.call('XRANGE', KEYS[1], last, last) > 0 then return 0 end
end
redis.call('HSET', KEYS[2], ARGV[2], redis.call('XADD', KEYS[1], '*', 'data', ARGV[3]))
return 1
"""
_FINISH = """
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[3])
"""
_BURY = """
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'data', ARGV[3], 'id', ARGV[2], 'reason', ARGV[4])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
"""
_FORGET = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
"""


class Delivery(AckableMessage):
    """A message in the hands of this worker."""

    entry_id: bytes


class StreamBroker(RedisStreamBroker):
    """A queue for tasks that may run twice, but should not.

    `lease`: seconds after which a message of a silent worker is run by another. `deliveries`: how many workers may die
    of a message. Who listens also runs `keep_leases`.
    """

    def __init__(self, url: str, *, lease: float, deliveries: int = 5, queue: str = "candles") -> None:
        """Take the address; nothing is opened before the first command."""
        super().__init__(
            url,
            queue,
            consumer_group_name=queue,
            consumer_name=f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
            consumer_id=_FROM_THE_BEGINNING,
            idle_timeout=int(lease * 1000),
            xread_block=int(min(_LONGEST_BLOCK, lease / 3) * 1000),
            xread_count=1,
            socket_timeout=_REDIS_TIMEOUT,
            socket_connect_timeout=_REDIS_TIMEOUT,
            retry=_ONCE_MORE,
        )
        self.dead_stream = f"{queue}:dead"
        self._waiting = f"{queue}:waiting"
        self._deliveries = deliveries
        self._beat = lease / 3
        self._redis: Redis = Redis(connection_pool=self.connection_pool)
        self._kick_script = self._redis.register_script(_KICK)
        self._finish_script = self._redis.register_script(_FINISH)
        self._bury_script = self._redis.register_script(_BURY)
        self._forget_script = self._redis.register_script(_FORGET)
        self._here = (self.queue_name, self.consumer_group_name, self.consumer_name)
        self._held: dict[bytes, str] = {}
        self._finished: dict[bytes, str] = {}

    async def startup(self) -> None:
        """Start even while Redis is away: who listens declares the group."""
        with suppress(RedisError):
            await super().startup()

    async def shutdown(self) -> None:
        """Leave what was not finished to other workers."""
        self.abandon()
        with suppress(RedisError):
            await self._forget_consumer(self.consumer_name)
        await super().shutdown()

    async def kick(self, message: BrokerMessage) -> None:
        """Queue it, unless a message of the same task id still waits or runs."""
        await self._kick_script(
            keys=[self.queue_name, self._waiting],
            args=[self.consumer_group_name, message.task_id, message.message, _WAITS_AT_MOST],
        )

    async def claim_tick(self, every: float) -> float:
        """Return 0 to one caller every so many seconds, to others the seconds until there is a next chance."""
        key = f"{self.queue_name}:tick:{every}"
        if await self._redis.set(key, self.consumer_name, nx=True, px=int(every * 1000)):
            return 0
        return max(await self._redis.pttl(key), 1) / 1000

    async def listen(self) -> AsyncGenerator[Delivery, None]:
        """Give one message at a time, whatever happens to Redis."""
        is_away = False
        while True:
            try:
                await self._declare_consumer_group()
                is_away = False
                await self._forget_the_dead()
                async with aclosing(self._messages()) as messages:
                    async for message in messages:
                        yield message
            except RedisError as error:
                if not is_away:
                    _log.warning("Redis is away", error=str(error), trying_again_in=_PAUSE)
                is_away = True
                await asyncio.sleep(_PAUSE)

    async def keep_leases(self) -> None:
        """Until cancelled, renew what runs here, and acknowledge again what Redis did not hear."""
        while not _is_cancelled():
            await asyncio.sleep(self._beat)
            with suppress(RedisError):  # the listener tells it
                await self._delete_finished()
                if self._held:
                    await self._redis.xclaim(*self._here, 0, list[StreamIdT](self._held), justid=True)

    def abandon(self) -> None:
        """Acknowledge nothing of what still runs: it will run again elsewhere."""
        self._held.clear()

    def release(self, delivery: "Delivery") -> None:
        """Renew no longer what came to its end without being acknowledged."""
        self._held.pop(delivery.entry_id, None)

    async def _messages(self) -> AsyncGenerator[Delivery, None]:
        """Look for messages of dead workers once a beat, and again at once when there was one; else take a new one."""
        look_at = 0.0
        while True:
            entry = None
            if time.monotonic() >= look_at and (entry := await self._overdue()) is None:
                look_at = time.monotonic() + self._beat
            entry = entry or await self._new()
            if entry and (message := await self._admit(*entry)):
                yield message

    async def _new(self) -> Entry | None:
        streams: Any = await self._redis.xreadgroup(
            self.consumer_group_name, self.consumer_name, {self.queue_name: ">"}, count=1, block=self.block
        )
        if _is_cancelled():
            raise asyncio.CancelledError
        return next((entries[0] for _, entries in streams or ()), None)

    async def _overdue(self) -> Entry | None:
        """Take over a message whose worker let the lease run out."""
        pending: Any = await self._redis.xpending_range(
            self.queue_name, self.consumer_group_name, "-", "+", 1, idle=self.idle_timeout
        )
        for one in pending:
            if one["message_id"] not in self._held:
                return await self._take_over(one["message_id"], one["times_delivered"])
        return None

    async def _take_over(self, entry_id: bytes, deliveries: int) -> Entry | None:
        claimed: Any = await self._redis.xclaim(*self._here, self.idle_timeout, [entry_id])
        for _, fields in claimed:  # none when another worker was quicker
            if fields is None:  # deleted by hand
                await self._redis.xack(self.queue_name, self.consumer_group_name, entry_id)
            elif deliveries >= self._deliveries:
                await self._bury(entry_id, fields, f"{deliveries} workers did not finish it")
            else:
                return entry_id, fields
        return None

    async def _admit(self, entry_id: bytes, fields: dict[bytes, bytes]) -> Delivery | None:
        """Hold a message that names a task of ours; bury any other."""
        try:
            message = self.formatter.loads(fields[b"data"])
            message.parse_labels()
        except Exception as error:  # noqa: BLE001  # it may hold anything, so anything may be raised
            await self._bury(entry_id, fields, f"unreadable: {error!r}")
            return None
        if self.find_task(message.task_name) is None:
            await self._bury(entry_id, fields, f"no task has the name {message.task_name}")
            return None
        self._held[entry_id] = message.task_id
        return Delivery(data=fields[b"data"], ack=partial(self._acknowledge, entry_id), entry_id=entry_id)

    async def _bury(self, entry_id: bytes, fields: dict[bytes, bytes], reason: str) -> None:
        """Move a message to the dead stream, with its former id and the reason."""
        data = fields.get(b"data") or repr(fields).encode()
        await self._bury_script(
            keys=[self.queue_name, self.dead_stream],
            args=[self.consumer_group_name, entry_id, data, reason.encode(errors="replace"), _DEAD_KEPT],
        )
        _log.error("message moved to the dead stream", stream=self.dead_stream, id=entry_id.decode(), reason=reason)

    async def _acknowledge(self, entry_id: bytes) -> None:
        if entry_id in self._held:
            self._finished[entry_id] = self._held.pop(entry_id)
            with suppress(RedisError):  # tried again with the next beat
                await self._delete_finished()

    async def _delete_finished(self) -> None:
        for entry_id, task_id in list(self._finished.items()):
            await self._finish_script(
                keys=[self.queue_name, self._waiting], args=[self.consumer_group_name, entry_id, task_id]
            )
            self._finished.pop(entry_id, None)

    async def _forget_the_dead(self) -> None:
        """Delete consumers that left nothing behind and were not seen for long."""
        silence = self.idle_timeout * _FORGOTTEN_AFTER_LEASES
        for consumer in await self._redis.xinfo_consumers(self.queue_name, self.consumer_group_name):
            if consumer["idle"] > silence:
                await self._forget_consumer(consumer["name"])

    async def _forget_consumer(self, name: str | bytes) -> None:
        await self._forget_script(keys=[self.queue_name], args=[self.consumer_group_name, name])


def _is_cancelled() -> bool:
    """Say whether somebody wants this task to end: on Python 3.11 the client of Redis may swallow that."""
    task = asyncio.current_task()
    return task is not None and bool(task.cancelling())
