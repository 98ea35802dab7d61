"""Brokers, and the processes around them: a worker, the scheduler, or both within the one that serves the API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from taskiq import AsyncBroker, SendTaskError, TaskiqMessage, TaskiqMiddleware, TaskiqResult

from app.bootstrap import Service, bootstrap, configure_logging
from app.core.errors import CandleServiceError, InputError
from app.settings import Settings
from app.tasks.counting import TaskTally, told_on_a_port
from app.tasks.in_process_broker import InProcessBroker
from app.tasks.schedule import Schedule
from app.tasks.stream_broker import StreamBroker
from app.tasks.urgency import PeopleFirst
from app.tasks.worker import consume, run_until_signal

_log = structlog.stdlib.get_logger(__name__)
_GRACE = 5.0


def run_worker(settings: Settings) -> None:
    """Run tasks until SIGTERM or SIGINT; those that still run then get a few seconds. InputError without a Redis."""
    url = _redis_url(settings)
    configure_logging(settings.log_level)
    run_until_signal(lambda stop: _work(settings, url, stop))


def run_scheduler(settings: Settings) -> None:
    """Kick what is due, with each tick, until SIGTERM or SIGINT. InputError without a Redis.

    Of several schedulers one kicks; when it is gone, another does.
    """
    _redis_url(settings)
    configure_logging(settings.log_level)
    run_until_signal(lambda stop: _schedule(settings, stop))


@asynccontextmanager
async def kicking(service: Service) -> AsyncIterator[AsyncBroker]:
    """Give the broker of who loads: workers, or without a Redis this process, which then updates as well."""
    if service.settings.redis_url is None:
        async with embedded(service) as broker:
            yield broker
    else:
        async with open_queue(service.settings) as queue:
            yield queue


@asynccontextmanager
async def embedded(service: Service) -> AsyncIterator[AsyncBroker]:
    """Update what is due, now and with each tick, within this process. Leaving cancels what runs."""
    broker = InProcessBroker(at_once=service.settings.tasks_at_once)
    _equip(broker, service)
    await broker.startup()
    ticking = asyncio.create_task(Schedule(service, broker).run())
    try:
        yield broker
    finally:
        await _end(ticking)
        await broker.shutdown()


@asynccontextmanager
async def open_queue(settings: Settings) -> AsyncIterator[StreamBroker]:
    """Open the queue for who kicks or looks, and runs nothing. InputError without a Redis."""
    broker = StreamBroker(_redis_url(settings), lease=settings.task_lease)
    try:
        yield broker
    finally:
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
            case SendTaskError():
                pass  # the broker tells it once; the next tick makes up for it
            case CandleServiceError():
                _log.warning("task failed", task=message.task_id, kind=type(exception).__name__, error=str(exception))
            case Exception():
                _log.error("task failed", task=message.task_id, exc_info=exception)


async def _work(settings: Settings, url: str, stop: asyncio.Event) -> None:
    async with bootstrap(settings) as service:
        broker = StreamBroker(url, lease=settings.task_lease)
        broker.is_worker_process = True
        _equip(broker, service)
        with told_on_a_port(service):
            await consume(broker, stop, at_once=settings.tasks_at_once, grace=_GRACE)


async def _schedule(settings: Settings, stop: asyncio.Event) -> None:
    async with bootstrap(settings) as service, open_queue(settings) as broker:
        ticking = asyncio.create_task(Schedule(service, broker).run())
        try:
            with told_on_a_port(service):
                await asyncio.wait([ticking, asyncio.ensure_future(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(ticking)


async def _end(ticking: asyncio.Task[None]) -> None:
    """Cancel it, and raise what ended it before."""
    ticking.cancel()
    with suppress(asyncio.CancelledError):
        await ticking


def _equip(broker: AsyncBroker, service: Service) -> None:
    """Give the tasks of a broker what they need."""
    broker.add_dependency_context({Service: service})
    broker.add_middlewares(PeopleFirst(), FailureLog(), TaskTally(service.tally))


def _redis_url(settings: Settings) -> str:
    if settings.redis_url is None:
        raise InputError("REDIS_URL", "not set: without it `serve` runs the updates itself")
    return settings.redis_url
