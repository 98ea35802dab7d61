"""Growth by query: who asks for a security that nobody follows gets its newest day soon, and its past follows."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis.asyncio

from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.entities import Series, Timeframe
from app.core.market_data import ILoadProgress, LoadOutcome, Wish
from app.core.resampling import roll_up
from app.core.spans import Period
from app.io.rest_api.main import create_app
from app.simulator.fault_kinds import Slow, Status
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tasks.broker import embedded, kicking
from app.tests.builders import SBER
from app.tests.io.rest_client import Answer, Client
from app.tests.journeys.conftest import NOON, environment_of
from app.tests.journeys.dying import KILLED
from app.tests.journeys.dying_asker import QUESTION, STEPS
from app.tests.tasks.children import Child, running
from app.tests.tasks.comparing import is_current
from app.tests.tasks.queues import workers_known
from app.tests.tasks.waiting import eventually
from app.use_cases.backfill_series import backfill_series
from app.use_cases.create_security import create_security
from app.use_cases.plan_updates import plan_updates
from app.use_cases.update_candles import update_candles
from app.use_cases.verify import verify

CANDLES = "/v1/candles"
SBER_M1, SBER_H1 = Series(SBER, Timeframe.M1), Series(SBER, Timeframe.H1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def service(open_service: Callable[..., Awaitable[Service]], sqlite_url: str) -> Service:
    return await open_service(sqlite_url, tick=0.5)


@pytest.fixture
async def client(service: Service) -> AsyncIterator[Client]:
    """The API, and the updates in the same process."""
    async with embedded(service) as broker:
        app = create_app(service=service, broker=broker)
        yield Client(app)
        await app.state.desk.close()


def monitor(answer: Answer) -> str:
    [link] = [link for link in answer.headers["link"].split(", ") if 'rel="monitor"' in link]
    return link.partition(">")[0].removeprefix("<")


async def is_done(client: Client, path: str) -> bool:
    return bool((await client.get(path)).json["state"] == "done")


def begins(answer: Answer) -> list[str]:
    return [candle["begin"] for candle in answer.json["candles"]]


def at(text: str) -> Timestamp:
    return Timestamp.from_moscow(datetime.fromisoformat(text))


async def test_the_newest_day_of_a_security_never_seen_is_answered_and_the_rest_follows(
    service: Service, simulator: Simulator, client: Client
) -> None:
    day = simulator.truth(SBER_M1, Period(NOON - 12 * HOUR, NOON))

    answer = await client.get(CANDLES, {"security": "TQBR:SBER", "timeframe": "M1", "last": len(day), "wait": "30"})
    await eventually(lambda: is_done(client, monitor(answer)))

    assert begins(answer) == [str(candle.timestamp) for candle in day]
    assert await is_current(service, simulator, SBER_M1)
    assert await verify(service.storage) == []


async def test_the_newest_day_is_there_while_the_rest_is_still_loaded(
    service: Service, simulator: Simulator, client: Client
) -> None:
    day = simulator.truth(SBER_M1, Period(NOON - 12 * HOUR, NOON))
    older = Match(path="candles.json", query="from=(2023|2024-01-0|2024-01-1[0-6])")
    simulator.faults.add(Slow(match=older, seconds=60, times=None))

    answer = await client.get(CANDLES, {"security": "TQBR:SBER", "timeframe": "M1", "last": len(day), "wait": "30"})

    assert begins(answer) == [str(candle.timestamp) for candle in day]
    assert "in_progress" in {gap["reason"] for gap in answer.json["coverage"]["gaps"]}
    progress = (await client.get(monitor(answer))).json
    assert progress["state"] == "running"
    assert 0 < progress["covered"] < progress["requested"]
    assert progress["rows"] == len(day)


async def test_a_series_stays_current_while_its_past_is_loaded(service: Service, simulator: Simulator) -> None:
    asking = Client(create_app(service=service))
    await asking.get(CANDLES, {"security": "TQBR:SBER", "timeframe": "M1", "from": "2023-10-20", "limit": "1"})
    loader, pause = service.loader, timedelta(minutes=10)
    lags = list[timedelta]()

    class Leisurely:
        """A loader that takes ten minutes for each piece."""

        missing = loader.missing

        async def load(self, wishes: Iterable[Wish], *, progress: ILoadProgress | None = None) -> LoadOutcome:
            outcome = await loader.load(wishes, progress=progress)
            lags.append(simulator.clock.now() - await newest_end(service))
            simulator.clock.advance(pause)
            return outcome

    outcome = await backfill_series(service.storage, Leisurely(), service.clock, SBER_M1)

    assert outcome.failures == {}
    pieces, late = len(lags), service.adapter.delay + timedelta(minutes=1)
    assert pieces > 6
    assert max(lags) <= late + 2 * pause
    assert (await update_candles(service.storage, loader, service.clock)).failures == {}
    assert await is_current(service, simulator, SBER_M1)
    await asking.app.state.desk.close()


async def newest_end(service: Service) -> Timestamp:
    async with service.storage.read() as uow:
        [newest] = await uow.candles.filter_by_series(SBER_M1).newest_first()[:1].page(SBER_M1)
    return SBER_M1.timeframe.after(newest.timestamp)


async def test_without_a_word_the_whole_default_follows_and_an_ended_wait_says_so(
    service: Service, simulator: Simulator, client: Client
) -> None:
    answer = await client.get(CANDLES, {"security": "TQBR:SBER", "timeframe": "H1", "wait": "30", "limit": "10000"})
    whole = await client.get(CANDLES, {"security": "TQBR:SBER", "timeframe": "H1", "limit": "10000"})

    year = simulator.truth(SBER_H1, Period(NOON - 365 * DAY, NOON))
    assert begins(answer) == begins(whole) == [str(candle.timestamp) for candle in year]
    assert "link" not in whole.headers
    assert await is_current(service, simulator, SBER_H1)


async def test_bars_made_of_minutes_make_minutes_followed(
    service: Service, simulator: Simulator, client: Client
) -> None:
    query = {"security": "TQBR:SBER", "timeframe": "M15", "from": "2024-01-16", "till": "2024-01-16", "wait": "30"}

    answer = await client.get(CANDLES, query)

    day = Period(at("2024-01-16"), at("2024-01-17"))
    minutes = simulator.truth(SBER_M1, day)
    assert begins(answer) == [str(c.timestamp) for c in roll_up(minutes, Timeframe.M15, [day])]
    assert answer.json["coverage"]["complete"]


async def test_an_earlier_period_is_loaded_and_what_lies_between_follows(
    service: Service, simulator: Simulator, client: Client
) -> None:
    await create_security(service.storage, service.adapter, SBER, since={Timeframe.H1: NOON - 5 * DAY})
    query = {"security": "TQBR:SBER", "timeframe": "H1", "from": "2023-11-06", "till": "2023-11-10", "wait": "30"}

    answer = await client.get(CANDLES, query)
    truth = simulator.truth(SBER_H1, Period(at("2023-11-06"), at("2023-11-11")))
    assert begins(answer) == [str(candle.timestamp) for candle in truth]
    assert answer.json["coverage"]["complete"]

    await client.get(CANDLES, {**query, "till": "2024-01-17"})
    await eventually(lambda: is_current(service, simulator, SBER_H1))


async def test_an_exchange_that_fails_is_told_and_tried_again(
    service: Service, simulator: Simulator, client: Client
) -> None:
    failing = simulator.faults.add(Status(match=Match(path="candles.json"), code=404, times=None))
    query = {"security": "TQBR:SBER", "timeframe": "H1", "from": "2024-01-10"}

    answer = await client.get(CANDLES, {**query, "wait": "30"})
    progress = await client.get("/v1/updates")
    simulator.faults.clear()
    async with service.storage.read() as uow:
        state = await uow.series.get(SBER_H1)

    assert failing.struck
    assert {gap["reason"] for gap in answer.json["coverage"]["gaps"]} == {"closed", "source_error"}
    assert [(each["state"], each["parts"][0]["failure"]) for each in progress.json["updates"]] == [
        ("failed", state.failure)
    ]


async def test_a_plan_tells_about_what_a_load_takes(service: Service, simulator: Simulator) -> None:
    since = {Timeframe.M1: NOON - 10 * DAY, Timeframe.H1: NOON - 60 * DAY, Timeframe.D1: NOON - 300 * DAY}
    await create_security(service.storage, service.adapter, SBER, since=since)
    ports = (service.storage, service.loader, service.clock)

    before = await plan_updates(*ports, rate=5)
    await update_candles(*ports, time_from=NOON - 8 * DAY)
    known = await plan_updates(*ports, rate=None)
    far = await plan_updates(*ports, time_till=NOON + 3650 * DAY, rate=None)
    asked = len(simulator.requests)
    outcome = await update_candles(*ports)
    took = len(simulator.requests) - asked

    assert {load.series.timeframe for load in before.loads} == {Timeframe.M1, Timeframe.H1, Timeframe.D1}
    assert before.duration == timedelta(seconds=before.requests / 5)
    assert known.duration is None
    assert far == known  # what is still to come takes nothing
    assert known.rows == pytest.approx(sum(outcome.rows.values()), rel=0.15)
    assert took / 2 <= known.requests <= 2 * took
    assert (await plan_updates(*ports, rate=5)).rows < known.rows / 10  # only what still forms


@pytest.fixture
async def processes(
    postgresql_url: str, redis_url: str, simulator: Simulator, tmp_path: Path
) -> Callable[[str], AbstractAsyncContextManager[Child]]:
    """Start a worker or a scheduler, apart from this process."""
    environment = {**environment_of(simulator, postgresql_url), "REDIS_URL": redis_url, "TICK": "0.5"}

    def start(role: str) -> AbstractAsyncContextManager[Child]:
        program = f"from app.settings import Settings; from app.tasks.broker import run_{role}; run_{role}(Settings())"
        return running("-c", program, folder=tmp_path, environment=environment)

    return start


async def test_with_a_worker_apart_a_security_never_seen_is_loaded_as_well(
    open_service: Callable[..., Awaitable[Service]],
    postgresql_url: str,
    redis_url: str,
    simulator: Simulator,
    processes: Callable[[str], AbstractAsyncContextManager[Child]],
) -> None:
    service = await open_service(postgresql_url, redis_url=redis_url)
    day = simulator.truth(SBER_M1, Period(NOON - 12 * HOUR, NOON))
    async with AsyncExitStack() as stack:
        queue = await stack.enter_async_context(redis.asyncio.Redis.from_url(redis_url))
        await stack.enter_async_context(processes("worker"))
        await eventually(lambda: workers_known(queue))
        await stack.enter_async_context(processes("scheduler"))
        broker = await stack.enter_async_context(kicking(service))
        app = create_app(service=service, broker=broker)
        stack.push_async_callback(app.state.desk.close)
        client = Client(app)

        answer = await client.get(CANDLES, {"security": "TQBR:SBER", "timeframe": "M1", "last": len(day), "wait": "30"})
        await eventually(lambda: is_current(service, simulator, SBER_M1))

    assert begins(answer) == [str(candle.timestamp) for candle in day]
    assert await verify(service.storage) == []


@pytest.mark.parametrize("step", STEPS)
async def test_b12_a_death_around_the_commit_of_a_wish_leaves_neither_phantom_nor_loss(
    open_service: Callable[..., Awaitable[Service]],
    postgresql_url: str,
    redis_url: str,
    simulator: Simulator,
    processes: Callable[[str], AbstractAsyncContextManager[Child]],
    step: str,
) -> None:
    service = await open_service(postgresql_url, redis_url=redis_url)
    environment = {**environment_of(simulator, postgresql_url), "REDIS_URL": redis_url}
    command = (sys.executable, "-m", "app.tests.journeys.dying_asker", step)
    asker = await asyncio.create_subprocess_exec(*command, env=environment)

    assert await asker.wait() == KILLED
    wishes, followed, waiting = await left_behind(service, redis_url)
    assert (wishes, followed, waiting) == {
        "before_commit": (0, 0, 0),
        "after_commit": (1, 1, 0),
        "after_kick": (1, 1, 1),
    }[step]

    async with AsyncExitStack() as stack:
        for role in ("worker", "scheduler"):
            await stack.enter_async_context(processes(role))
        broker = await stack.enter_async_context(kicking(service))
        client = Client(create_app(service=service, broker=broker))
        if step == "before_commit":
            await client.get(*QUESTION)
        await eventually(lambda: is_over(service))
        await eventually(lambda: is_current(service, simulator, SBER_H1))
        await client.app.state.desk.close()
    assert (await left_behind(service, redis_url))[:2] == (1, 1)
    assert await verify(service.storage) == []


async def left_behind(service: Service, redis_url: str) -> tuple[int, int, int]:
    """Count the wishes in the store, what is followed, and what waits for a worker."""
    async with service.storage.read() as uow, redis.asyncio.Redis.from_url(redis_url) as client:
        lengths = [await client.xlen(key) async for key in client.scan_iter("candles*", _type="stream")]
        return await uow.updates.count(), await uow.series.filter_followed().count(), sum(lengths)


async def is_over(service: Service) -> bool:
    async with service.storage.read() as uow:
        return await uow.update_parts.filter_unfinished().count() == 0
