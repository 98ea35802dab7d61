"""What befalls Redis and the workers, and what becomes of the tasks."""

import asyncio
import random
from contextlib import AsyncExitStack
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import redis.asyncio
from structlog.testing import capture_logs
from taskiq import Context, SendTaskError, TaskiqMessage

from app.bootstrap import Service
from app.core.entities import Timeframe
from app.core.errors import QueueUnavailableError
from app.core.spans import Period
from app.core.updates import Update, UpdatePart
from app.simulator.server import Simulator
from app.simulator.servers import FaultProxy, Redis, free_port
from app.tasks import stream_broker
from app.tasks.backfill import backfill_series, kick_rest
from app.tasks.broker import FailureLog
from app.tasks.stream_broker import StreamBroker
from app.tests.builders import GAZP_M1, SBER_M1
from app.tests.tasks.children import Child
from app.tests.tasks.comparing import follow
from app.tests.tasks.jobs import DELIVERIES, LEASE, LONG, Journal, a_child, a_worker, broker_with_jobs, kick
from app.tests.tasks.queues import (
    DEAD,
    QUEUE,
    URGENT,
    calls,
    fill,
    is_idle,
    left_to_others,
    make_room,
    pause,
    reasons_of_the_dead,
    resume,
)
from app.tests.tasks.waiting import eventually
from app.use_cases.list_unfinished import list_unfinished


async def test_b1_a_worker_survives_a_restart_of_redis_under_load_and_runs_everything_once(journal: Journal) -> None:
    with Redis(append_only=True) as server:
        broker = broker_with_jobs(server.url, journal)
        names = [f"job {n}" for n in range(8)]
        async with a_worker(broker):
            for name in names:
                await kick(broker, name, 0.5)
            await eventually(lambda: sum(line.startswith("started") for line in journal.lines) >= 4)
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


async def test_b1_processes_survive_a_crash_of_redis_and_nothing_is_lost(journal: Journal) -> None:
    names = [f"job {n}" for n in range(12)]
    with Redis(append_only=True) as server:
        broker = broker_with_jobs(server.url, journal)
        async with a_child(server.url, journal) as one, a_child(server.url, journal) as two:
            for name in names:
                await kick(broker, name, 0.5, urgent=name.endswith("1"))
            await eventually(lambda: len(journal.lines) >= 2)
            await asyncio.to_thread(server.kill)
            server.start()

            await eventually(lambda: {f"ended {name}" for name in names} <= set(journal.lines))
            async with redis.asyncio.Redis.from_url(server.url) as client:
                await eventually(lambda: is_idle(client))
            assert not one.has_ended
            assert not two.has_ended
        await broker.shutdown()


