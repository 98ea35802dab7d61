"""Answers that processes share through a Redis, which may do whatever a Redis can do."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
import redis.asyncio

from app.answers.prepare_answers import prepare_answers
from app.bootstrap import bootstrap, migrate_store
from app.core.pages import CandlePage
from app.core.storage import IStorage
from app.redis_cache import RedisCache
from app.repository.memory import MemoryStorage
from app.repository.sql import SqlStorage
from app.settings import Settings
from app.simulator.servers import FaultProxy, Redis, free_port
from app.tests.builders import GAZP_M1, SBER_D1, T0, a_page, minute
from app.tests.io.counting import counted
from app.tests.io.rest_client import Client, FakeClock, a_client, store
from app.tests.io.test_kept_answers import (
    CLOSED,
    DAY,
    DERIVED,
    GZIP,
    NEWEST,
    NOW,
    OPEN,
    PATH,
    QUERY,
    content,
    correct,
    filled,
    forgetful,
    text,
    the_client,
)
from app.tests.tasks.children import running
from app.tests.tasks.waiting import eventually

ASKED: list[tuple[Mapping[str, Any], Mapping[str, str]]] = [
    (CLOSED, {}),
    (CLOSED, GZIP),
    (OPEN, {}),
    (OPEN, GZIP),
    (NEWEST, GZIP),
    (DERIVED, GZIP),
]


@pytest.fixture
async def cache(redis_url: str, patient_cache: None) -> AsyncIterator[RedisCache]:
    opened = RedisCache.open(redis_url, prefix="test", lifetime=60)
    yield opened
    await opened.close()


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        yield client


async def everything(client: Client) -> list[tuple[int, bytes, dict[str, str]]]:
    return [content(await client.get(PATH, query, **sent)) for _ in range(3) for query, sent in ASKED]


async def test_what_one_process_wrote_another_one_sends(storage: IStorage, cache: RedisCache) -> None:
    await filled(storage)
    first = await everything(the_client(storage, cache))
    seen, counting = counted(storage)
    second = the_client(seen, cache)

    assert await everything(second) == first == await everything(forgetful(the_client(storage)))
    whole_days = {**QUERY, "from": minute(DAY - 600).unix, "till": minute(3 * DAY - 600).unix, "limit": 50}
    for _ in range(3):
        await the_client(storage, cache).get(PATH, whole_days)
    counting.reads = 0
    other_window = {**whole_days, "from": minute(DAY + 20).unix, "limit": 90}
    assert (await the_client(seen, cache).get(PATH, other_window)).json["count"] == 90
    assert counting.reads == 0


@pytest.mark.parametrize("spoiled", [b"", b"junk", b"\x96" * 500])
async def test_a_foreign_value_under_our_key_is_never_served(
    cache: RedisCache, server: redis.asyncio.Redis, spoiled: bytes
) -> None:
    """Nor is one that the cache vouches for, but no answer or block can be made of."""
    storage = await filled(MemoryStorage())
    expected = await everything(the_client(storage, cache))
    names = [name async for name in server.scan_iter("test:*")]
    for name in names:
        await server.set(name, spoiled)
    assert await everything(the_client(storage, cache)) == expected
    await cache.put({name.decode().removeprefix("test:"): spoiled for name in names})

    assert await everything(the_client(storage, cache)) == expected
    assert {name.split(b":")[1] for name in names} == {b"answer", b"block"}


async def test_an_answer_under_the_key_of_another_is_not_served(cache: RedisCache, server: redis.asyncio.Redis) -> None:
    storage = await filled(MemoryStorage())
    expected = await everything(the_client(storage, cache))
    names = [name.decode().removeprefix("test:") async for name in server.scan_iter("test:answer:*")]
    values = [value for value in await cache.get(names) if value is not None]
    await cache.put(dict(zip(names, [*values[1:], values[0]], strict=True)))

    assert len(values) > 2
    assert await everything(the_client(storage, cache)) == expected


async def test_one_that_is_killed_flushed_or_hangs_changes_no_answer(
    sql_storage: SqlStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.redis_cache.REST", 600)  # longer than all of this, however busy the machine is
    await filled(sql_storage)
    expected = await everything(forgetful(the_client(sql_storage)))
    with Redis() as killed:
        async with AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(FaultProxy("127.0.0.1", killed.port))
            cache = RedisCache.open(f"redis://127.0.0.1:{proxy.port}/0", prefix="test", lifetime=60)
            stack.push_async_callback(cache.close)
            client = the_client(sql_storage, cache)
            assert await everything(client) == expected
            proxy.swallows = True
            assert await everything(the_client(sql_storage, cache)) == expected
            assert cache.is_away
            await asyncio.to_thread(killed.kill)
            cache._rests_until = 0.0  # so that it is asked
            assert await everything(the_client(sql_storage, cache)) == expected
            assert await everything(client) == expected


async def test_a_full_one_changes_no_answer(sql_storage: SqlStorage, patient_cache: None) -> None:
    await filled(sql_storage)
    expected = await everything(forgetful(the_client(sql_storage)))
    with Redis() as server:
        cache = RedisCache.open(server.url, prefix="test", lifetime=60)
        async with redis.asyncio.Redis.from_url(server.url) as client:
            await client.config_set("maxmemory", 1)
        assert await everything(the_client(sql_storage, cache)) == expected
        assert await everything(the_client(sql_storage, cache)) == expected
        assert not cache.is_away
        await cache.close()


async def prepared(storage: IStorage, cache: RedisCache | None, clock: FakeClock) -> int:
    client = a_client(storage, clock=clock, cache=cache)
    return await prepare_answers(client.app.state.service)


async def test_what_is_prepared_is_not_read_again(storage: IStorage, cache: RedisCache) -> None:
    await filled(storage)
    days = [minute(n * DAY - 600) for n in range(-400, 4)]
    page = CandlePage.from_rows(SBER_D1, [(day.unix, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1) for day in days[:-1]])
    await store(storage, page, (days[0], days[-2]), followed_from=days[0])
    clock = FakeClock(NOW)
    seen, counting = counted(storage)
    assert await prepared(seen, cache, clock) == 2
    read, counting.reads = counting.reads, 0
    assert await prepared(seen, cache, clock) == 2
    again, counting.reads = counting.reads, 0

    answers = [
        (await a_client(seen, clock=clock, cache=cache).get(PATH, {**QUERY, **query}, **sent))
        for query in ({"last": 150}, {"from": minute(DAY).unix, "till": minute(2 * DAY).unix},
                      {"timeframe": "D1", "last": 300}, {"timeframe": "D1", "till": minute(DAY).unix})
        for sent in ({}, GZIP)
    ]  # fmt: skip

    assert [json.loads(text(answer))["count"] for answer in answers[::2]] == [150, 67, 300, 402]
    assert again == 1 + 2 < read  # which series there are, and of each what is not covered
    assert counting.reads == 4  # what is not covered, of those that go on
    anew = forgetful(a_client(storage, clock=clock))
    assert answers[0].body == (await anew.get(PATH, {**QUERY, "last": 150})).body


async def test_a_correction_makes_what_was_prepared_worthless(storage: IStorage, cache: RedisCache) -> None:
    await filled(storage)
    clock = FakeClock(NOW)
    await prepared(storage, cache, clock)
    await correct(storage, 3 * DAY, close=1.25, version=60)

    answer = await a_client(storage, clock=clock, cache=cache).get(PATH, {**QUERY, "from": minute(3 * DAY).unix})

    assert (answer.json["version"], answer.json["candles"][0]["close"]) == (60, 1.25)


async def test_without_a_cache_nothing_is_prepared(cache: RedisCache) -> None:
    storage, counting = counted(await filled(MemoryStorage()))
    await store(storage, a_page([], GAZP_M1), followed_from=T0)

    assert await prepared(storage, None, FakeClock(NOW)) == 0
    assert counting.reads == 1
    assert await prepared(storage, cache, FakeClock(NOW)) == 1


async def hits(server: redis.asyncio.Redis) -> int:
    return int((await server.info("stats"))["keyspace_hits"])


def fetched(port: int, target: str) -> bytes:
    asked = Request(f"http://127.0.0.1:{port}{target}", headers={"Accept-Encoding": "gzip"})
    with urlopen(asked, timeout=60) as answer:  # noqa: S310
        return bytes(answer.read())


def answers(port: int) -> bool:
    try:
        fetched(port, "/health/live")
    except OSError:
        return False
    return True


async def test_two_processes_of_the_api_share_one(
    postgresql_url: str, redis_url: str, tmp_path: Path, server: redis.asyncio.Redis
) -> None:
    settings = Settings(_env_file=None, database_url=postgresql_url, source_name="test")
    await migrate_store(settings)
    async with bootstrap(settings) as service:
        await filled(service.storage)
        async with service.storage.begin() as uow:
            await uow.claim_source("test")
    environment = {
        "DATABASE_URL": postgresql_url,
        "CACHE_URL": redis_url,
        "SOURCE_NAME": "test",
        "TICK": "9999",
    }
    target = f"{PATH}?{urlencode(CLOSED)}"
    async with AsyncExitStack() as stack:
        bodies = []
        for _ in range(2):
            port = free_port()
            program = "import app.redis_cache as cache; cache.PATIENCE = 60; from app.io.cli import main; main()"
            arguments = ("-c", program, "serve", "--port", str(port))
            await stack.enter_async_context(running(*arguments, folder=tmp_path, environment=environment))
            await eventually(partial(asyncio.to_thread, answers, port))
            before = await hits(server)
            bodies.append(await asyncio.to_thread(fetched, port, target))

        assert bodies[0] == bodies[1]
        assert await hits(server) > before
