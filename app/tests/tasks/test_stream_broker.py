import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from app.simulator.servers import Redis
from app.tasks.stream_broker import StreamBroker
from app.tests.tasks.children import Child, running
from app.tests.tasks.jobs import DELIVERIES, LEASE, Journal, a_worker, broker_with_jobs, kick
from app.tests.tasks.waiting import eventually

QUEUE = "candles"
DEAD = "candles:dead"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def broker(redis_url: str, journal: Journal) -> AsyncIterator[StreamBroker]:
    broker = broker_with_jobs(redis_url, journal)
    yield broker
    await broker.shutdown()


def a_child(url: str, journal: Journal) -> AbstractAsyncContextManager[Child]:
    return running("-m", "app.tests.tasks.jobs", url, str(journal.file), folder=journal.file.parent)


async def is_idle(client: redis.asyncio.Redis) -> bool:
    return await client.xlen(QUEUE) == 0


async def has_ended(child: Child) -> None:
    await eventually(lambda: child.has_ended)


async def workers_known(client: redis.asyncio.Redis) -> int:
    return len(await client.xinfo_consumers(QUEUE, QUEUE)) if await client.exists(QUEUE) else 0


async def reasons_of_the_dead(client: redis.asyncio.Redis) -> list[bytes]:
    entries: Any = await client.xrange(DEAD)
    return [fields[b"reason"] for _, fields in entries]


async def test_what_was_sent_before_the_first_worker_is_run(broker: StreamBroker, journal: Journal) -> None:
    await kick(broker, "early")

    async with a_worker(broker):
        await eventually(lambda: journal.lines == ["started early", "ended early"])


