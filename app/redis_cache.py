"""A cache in Redis."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Self

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

PATIENCE = 0.25
"""Seconds for a question, connecting included: longer than a whole answer takes without a cache, so seldom reached."""
REST = 5.0
"""Seconds for which a cache that failed is left alone."""
CONNECTIONS = 16

_DIGEST = 16
_log = structlog.stdlib.get_logger(__name__)


class RedisCache:
    """Values under names that begin with `prefix`, each with a digest of its key and itself before it.

    A cache that is gone, or slower than the patience, is not asked for some seconds; then one question tries for all.
    """

    def __init__(self, redis: Redis, *, prefix: str, lifetime: int) -> None:
        """Take a client of ours alone, and for how many seconds values are kept."""
        self._redis = redis
        self._prefix = prefix
        self._lifetime = lifetime
        self._rests_until = 0.0
        self._has_failed = False

    @classmethod
    def open(cls, url: str, *, prefix: str, lifetime: int) -> Self:
        """Build it for the address of a Redis; it connects when it is asked first."""
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=PATIENCE,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )
        return cls(Redis.from_pool(pool), prefix=prefix, lifetime=lifetime)

    @property
    def is_away(self) -> bool:
        return time.monotonic() < self._rests_until

    async def get(self, keys: Sequence[str], /) -> Sequence[bytes | None]:
        names = [self._name(key) for key in keys]
        found = await self._ask(lambda: self._redis.mget(names)) or [None] * len(keys)
        return [None if value is None else _content(name, value) for name, value in zip(names, found, strict=True)]

    async def put(self, values: Mapping[str, bytes], /) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for key, content in values.items():
            name = self._name(key)
            _ = pipeline.set(name, _digest(name, content) + content, ex=self._lifetime)
        await self._ask(lambda: pipeline.execute(raise_on_error=False))  # one that is full refuses, and can be read

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _name(self, key: str) -> str:
        return f"{self._prefix}:{key}"

    async def _ask(self, question: Callable[[], Awaitable[list[Any]]]) -> list[Any] | None:
        """Return what it answers; None where it does not, or is left alone."""
        if self.is_away:
            return None
        if self._has_failed:  # nobody else tries meanwhile
            self._rests_until = time.monotonic() + REST
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await question()
        except (RedisError, OSError, TimeoutError) as error:
            self._leave_alone(error)
            return None
        self._has_failed, self._rests_until = False, 0.0
        return answer

    def _leave_alone(self, error: Exception) -> None:
        if not self._has_failed:
            _log.warning("the cache is away, answers do without", error=repr(error))
        self._has_failed, self._rests_until = True, time.monotonic() + REST


def _digest(name: str, content: bytes) -> bytes:
    digest = blake2b(name.encode(), digest_size=_DIGEST)
    digest.update(content)
    return digest.digest()


def _content(name: str, value: bytes) -> bytes | None:
    """Return what we put there; None if it is not what we put there."""
    content = value[_DIGEST:]
    return content if value[:_DIGEST] == _digest(name, content) else None
