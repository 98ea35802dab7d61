"""Where the budget is kept: in this process, or in Redis for all of them. Both know their own time, in seconds.

Of those who wait in this process people go before the schedule.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import NamedTuple, Protocol

import msgspec
from pyrate_limiter import (
    GCRA,
    AbstractClock,
    InMemoryStateStore,
    Limiter,
    Rate,
    RedisStateStore,
    SingleBucketFactory,
    StateBucket,
)
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.market_data_adapter.breaker import Breaker
from app.market_data_adapter.line import Line

_POLL = 0.025
_KEPT = 3_600_000
"""Milliseconds: longer than the breaker ever rests."""

_TAKE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
return redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[3])
"""
_READ = """
local t = redis.call('TIME')
return {t[1], t[2], redis.call('GET', KEYS[1]) or ''}
"""
_SWAP = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""


class Reading(NamedTuple):
    """The breaker as it was at a moment; `token` tells whether it still is."""

    now: float
    breaker: Breaker
    token: bytes = b""


class Ledger(Protocol):
    """Who may ask next, and whether anybody may. RedisError means that nobody can tell."""

    is_shared: bool

    def place(self, lease: float) -> AbstractAsyncContextManager[None]:
        """Wait for one of the places; it comes back after `lease` seconds, whatever happens to its holder."""

    async def turn(self) -> None:
        """Wait until the rate allows one more request."""

    async def read(self) -> Reading: ...

    async def swap(self, reading: Reading, breaker: Breaker) -> bool:
        """Put another breaker in place of the one that was read; False if somebody was quicker."""


class MemoryLedger:
    """The budget of one process."""

    is_shared = False

    def __init__(self, concurrency: int, rate: float | None) -> None:
        """Take how many at once, and how many a second (None: no limit)."""
        self._places = Line(concurrency)
        self._next = Line(1)
        self._limiter = _memory_limiter(rate) if rate else None
        self._breaker = Breaker()

    def place(self, lease: float) -> Line:
        del lease  # whoever holds a place dies with it
        return self._places

    async def turn(self) -> None:
        if self._limiter is not None:
            async with self._next:  # who waits for the rate cannot be overtaken: so only one does
                await self._limiter.try_acquire_async()

    async def read(self) -> Reading:
        return Reading(time.monotonic(), self._breaker)

    async def swap(self, reading: Reading, breaker: Breaker) -> bool:
        if self._breaker != reading.breaker:
            return False
        self._breaker = breaker
        return True

    @property
    def is_waiting(self) -> bool:
        """Tell whether nobody may ask just now."""
        return self._breaker.wait(time.monotonic()) > 0

    def adopt(self, breaker: Breaker) -> None:
        """Take over what another ledger knew, its moments told by this one's time."""
        self._breaker = breaker


class RedisLedger:
    """One budget for all processes that share a Redis, by its clock."""

    is_shared = True

    def __init__(self, redis: Redis, name: str, concurrency: int, rate: float | None) -> None:
        """Take the client, a prefix for the keys, how many at once, and how many a second (None: no limit)."""
        self._redis = redis
        self._concurrency = concurrency
        self._places, self._state = f"{name}:places", f"{name}:breaker"
        self._limiter = _redis_limiter(redis, f"{name}:rate", rate) if rate else None
        self._first, self._next = Line(1), Line(1)
        self.last = Breaker()
        """What we knew last, by the time of this process."""
        self._take, self._read, self._swap = (redis.register_script(text) for text in (_TAKE, _READ, _SWAP))

    @asynccontextmanager
    async def place(self, lease: float) -> AsyncIterator[None]:
        mine = uuid.uuid4().hex
        try:
            async with self._first:
                while not await self._take(keys=[self._places], args=[self._concurrency, round(lease * 1000), mine]):  # noqa: ASYNC110  # other processes set no event
                    await asyncio.sleep(_POLL)
            yield
        finally:
            with suppress(RedisError):  # then the lease ends it
                await self._redis.zrem(self._places, mine)

    async def turn(self) -> None:
        if self._limiter is not None:
            async with self._next:
                await self._limiter.try_acquire_async()

    async def read(self) -> Reading:
        seconds, microseconds, token = await self._read(keys=[self._state])
        reading = Reading(int(seconds) + int(microseconds) / 1e6, _decoded(token), token)
        self._remember(reading, reading.breaker)
        return reading

    async def swap(self, reading: Reading, breaker: Breaker) -> bool:
        token = msgspec.json.encode(breaker)
        if not await self._swap(keys=[self._state], args=[reading.token, token, _KEPT]):
            return False
        self._remember(reading, breaker)
        return True

    def _remember(self, reading: Reading, breaker: Breaker) -> None:
        self.last = breaker.moved(time.monotonic() - reading.now)


class _RedisClock(AbstractClock):
    """Milliseconds of Redis: those of the hosts may differ."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def now(self) -> int:
        seconds, microseconds = await self._redis.time()
        return int(seconds) * 1000 + int(microseconds) // 1000


def _memory_limiter(rate: float) -> Limiter:
    return _limiter(StateBucket([_evenly(rate)], algorithm=GCRA(), store=InMemoryStateStore()))


def _redis_limiter(redis: Redis, key: str, rate: float) -> Limiter:
    bucket = StateBucket([_evenly(rate)], algorithm=GCRA(), store=RedisStateStore(redis, key), clock=_RedisClock(redis))
    return _limiter(bucket)


def _limiter(bucket: StateBucket) -> Limiter:
    return Limiter(SingleBucketFactory(bucket, schedule_leak=False), buffer_ms=1)


def _evenly(rate: float) -> Rate:
    """Spread requests: one, then a pause. The limiter counts in whole units: so many in a thousand seconds."""
    return Rate(max(round(rate * 1000), 1), 1_000_000, burst=1)


def _decoded(token: bytes) -> Breaker:
    """Read what may have been written by another version of this program."""
    try:
        return msgspec.json.decode(token, type=Breaker)
    except msgspec.MsgspecError:
        return Breaker()
