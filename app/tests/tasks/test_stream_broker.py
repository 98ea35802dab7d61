import asyncio
from contextlib import aclosing, suppress
from functools import partial

import pytest
import redis.asyncio

from app.tasks.backlog import Backlog
from app.tasks.stream_broker import StreamBroker
from app.tests.tasks.jobs import DELIVERIES, NEVER, Journal, a_child, a_worker, broker_with_jobs, kick
from app.tests.tasks.queues import DEAD, QUEUE, URGENT, is_idle, workers_known
from app.tests.tasks.waiting import eventually

A_DAY = 86_400.0


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
    assert set(await client.keys()) == {QUEUE.encode(), URGENT.encode()}


async def test_a_task_that_waits_or_runs_is_not_queued_again(
    broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    for _ in range(3):
        await kick(broker, "once", task="held")
    assert await client.xlen(QUEUE) == 1

    async with a_worker(broker):
        await eventually(lambda: "started once" in journal.lines)
        await kick(broker, "once", task="held")
        journal.let("once")
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


async def test_a_stopped_worker_leaves_what_it_did_not_finish_to_others_at_once(
    redis_url: str, journal: Journal, client: redis.asyncio.Redis
) -> None:
    first = broker_with_jobs(redis_url, journal, lease=NEVER)
    async with a_worker(first, grace=0.1):
        await kick(first, "long", task="held")
        await eventually(lambda: journal.lines == ["started long"])
    assert await workers_known(client) == 1  # nobody, who holds what was left
    assert journal.lines == ["started long"]

    journal.let("long")
    async with a_worker(broker_with_jobs(redis_url, journal, lease=NEVER)):
        await eventually(lambda: journal.lines == ["started long", "started long", "ended long"])
        await eventually(lambda: is_idle(client))


async def test_workers_that_died_are_forgotten(redis_url: str, journal: Journal, client: redis.asyncio.Redis) -> None:
    async with a_child(redis_url, journal) as child:
        await eventually(lambda: workers_known(client))
        child.kill()

    assert await workers_known(client) == 1
    living = broker_with_jobs(redis_url, journal, lease=0.2)
    async with a_worker(living):
        await eventually(lambda: are_known(client, {living.consumer_name}))


async def are_known(client: redis.asyncio.Redis, names: set[str]) -> bool:
    return {consumer["name"].decode() for consumer in await client.xinfo_consumers(QUEUE, QUEUE)} == names


async def test_the_backlog_tells_what_waits_what_runs_what_is_dead_and_who_works(
    redis_url: str, journal: Journal, client: redis.asyncio.Redis
) -> None:
    broker, working = (broker_with_jobs(redis_url, journal, lease=NEVER) for _ in range(2))
    assert await broker.backlog() == Backlog(waiting=0, running=0, dead=0, oldest_age=0, workers=0)

    await client.xadd(QUEUE, {"data": "junk"}, id="1000-0")
    for name in ("one", "two", "three"):
        await kick(broker, name, 300)
    await kick(broker, "urgent", 300, urgent=True)
    before = await broker.backlog()
    async with a_worker(working, at_once=2, grace=0.1):
        await eventually(lambda: len(journal.lines) == 3)
        during = await broker.backlog()

    assert (before.waiting, before.running, before.dead, before.workers) == (5, 0, 0, 0)
    assert before.oldest_age > 1_000_000_000
    assert (during.waiting, during.running, during.dead, during.workers) == (1, 3, 1, 1)
    assert 0 < during.oldest_age < 1000
    assert (await broker.backlog()).waiting == 4
    await broker.shutdown()


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


async def test_what_was_finished_while_redis_was_away_is_not_run_again(
    broker: StreamBroker, client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise redis.exceptions.ConnectionError

    await broker.startup()
    await kick(broker, "once")
    taken = await broker._read(broker._streams[1])
    assert taken is not None
    stream, entry = taken
    stream.hold(entry.entry_id, "once")
    with monkeypatch.context() as patched:
        patched.setattr(stream, "_finish_script", away)
        await stream.acknowledge(entry.entry_id)
    await client.xclaim(QUEUE, QUEUE, broker.consumer_name, 0, [entry.entry_id], idle=int(NEVER * 1000), justid=True)

    assert [late async for late in stream.overdue()] == []
    await stream.keep_leases()
    assert await is_idle(client)


async def test_what_a_stopped_worker_gives_back_is_begun_at_once_however_long_the_lease(
    redis_url: str, journal: Journal, client: redis.asyncio.Redis
) -> None:
    broker = broker_with_jobs(redis_url, journal, lease=A_DAY)
    await kick(broker, "long", A_DAY)
    for times in range(1, DELIVERIES + 3):  # no stop counts as a death
        async with a_worker(broker_with_jobs(redis_url, journal, lease=A_DAY), grace=0):
            await eventually(partial(has_begun, journal, times))
    await broker.shutdown()

    assert not await client.exists(DEAD)
    [message] = await client.xpending_range(QUEUE, QUEUE, "-", "+", 2)
    assert message["times_delivered"] == 0


def has_begun(journal: Journal, times: int) -> bool:
    return journal.lines == ["started long"] * times


async def test_an_urgent_task_comes_before_those_that_wait(broker: StreamBroker) -> None:
    for name in ("one", "two"):
        await kick(broker, name)
    await kick(broker, "urgent", urgent=True)

    await broker.startup()
    async with aclosing(broker.listen()) as messages:
        given = [broker.formatter.loads((await anext(messages)).data).task_id for _ in range(3)]

    assert given == ["urgent", "one", "two"]


async def test_an_urgent_task_finds_room_where_there_is_none(broker: StreamBroker, journal: Journal) -> None:
    async with a_worker(broker, at_once=1, grace=0.1):
        await kick(broker, "for ever", 300)
        await eventually(lambda: journal.lines == ["started for ever"])
        await kick(broker, "urgent", urgent=True)

        await eventually(lambda: journal.lines[1:] == ["started urgent", "ended urgent"])


async def test_an_urgent_kick_overtakes_the_message_that_waits_and_leaves_alone_what_is_quick_enough(
    broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    await kick(broker, "once")
    await kick(broker, "once", urgent=True)
    assert (await client.xlen(QUEUE), await client.xlen(URGENT)) == (0, 1)
    for urgent in (True, False):
        await kick(broker, "once", urgent=urgent)
    assert (await client.xlen(QUEUE), await client.xlen(URGENT)) == (0, 1)

    async with a_worker(broker):
        await eventually(lambda: journal.lines == ["started once", "ended once"])
        await eventually(lambda: is_idle(client))


async def test_an_urgent_kick_does_not_repeat_what_runs_already(
    broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    async with a_worker(broker):
        await kick(broker, "long", task="held")
        await eventually(lambda: journal.lines == ["started long"])
        await kick(broker, "long", task="held", urgent=True)
        assert await client.xlen(URGENT) == 0
        journal.let("long")
