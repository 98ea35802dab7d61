import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import redis.asyncio
import structlog

from app.bootstrap import Service
from app.core.entities import Timeframe
from app.simulator.clock import read_moment
from app.simulator.fault_kinds import Revise, Split
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tasks.chores import audit, look_for_splits, refresh
from app.tasks.schedule import look
from app.tasks.stream_broker import StreamBroker
from app.tests.builders import GAZP_M1, SBER, SBER_D1, SBER_M1, follow
from app.use_cases.create_security import create_security
from app.use_cases.update_candles import update_candles

LOOKS_AT_LISTS: list[tuple[str, list[str]]] = [
    ("record_splits", []),
    ("refresh_calendar", []),
    ("refresh_reference", []),
]
UPDATES_OF_THREE = [
    ("update_series", ["TQBR", "GAZP", "M1"]),
    ("update_series", ["TQBR", "SBER", "D1"]),
    ("update_series", ["TQBR", "SBER", "M1"]),
]


@pytest.fixture
async def broker(redis_url: str) -> AsyncIterator[StreamBroker]:
    broker = StreamBroker(redis_url, lease=1)
    yield broker
    await broker.shutdown()


@pytest.fixture
async def followed(service: Service) -> Service:
    await follow(service.storage, SBER_M1, SBER_D1, GAZP_M1)
    return service


async def queued(url: str) -> list[tuple[str, list[str]]]:
    async with redis.asyncio.Redis.from_url(url) as client:
        entries: Any = await client.xrange("candles")
    messages = [json.loads(fields[b"data"]) for _, fields in entries]
    return sorted((message["task_name"], message["args"]) for message in messages)


async def test_an_update_queues_one_task_for_each_followed_series_and_those_for_lists(
    redis_url: str, broker: StreamBroker, followed: Service
) -> None:
    await look(followed, broker)

    assert await queued(redis_url) == [*LOOKS_AT_LISTS, *UPDATES_OF_THREE]


async def test_the_tasks_for_lists_read_them_once_in_their_time(followed: Service, simulator: Simulator) -> None:
    simulator.faults.add(Split(match=Match(ticker="SBER"), date="2024-01-09", factor=0.1))
    for minutes in (0, 30, 30, 23 * 60):
        simulator.clock.advance(timedelta(minutes=minutes))
        await look_for_splits(followed)
        await refresh(followed)

    paths = [request.path.rpartition("/")[2] for request in simulator.requests]
    assert (paths.count("splits.json"), paths.count("changeover.json")) == (3, 2)
    async with followed.storage.read() as uow:
        assert [(split.security, split.factor) async for split in uow.splits] == [(SBER, 10.0)]


async def test_bad_rows_of_a_list_are_told_once_with_the_first(followed: Service, simulator: Simulator) -> None:
    simulator.faults.add(Split(match=Match(ticker="SBER"), date="soon", factor=0.1))

    with structlog.testing.capture_logs() as logs:
        await look_for_splits(followed)

    [told] = [log for log in logs if log["event"] == "rows of a list make no sense"]
    assert (told["list"], told["count"]) == ("splits", 1)
    assert "soon" in told["first"]


async def test_what_came_since_the_last_audit_is_audited_once_a_night_when_nothing_is_due(
    redis_url: str, broker: StreamBroker, service: Service, simulator: Simulator
) -> None:
    minutes = Match(ticker="SBER", interval=1)
    old, new = read_moment("2024-01-05T12:10"), read_moment("2024-01-10T11:10")
    for begin in ("2024-01-05 12:13:00", "2024-01-10 11:13:00"):
        simulator.faults.add(Revise(match=minutes, begin=begin, values={"volume": 1}, times=None))
    since = {Timeframe.M1: read_moment("2024-01-03"), Timeframe.M10: read_moment("2024-01-03")}
    await create_security(service.storage, service.adapter, SBER, since=since)
    assert (await update_candles(service.storage, service.loader, service.clock)).failures == {}
    async with service.storage.begin() as uow:
        compared = [replace(state, reread_at=simulator.clock.now()) async for state in uow.series]
        await uow.series.add(compared)

    await look(service, broker)

    assert ("audit_candles", []) in await queued(redis_url)
    assert await audited(service) == [(str(old), 2)]
    assert await audited(service) == []
    simulator.clock.advance(timedelta(days=1))
    assert (await update_candles(service.storage, service.loader, service.clock)).failures == {}
    assert await audited(service) == [(str(new), 1)]


async def audited(service: Service) -> list[tuple[str, int]]:
    """Audit, if it is time, and return what the log tells of each series: its first bar that differs, and how many."""
    with structlog.testing.capture_logs() as logs:
        await audit(service)
    return [(log["first"], log["bars"]) for log in logs if log["log_level"] == "warning"]


async def test_five_updates_without_a_worker_queue_each_series_once(
    redis_url: str, broker: StreamBroker, followed: Service
) -> None:
    for _ in range(5):
        await look(followed, broker)

    assert await queued(redis_url) == [*LOOKS_AT_LISTS, *UPDATES_OF_THREE]