async def test_b2_workers_go_on_when_redis_has_forgotten_everything(
    redis_url: str, broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    async with a_child(redis_url, journal):
        await kick(broker, "lost in the middle", task="held")
        await eventually(lambda: journal.lines == ["started lost in the middle"])
        await client.flushall()
        journal.let("lost in the middle")
        await kick(broker, "after")
        await kick(broker, "urgent", urgent=True)

        names = ("lost in the middle", "after", "urgent")
        await eventually(lambda: {f"ended {name}" for name in names} <= set(journal.lines))
        await eventually(lambda: is_idle(client))
        assert (await broker.backlog()).running == 0


@pytest.mark.parametrize("urgent", [False, True])
async def test_b3_a_message_of_a_killed_worker_is_run_again_after_its_lease_though_nothing_else_comes(
    redis_url: str, broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis, *, urgent: bool
) -> None:
    async with a_child(redis_url, journal) as first:
        await kick(broker, "job", task="held", urgent=urgent)
        await eventually(lambda: journal.lines == ["started job"])
        async with a_child(redis_url, journal):
            first.kill()
            await eventually(lambda: journal.lines == ["started job", "started job"])
            journal.let("job")
            await eventually(lambda: journal.lines == ["started job", "started job", "ended job"])
            await eventually(lambda: is_idle(client))


async def test_b4_a_task_of_three_leases_is_run_once_by_two_workers(
    redis_url: str, broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    async with a_child(redis_url, journal, lease=LONG), a_child(redis_url, journal, lease=LONG):
        await kick(broker, "long", 3 * LONG)
        await eventually(lambda: "ended long" in journal.lines)
        await eventually(lambda: is_idle(client))

    assert journal.lines == ["started long", "ended long"]


async def test_b5_a_message_that_kills_its_workers_is_buried_and_others_go_on(
    redis_url: str, broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    await kick(broker, "poison", task="die")
    for _ in range(DELIVERIES):
        async with a_child(redis_url, journal) as victim:
            await has_ended(victim)

    async with a_worker(broker_with_jobs(redis_url, journal)):
        await eventually(lambda: client.exists(DEAD))
        await kick(broker, "next")
        await eventually(lambda: is_idle(client))

    assert await reasons_of_the_dead(client) == [b"2 workers did not finish it"]
    assert (await broker.backlog()).dead == 1
    assert journal.lines == ["started poison"] * DELIVERIES + ["started next", "ended next"]


async def has_ended(child: Child) -> None:
    await eventually(lambda: child.has_ended)


async def test_b5_a_task_that_always_raises_is_told_once_and_not_repeated(
    redis_url: str, broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    worker = broker_with_jobs(redis_url, journal)
    worker.add_middlewares(FailureLog())
    with capture_logs() as logs:
        async with a_worker(worker):
            await kick(broker, "bad", task="fail")
            await kick(broker, "next")
            await eventually(lambda: is_idle(client))

    assert sorted(journal.lines) == ["ended next", "started bad", "started next"]
    assert [(log["event"], log["task"]) for log in logs] == [("task failed", "bad")]


async def test_b7_leases_do_not_go_by_the_clocks_of_workers(
    redis_url: str, journal: Journal, client: redis.asyncio.Redis
) -> None:
    async with AsyncExitStack() as stack:
        broker = broker_with_jobs(redis_url, journal, lease=LONG)
        stack.push_async_callback(broker.shutdown)
        fast, _ = [
            await stack.enter_async_context(a_child(redis_url, journal, skew=skew, lease=LONG)) for skew in (120, -120)
        ]
        await eventually(lambda: has_workers(broker, 2))
        await kick(broker, "long", 3 * LONG)
        await eventually(lambda: "ended long" in journal.lines)
        await eventually(lambda: is_idle(client))
        assert journal.lines == ["started long", "ended long"]

        for n in range(8):
            await kick(broker, f"job {n}", LEASE)
        await eventually(lambda: len(journal.lines) >= 10)
        fast.kill()
        await eventually(lambda: {f"ended job {n}" for n in range(8)} <= set(journal.lines))


async def has_workers(broker: StreamBroker, number: int) -> bool:
    return (await broker.backlog()).workers == number


async def test_b8_while_redis_is_slow_a_kick_fails_clearly_is_told_once_and_the_next_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_broker, "_REDIS_TIMEOUT", 3)
    with Redis() as server, capture_logs() as logs:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(redis.asyncio.Redis.from_url(server.url))
            broker = broker_with_jobs(server.url, Journal(server.folder / "journal"))
            stack.push_async_callback(broker.shutdown)
            await pause(client)
            for _ in range(2):
                with pytest.raises(SendTaskError) as raised:
                    await kick(broker, "job")
                assert isinstance(raised.value.__cause__, QueueUnavailableError)
            await resume(client)
            await kick(broker, "job")

            assert await client.xlen(QUEUE) == 1
    assert [log["event"] for log in logs] == ["no task can be queued", "Redis is back"]


async def test_b8_a_kick_on_a_slow_way_is_given_up(
    redis_url: str, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = urlsplit(redis_url)
    monkeypatch.setattr(stream_broker, "_TIMEOUT", 1)
    async with FaultProxy(address.hostname or "", address.port or 0) as proxy:
        proxy.latency = 0.2  # each way, so that no single answer is waited for too long
        broker = broker_with_jobs(f"redis://127.0.0.1:{proxy.port}/0", journal)
        with pytest.raises(SendTaskError) as raised:
            await kick(broker, "job")
        proxy.latency = 0
        await broker.shutdown()

    assert str(raised.value.__cause__) == "no task can be queued: Redis does not answer"


async def test_b8_a_worker_waits_for_a_slow_redis_and_goes_on(journal: Journal) -> None:
    with Redis() as server:
        broker = broker_with_jobs(server.url, journal)
        async with redis.asyncio.Redis.from_url(server.url) as client, a_child(server.url, journal) as child:
            await kick(broker, "during", task="held")
            await eventually(lambda: journal.lines == ["started during"])
            await pause(client)
            journal.let("during")
            await eventually(lambda: journal.lines == ["started during", "ended during"])
            await resume(client)
            await kick(broker, "after")

            await eventually(lambda: "ended after" in journal.lines)
            await eventually(lambda: is_idle(client))
            assert journal.counted("started during") == 1
            assert not child.has_ended
        await broker.shutdown()


async def test_b9_while_redis_is_full_a_kick_fails_clearly_is_told_once_and_what_runs_is_finished(
    journal: Journal,
) -> None:
    with Redis() as server, capture_logs() as logs:
        broker = broker_with_jobs(server.url, journal)
        async with redis.asyncio.Redis.from_url(server.url) as client, a_child(server.url, journal):
            await kick(broker, "during", task="held")
            await eventually(lambda: journal.lines == ["started during"])
            await fill(client)
            for _ in range(2):
                with pytest.raises(SendTaskError) as raised:
                    await kick(broker, "refused")
                assert "maxmemory" in str(raised.value.__cause__)
            journal.let("during")
            await eventually(lambda: is_idle(client))
            await make_room(client)
            await kick(broker, "after")
            await eventually(lambda: "ended after" in journal.lines)
        await broker.shutdown()

    assert journal.lines == ["started during", "ended during", "started after", "ended after"]
    assert [log["event"] for log in logs] == ["no task can be queued", "Redis is back"]


async def test_b9_what_cannot_be_buried_in_a_full_redis_is_buried_later(journal: Journal) -> None:
    with Redis() as server:
        broker = broker_with_jobs(server.url, journal)
        await broker.startup()
        await broker.shutdown()
        async with redis.asyncio.Redis.from_url(server.url) as client:
            await client.xadd(QUEUE, {"data": "junk"})
            await fill(client)
            async with a_child(server.url, journal) as child:
                await eventually(lambda: is_taken(client))
                await make_room(client)
                await eventually(lambda: is_idle(client))
                assert not child.has_ended

            assert await client.xlen(DEAD) == 1


async def is_taken(client: redis.asyncio.Redis) -> bool:
    groups = await client.xinfo_groups(QUEUE)
    return bool(groups and groups[0]["pending"])


async def test_b10_a_task_that_a_worker_does_not_know_waits_for_one_that_does(
    redis_url: str, broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    names, claims = ["one", "two", "three"], await calls(client, "xclaim")
    newer = broker_with_jobs(redis_url, journal, knows_tomorrow=True)
    with capture_logs() as logs:
        async with a_worker(broker):
            for name in names * 2:
                await kick(newer, name, task="of_tomorrow")
            await eventually(lambda: are_left_alone(client, 3))
            assert (await newer.backlog()).waiting == 3
            assert await calls(client, "xclaim") - claims == 3  # each was left once, and never looked at again
            async with a_child(redis_url, journal, "tomorrow"):
                await eventually(lambda: is_idle(client))
    await newer.shutdown()

    assert sorted(journal.lines) == ["tomorrow one", "tomorrow three", "tomorrow two"]
    assert [(log["event"], log["task"]) for log in logs] == [
        ("left to workers that know it, as newer ones may", "of_tomorrow")
    ]


async def are_left_alone(client: redis.asyncio.Redis, number: int) -> bool:
    """Say whether so many messages were taken by nobody for many beats of a worker."""
    left = await left_to_others(client)
    return len(left) == number and all(
        each["time_since_delivered"] > 3000 * LEASE and each["times_delivered"] == 0 for each in left
    )


async def test_b10_what_is_left_to_others_hides_nothing_that_comes_after_it(
    redis_url: str, broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis
) -> None:
    newer = broker_with_jobs(redis_url, journal, knows_tomorrow=True)
    for n in range(250):
        await kick(newer, str(n), task="of_tomorrow")
    await newer.shutdown()
    async with a_child(redis_url, journal) as victim:
        await kick(broker, "job", task="held")
        await eventually(lambda: journal.lines == ["started job"])
        victim.kill()

    journal.let("job")
    async with a_worker(broker_with_jobs(redis_url, journal)):
        await eventually(lambda: journal.lines == ["started job", "started job", "ended job"])
        await eventually(lambda: has_length(client, 250))


async def has_length(client: redis.asyncio.Redis, number: int) -> bool:
    return await client.xlen(QUEUE) == number


async def test_b10_what_no_worker_knew_for_long_is_buried(
    redis_url: str, journal: Journal, client: redis.asyncio.Redis
) -> None:
    newer = broker_with_jobs(redis_url, journal, knows_tomorrow=True)
    await kick(newer, "one", task="of_tomorrow")
    async with a_worker(broker_with_jobs(redis_url, journal, patience=2 * LEASE)):
        await eventually(lambda: is_idle(client))
    await newer.shutdown()

    assert await reasons_of_the_dead(client) == [b"no worker knew the task of_tomorrow"]


@pytest.mark.parametrize("stream", [QUEUE, URGENT])
async def test_b11_what_nobody_can_read_is_buried_and_the_worker_goes_on(
    redis_url: str, broker: StreamBroker, journal: Journal, client: redis.asyncio.Redis, stream: str
) -> None:
    wrong = {"task_id": "1", "task_name": "job", "labels": {}, "args": [1, 2, 3], "kwargs": {}}
    await client.xadd(stream, {"data": b"\x80\x04no json"})
    await client.xadd(stream, {"data": b"[1, 2]"})
    await client.xadd(stream, {"something": "else"})
    await client.xadd(stream, {"data": broker.serializer.dumpb(wrong)})
    await kick(broker, "next")

    async with a_worker(broker_with_jobs(redis_url, journal)):
        await eventually(lambda: is_idle(client))

    reasons = await reasons_of_the_dead(client)
    assert len(reasons) == 3
    assert all(reason.startswith(b"unreadable: ") for reason in reasons)
    assert journal.lines == ["started next", "ended next"]


async def test_b13_cancelled_calls_leave_no_answers_to_others(
    redis_url: str, journal: Journal, client: redis.asyncio.Redis
) -> None:
    chance = random.Random(13)
    address = urlsplit(redis_url)
    async with FaultProxy(address.hostname or "", address.port or 0) as proxy:
        proxy.latency = 0.005
        broker = broker_with_jobs(f"redis://127.0.0.1:{proxy.port}/0", journal)
        kicks = [asyncio.create_task(kick(broker, f"job {n}")) for n in range(200)]
        for call in kicks:
            await asyncio.sleep(chance.random() * 0.002)
            if chance.random() < 0.5:
                call.cancel()
        ends = await asyncio.gather(*kicks, return_exceptions=True)
        echoes = await asyncio.gather(*(broker._redis.echo(str(n)) for n in range(100)))
        waiting = (await broker.backlog()).waiting
        await broker.shutdown()

    assert {type(end) for end in ends} == {asyncio.CancelledError, type(None)}
    assert [int(echo) for echo in echoes] == list(range(100))
    assert ends.count(None) <= waiting == await client.xlen(QUEUE)


async def test_a_load_did_not_fail_when_the_next_one_cannot_be_queued(service: Service, simulator: Simulator) -> None:
    now = simulator.clock.now()
    period = Period(now - timedelta(hours=2), Timeframe.M1.floor(now))
    await follow(service, SBER_M1, GAZP_M1, since=period.time_from)
    async with service.storage.begin() as uow:
        await uow.updates.add([Update("wish", now)])
        await uow.update_parts.add(UpdatePart("wish", now, series, period) for series in (SBER_M1, GAZP_M1))
    broker = StreamBroker(f"redis://127.0.0.1:{free_port()}/0", lease=LEASE)
    context = Context(TaskiqMessage(task_id="", task_name="", labels={}, args=[], kwargs={}), broker)

    with pytest.raises(SendTaskError):
        await kick_rest(broker, await list_unfinished(service.storage))
    await backfill_series("TQBR", "SBER", Timeframe.M1, service, context)

    assert await list_unfinished(service.storage) == [GAZP_M1]
    await broker.shutdown()
