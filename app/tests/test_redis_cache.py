"""The cache in a real Redis: whatever happens to it is a miss, and quickly so."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import pytest
import redis.asyncio

from app.core.cache import ICache
from app.redis_cache import CONNECTIONS, PATIENCE, REST, RedisCache
from app.simulator.servers import FaultProxy, Redis

PREFIX = "candles:1:store"


@asynccontextmanager
async def a_cache(url: str, *, prefix: str = PREFIX, lifetime: int = 60) -> AsyncIterator[RedisCache]:
    cache = RedisCache.open(url, prefix=prefix, lifetime=lifetime)
    try:
        yield cache
    finally:
        await cache.close()


@pytest.fixture
async def cache(redis_url: str, patient_cache: None) -> AsyncIterator[RedisCache]:
    async with a_cache(redis_url) as opened:
        yield opened


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(redis_url) as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[Redis]:
    """A Redis to be killed."""
    with Redis() as started:
        yield started


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    """Seconds as the cache counts them, which stand until told otherwise."""
    clock = Clock()
    monkeypatch.setattr("app.redis_cache.time", clock)
    return clock


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0
        self._begun = time.monotonic()

    def monotonic(self) -> float:
        return self._begun + self.ahead


async def test_what_is_put_is_got_by_whoever_shares_it(cache: ICache, redis_url: str) -> None:
    await cache.put({"a": b"1", "b": b"", "c": bytes(range(256)) * 4096})

    async with a_cache(redis_url) as other:
        assert await other.get(["c", "x", "b", "a"]) == [bytes(range(256)) * 4096, None, b"", b"1"]


async def test_another_store_or_program_sees_nothing_of_it(cache: ICache, redis_url: str) -> None:
    await cache.put({"a": b"1"})

    async with a_cache(redis_url, prefix="candles:2:store") as other:
        assert await other.get(["a"]) == [None]


async def test_every_value_has_a_time_to_live(cache: ICache, client: redis.asyncio.Redis) -> None:
    await cache.put({"a": b"1", "b": b"2"})

    assert all([50 < await client.ttl(f"{PREFIX}:{key}") <= 60 for key in "ab"])


@pytest.mark.parametrize("spoiled", [b"", b"1", b"x" * 15, b"foreign " * 100])
async def test_a_foreign_value_is_a_miss(cache: ICache, client: redis.asyncio.Redis, spoiled: bytes) -> None:
    await client.set(f"{PREFIX}:a", spoiled)

    assert await cache.get(["a"]) == [None]


async def test_a_value_cut_changed_or_moved_anywhere_is_a_miss(cache: ICache, client: redis.asyncio.Redis) -> None:
    await cache.put({"a": b"hello"})
    whole = await client.get(f"{PREFIX}:a")
    assert isinstance(whole, bytes)
    spoiled = [whole[:length] for length in range(len(whole))]
    spoiled += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]

    found: list[bytes | None] = []
    for value in [*spoiled, whole + b"\0"]:
        await client.set(f"{PREFIX}:a", value)
        found += await cache.get(["a"])
    await client.set(f"{PREFIX}:b", whole)

    assert set(found) == {None}
    assert await cache.get(["b"]) == [None]


async def test_a_value_of_another_kind_is_a_miss(cache: ICache, client: redis.asyncio.Redis) -> None:
    await client.rpush(f"{PREFIX}:a", "1")
    await cache.put({"b": b"2"})

    assert await cache.get(["a", "b"]) == [None, b"2"]


async def test_one_that_is_flushed_has_forgotten(cache: ICache, client: redis.asyncio.Redis) -> None:
    await cache.put({"a": b"1"})
    await client.flushall()

    assert await cache.get(["a"]) == [None]
    await cache.put({"a": b"2"})
    assert await cache.get(["a"]) == [b"2"]


@pytest.mark.parametrize("policy", ["allkeys-lru", "noeviction"])
async def test_one_that_is_full_goes_on(server: Redis, patient_cache: None, policy: str) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(redis.asyncio.Redis.from_url(server.url))
        cache = await stack.enter_async_context(a_cache(server.url))
        await client.config_set("maxmemory", int((await client.info("memory"))["used_memory"]) + 400_000)
        await client.config_set("maxmemory-policy", policy)
        for number in range(40):
            await cache.put({str(number): b"x" * 30_000})

        assert not cache.is_away
        kept = await cache.get([str(number) for number in range(40)])
        assert set(kept) == {b"x" * 30_000, None}


async def test_one_that_was_killed_is_left_alone_and_used_again_later(
    server: Redis, clock: Clock, patient_cache: None
) -> None:
    async with a_cache(server.url) as cache:
        await cache.put({"a": b"1"})
        await asyncio.to_thread(server.kill)
        assert await cache.get(["a"]) == [None]
        assert cache.is_away
        await asyncio.to_thread(server.start)
        await cache.put({"a": b"2"})

        assert await cache.get(["a"]) == [None]
        clock.ahead = REST
        assert not cache.is_away
        assert await cache.get(["a"]) == [None]
        await cache.put({"a": b"3"})
        assert await cache.get(["a"]) == [b"3"]


async def test_one_that_hangs_is_waited_for_once(redis_url: str, clock: Clock) -> None:
    """A second wait would need the clock, which is stopped while everybody asks."""
    port = urlsplit(redis_url).port or 6379
    async with FaultProxy("127.0.0.1", port) as proxy, a_cache(f"redis://127.0.0.1:{proxy.port}/0") as cache:
        await connect(cache, clock)
        proxy.swallows = True
        begun = asyncio.get_running_loop().time()

        assert await asyncio.gather(*(cache.get(["a"]) for _ in range(3 * CONNECTIONS))) == [[None]] * 3 * CONNECTIONS
        assert cache.is_away
        waited = asyncio.get_running_loop().time() - begun
        assert [await cache.get(["a"]) for _ in range(1000)] == [[None]] * 1000
        assert waited >= PATIENCE

        clock.ahead += REST
        tried = [asyncio.create_task(cache.get(["a"])) for _ in range(3)]
        await asyncio.sleep(0)
        assert [task.done() for task in tried] == [False, True, True]
        assert await asyncio.gather(*tried) == [[None]] * 3


async def connect(cache: RedisCache, clock: Clock) -> None:
    """Have it answer once, however often a busy machine makes it late."""
    await cache.put({"a": b"1"})
    while cache.is_away:
        clock.ahead += REST
        await cache.put({"a": b"1"})


async def test_a_question_that_was_given_up_answers_no_other(cache: RedisCache) -> None:
    await cache.put({str(number): str(number).encode() for number in range(20)})
    for number in range(20):
        given_up = asyncio.create_task(cache.get([str(number)]))
        for _ in range(number):
            await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])

        assert await cache.get([str(number)]) == [str(number).encode()]


async def test_a_wrong_address_is_a_cache_that_is_away() -> None:
    async with a_cache("redis://127.0.0.1:1/0") as cache:
        await cache.put({"a": b"1"})

        assert cache.is_away
        assert await cache.get(["a"]) == [None]