async def test_nothing_is_left_of_a_finished_task(
    broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    await kick(broker, "one")

    async with a_worker(broker):
        await eventually(lambda: "ended one" in journal.lines)
        await eventually(lambda: is_idle(client))

    assert await workers_known(client) == 0
    assert await client.keys() == [QUEUE.encode()]


async def test_a_task_that_waits_or_runs_is_not_queued_again(
    broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    for _ in range(3):
        await kick(broker, "once", 0.3)
    assert await client.xlen(QUEUE) == 1

    async with a_worker(broker):
        await eventually(lambda: "started once" in journal.lines)
        await kick(broker, "once", 0.3)
        await eventually(lambda: is_idle(client))
        assert journal.lines == ["started once", "ended once"]

        await kick(broker, "once")
        await eventually(lambda: journal.lines == ["started once", "ended once"] * 2)


async def test_a_message_nobody_holds_and_nobody_will_get_does_not_block_its_successors(
    broker: StreamBroker, client: redis.asyncio.Redis
) -> None:
    await client.xadd(QUEUE, {"data": b"of an hour and a second ago"}, id="1000-0")
    await client.hset("candles:waiting", "once", "1000-0")

    await kick(broker, "once")

    assert await client.xlen(QUEUE) == 2


async def test_a_message_of_a_killed_worker_is_run_again_after_its_lease(
    redis_url: str, broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    async with a_child(redis_url, journal) as first:
        await kick(broker, "job", 3 * LEASE)
        await eventually(lambda: journal.lines == ["started job"])
        async with a_worker(broker):
            first.kill()
            await eventually(lambda: journal.lines == ["started job", "started job", "ended job"])
            await eventually(lambda: is_idle(client))


async def test_a_task_of_three_leases_is_run_once_by_two_workers(
    redis_url: str, broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    async with a_worker(broker_with_jobs(redis_url, journal)), a_worker(broker_with_jobs(redis_url, journal)):
        await kick(broker, "long", 3 * LEASE)
        await eventually(lambda: "ended long" in journal.lines)
        await eventually(lambda: is_idle(client))

    assert journal.lines == ["started long", "ended long"]


async def test_a_message_that_kills_its_workers_is_buried(
    redis_url: str, broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    await kick(broker, "poison", task="die")
    for _ in range(DELIVERIES):
        async with a_child(redis_url, journal) as victim:
            await has_ended(victim)

    async with a_worker(broker):
        await eventually(lambda: client.exists(DEAD))
        await kick(broker, "next")
        await eventually(lambda: is_idle(client))

    assert await reasons_of_the_dead(client) == [b"2 workers did not finish it"]
    assert journal.lines == ["started poison"] * DELIVERIES + ["started next", "ended next"]


async def test_what_nobody_can_run_is_buried_and_the_worker_goes_on(
    broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    stranger = {"task_id": "1", "task_name": "of_tomorrow", "labels": {}, "args": [], "kwargs": {}}
    await client.xadd(QUEUE, {"data": b"\x80\x04no json"})
    await client.xadd(QUEUE, {"data": b"[1, 2]"})
    await client.xadd(QUEUE, {"something": "else"})
    await client.xadd(QUEUE, {"data": broker.serializer.dumpb(stranger)})
    await client.xadd(QUEUE, {"data": broker.serializer.dumpb({**stranger, "task_name": "job", "args": [1, 2, 3]})})
    await kick(broker, "next")

    async with a_worker(broker):
        await eventually(lambda: is_idle(client))

    reasons = await reasons_of_the_dead(client)
    assert len(reasons) == 4
    assert reasons[3] == b"no task has the name of_tomorrow"
    assert journal.lines == ["started next", "ended next"]


async def test_a_worker_survives_a_restart_of_redis_under_load(journal: Journal) -> None:
    with Redis(append_only=True) as server:
        broker = broker_with_jobs(server.url, journal)
        names = [f"job {n}" for n in range(8)]
        async with a_worker(broker):
            for name in names:
                await kick(broker, name, 0.5)
            await eventually(lambda: len(journal.lines) >= 2)
            await asyncio.to_thread(server.halt)
            await eventually(lambda: sum(line.startswith("ended") for line in journal.lines) >= 4)
            server.start()
            await kick(broker, "after")
            await eventually(lambda: {f"ended {name}" for name in [*names, "after"]} <= set(journal.lines))
            async with redis.asyncio.Redis.from_url(server.url) as client:
                await eventually(lambda: is_idle(client))

        assert sorted(journal.lines) == sorted(
            f"{what} {name}" for what in ("started", "ended") for name in [*names, "after"]
        )


async def test_a_worker_goes_on_when_redis_has_forgotten_everything(
    broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    async with a_worker(broker):
        await kick(broker, "before")
        await eventually(lambda: "ended before" in journal.lines)
        await client.flushall()
        await kick(broker, "after")

        await eventually(lambda: "ended after" in journal.lines)


async def test_a_stopped_worker_leaves_what_it_did_not_finish_to_others(
    redis_url: str, broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    async with a_worker(broker_with_jobs(redis_url, journal), grace=0.1):
        await kick(broker, "long", 1)
        await eventually(lambda: journal.lines == ["started long"])
    assert journal.lines == ["started long"]

    async with a_worker(broker):
        await eventually(lambda: journal.lines == ["started long", "started long", "ended long"])
        await eventually(lambda: is_idle(client))


async def test_a_stopping_worker_finishes_what_runs(broker: StreamBroker, journal: Journal) -> None:
    async with a_worker(broker):
        await kick(broker, "job", 0.5)
        await eventually(lambda: journal.lines == ["started job"])

    assert journal.lines == ["started job", "ended job"]


async def test_a_worker_ends_though_the_client_of_redis_swallows_its_cancellation(
    broker: StreamBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = asyncio.Event()

    async def swallow(*_: object, **__: object) -> list[object]:
        reading.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(300)
        return []

    monkeypatch.setattr(broker._redis, "xreadgroup", swallow)
    async with asyncio.timeout(60), a_worker(broker):
        await reading.wait()


async def test_no_message_is_taken_before_there_is_room(
    redis_url: str, broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    async with a_worker(broker, grace=0.1):
        for n in range(6):
            await kick(broker, f"job {n}", 30)
        await eventually(lambda: len(journal.lines) == 4)

        pending = await client.xpending(QUEUE, QUEUE)
        assert pending["pending"] == 4


async def test_of_several_schedulers_one_ticks(redis_url: str, journal: Journal) -> None:
    async with AsyncExitStack() as stack:
        brokers = [broker_with_jobs(redis_url, journal) for _ in range(3)]
        for broker in brokers:
            stack.push_async_callback(broker.shutdown)

        pauses = sorted([await broker.claim_tick(100) for broker in brokers])

        assert pauses[0] == 0
        assert all(50 < pause <= 100 for pause in pauses[1:])
