"""Brokers, and the processes around them: a worker, the scheduler, or both within the one that serves the API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from redis.exceptions import RedisError
from taskiq import AsyncBroker, SendTaskError, TaskiqMessage, TaskiqMiddleware, TaskiqResult

from app.bootstrap import Service, bootstrap, configure_logging
from app.core.errors import CandleServiceError, InputError
from app.settings import Settings
from app.tasks.in_process_broker import InProcessBroker
from app.tasks.stream_broker import StreamBroker
from app.tasks.update import kick_update
from app.tasks.worker import consume, run_until_signal

_log = structlog.stdlib.get_logger(__name__)
_GRACE = 5.0
_PAUSE = 5.0


def run_worker(settings: Settings) -> None:
    """Run tasks until SIGTERM or SIGINT; those that still run then get a few seconds. InputError without a Redis."""
    url = _redis_url(settings)
    configure_logging(settings.log_level)
    run_until_signal(lambda stop: _work(settings, url, stop))


def run_scheduler(settings: Settings) -> None:
    """Kick an update every `update_every` seconds until SIGTERM or SIGINT. InputError without a Redis.

    Of several schedulers one kicks; when it is gone, another does.
    """
    url = _redis_url(settings)
    configure_logging(settings.log_level)
    run_until_signal(lambda stop: _schedule(settings, url, stop))


@asynccontextmanager
async def embedded(service: Service) -> AsyncIterator[None]:
    """Update now, and then every `update_every` seconds, within this process. Leaving cancels what runs."""
    broker = InProcessBroker(at_once=service.settings.iss_concurrency)
    _equip(broker, service)
    await broker.startup()
    ticking = asyncio.create_task(_tick(broker, service.settings.update_every))
    try:
        yield
    finally:
        ticking.cancel()
        await asyncio.wait([ticking])
        await broker.shutdown()


class FailureLog(TaskiqMiddleware):
    """Logs each failed task once."""

    def on_error(
        self,
        message: TaskiqMessage,
        result: TaskiqResult[Any],  # noqa: ARG002  # TaskIQ's signature
        exception: BaseException,
    ) -> None:
        match exception:
            case CandleServiceError():
                _log.warning("task failed", task=message.task_id, kind=type(exception).__name__, error=str(exception))
            case Exception():
                _log.error("task failed", task=message.task_id, exc_info=exception)


async def _work(settings: Settings, url: str, stop: asyncio.Event) -> None:
    async with bootstrap(settings) as service:
        broker = StreamBroker(url, lease=settings.task_lease)
        broker.is_worker_process = True
        _equip(broker, service)
        await consume(broker, stop, at_once=settings.iss_concurrency, grace=_GRACE)


async def _schedule(settings: Settings, url: str, stop: asyncio.Event) -> None:
    broker = StreamBroker(url, lease=settings.task_lease)
    try:
        while not stop.is_set():
            pause = await _tick_in_turn(broker, settings.update_every)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
    finally:
        await broker.shutdown()


async def _tick_in_turn(broker: StreamBroker, every: float) -> float:
    """Kick if it is this scheduler's turn; return for how many seconds there is nothing to do."""
    try:
        if pause := await broker.claim_tick(every):
            return pause
        await kick_update(broker)
    except (RedisError, SendTaskError) as error:
        _log.warning("no update kicked, the next tick will", error=str(error.__cause__ or error))
        return min(_PAUSE, every)
    return every


async def _tick(broker: AsyncBroker, every: float) -> None:
    while True:
        await kick_update(broker)
        await asyncio.sleep(every)


def _equip(broker: AsyncBroker, service: Service) -> None:
    """Give the tasks of a broker what they need."""
    broker.add_dependency_context({Service: service})
    broker.add_middlewares(FailureLog())


def _redis_url(settings: Settings) -> str:
    if settings.redis_url is None:
        raise InputError("REDIS_URL", "not set: without it `serve` runs the updates itself")
    return settings.redis_url
