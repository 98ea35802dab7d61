"""One Redis stream of messages, shared by many workers, as one of them sees it.

A message belongs to the worker that took it for as long as it renews its lease. What nobody works on belongs to
`nobody` and may be taken at once.
"""

from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis.typing import StreamIdT

NOBODY = "nobody"
DEAD_KEPT = 10_000
_PAGE = 100
_FORGOTTEN_AFTER_LEASES = 10
_BEHIND_ALL = f"{2**64 - 1}-{2**64 - 2}"

_FINISH = """
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
if redis.call('HGET', KEYS[2], ARGV[3]) == ARGV[2] then redis.call('HDEL', KEYS[2], ARGV[3]) end
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


@dataclass(frozen=True, slots=True)
class Late:
    """A message that no living worker holds: how many took it, and the milliseconds since one of them last did."""

    entry_id: bytes
    deliveries: int
    idle: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A message in our hands: its fields, how many workers took it before, and how late it was then."""

    entry_id: bytes
    fields: dict[bytes, bytes]
    deliveries: int = 0
    idle: int = 0


class TaskStream:
    """A stream with its group of workers, and what this worker, `consumer`, holds of it.

    `lease`: milliseconds after which a message of a silent worker is overdue. `patience`: for how many it is left to
    others once it was passed on.
    """

    def __init__(self, redis: Redis, name: str, *, group: str, consumer: str, lease: int, patience: int) -> None:
        """Take names; nothing is asked of Redis."""
        self.name = name
        self.waiting = f"{name}:waiting"
        self._redis = redis
        self._group = group
        self._consumer = consumer
        self._lease = lease
        self._patience = patience
        self._passed_on: set[bytes] = set()
        self._held: dict[bytes, str] = {}
        self._finished: dict[bytes, str] = {}
        self._finish_script = redis.register_script(_FINISH)
        self._bury_script = redis.register_script(_BURY)
        self._forget_script = redis.register_script(_FORGET)

    def hold(self, entry_id: bytes, task_id: str) -> None:
        """Renew the lease from now on."""
        self._held[entry_id] = task_id

    def release(self, entry_id: bytes) -> None:
        """Renew no longer what came to its end without being acknowledged."""
        self._held.pop(entry_id, None)

    def abandon(self) -> None:
        """Acknowledge nothing of what still runs: it will run again elsewhere."""
        self._held.clear()

    async def acknowledge(self, entry_id: bytes) -> None:
        """Delete it; while Redis is away, with a later `keep_leases`."""
        if entry_id in self._held:
            self._finished[entry_id] = self._held.pop(entry_id)
            with suppress(RedisError):
                await self._delete_finished()

    async def keep_leases(self) -> None:
        """Renew what runs here, and acknowledge again what Redis did not hear; be seen, however idle."""
        await self._delete_finished()
        await self._redis.xreadgroup(self._group, self._consumer, {self.name: _BEHIND_ALL})  # waiting is not noted
        if self._held:
            held = list[StreamIdT](self._held)
            await self._redis.xclaim(self.name, self._group, self._consumer, 0, held, justid=True)

    async def overdue(self) -> AsyncGenerator[Late, None]:
        """Give what no living worker holds, oldest first; what we passed on comes again when the patience is over.

        What we finished is none of it, though Redis did not hear of that yet.
        """
        before, still = set(self._passed_on), set[bytes]()
        begin = "-"
        while rows := await self._pending(begin, idle=self._lease):
            for row in rows:
                late = Late(row["message_id"], row["times_delivered"], row["time_since_delivered"])
                if late.entry_id in self._passed_on and late.idle < self._patience:
                    still.add(late.entry_id)
                elif late.entry_id not in self._held and late.entry_id not in self._finished:
                    yield late
            begin = f"({rows[-1]['message_id'].decode()}"
        self._passed_on -= before - still

    async def take_over(self, late: Late) -> Entry | None:
        """Make it ours; None when another worker was quicker, or somebody deleted it."""
        claimed: Any = await self._redis.xclaim(self.name, self._group, self._consumer, self._lease, [late.entry_id])
        for _, fields in claimed:
            if fields is not None:
                return Entry(late.entry_id, fields, late.deliveries, late.idle)
            await self._redis.xack(self.name, self._group, late.entry_id)
        return None

    async def leave(self, entry: Entry) -> None:
        """Leave a message to who takes it next, as if we had not taken it."""
        await self._leave(entry.entry_id, entry.deliveries, entry.idle)

    async def pass_on(self, entry: Entry) -> None:
        """Leave a message to workers of another kind."""
        self._passed_on.add(entry.entry_id)
        await self.leave(entry)

    async def leave_all(self) -> None:
        """Leave to others whatever this worker still has."""
        with suppress(RedisError):
            await self._delete_finished()
            for row in await self._pending("-", consumer=self._consumer):
                await self._leave(row["message_id"], row["times_delivered"] - 1, 0)
            await self.forget(self._consumer)

    async def bury(self, entry: Entry, dead_stream: str, reason: str) -> None:
        """Move a message to the dead stream, with its former id and the reason."""
        data = entry.fields.get(b"data") or repr(entry.fields).encode()
        await self._bury_script(
            keys=[self.name, dead_stream],
            args=[self._group, entry.entry_id, data, reason.encode(errors="replace"), DEAD_KEPT],
        )

    async def forget_the_dead(self) -> None:
        """Delete consumers that left nothing behind and were not seen for long."""
        silence = self._lease * _FORGOTTEN_AFTER_LEASES
        for consumer in await self._redis.xinfo_consumers(self.name, self._group):
            if consumer["idle"] > silence:
                await self.forget(consumer["name"])

    async def forget(self, consumer: str | bytes) -> None:
        """Delete a consumer, unless it left something behind."""
        await self._forget_script(keys=[self.name], args=[self._group, consumer])

    async def _pending(self, begin: str, *, consumer: str | None = None, idle: int | None = None) -> Any:  # noqa: ANN401  # redis-py's
        return await self._redis.xpending_range(
            self.name, self._group, begin, "+", _PAGE, consumername=consumer, idle=idle
        )

    async def _leave(self, entry_id: bytes, deliveries: int, idle: int) -> None:
        await self._redis.xclaim(
            self.name,
            self._group,
            NOBODY,
            0,
            [entry_id],
            idle=max(idle, self._lease),
            retrycount=max(deliveries, 0),
            justid=True,
        )

    async def _delete_finished(self) -> None:
        for entry_id, task_id in list(self._finished.items()):
            await self._finish_script(keys=[self.name, self.waiting], args=[self._group, entry_id, task_id])
            self._finished.pop(entry_id, None)
