"""What Prometheus collects."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from app.core.errors import CandleServiceError
from app.core.freshness import Outlook
from app.io.rest_api import errors
from app.io.rest_api.dependencies import OutlookDependency
from app.io.rest_api.recent import RecentOutlook

PATIENCE = 5.0
"""Seconds: who collects gives up soon, and the counts of this process are told in any case."""

Queue = Callable[[], Awaitable[Mapping[str, float]]]

router = APIRouter(tags=["health"])


async def no_queue() -> Mapping[str, float]:
    """Tell of tasks that run in this process: none waits anywhere."""
    return {}


@router.get("/metrics", response_class=Response, responses=errors.responses(404))
async def metrics(request: Request, recent: OutlookDependency) -> Response:
    """Tell Prometheus how current the service is, and what this process did. 404 unless METRICS is on."""
    told = request.app.state.metrics
    if told is None:
        raise HTTPException(404, "metrics are off: METRICS=on tells them to whoever can reach this port")
    outlook, queue = await asyncio.gather(_outlook(recent), _queue(request.app.state.queue))
    return Response(told.text(outlook, queue), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _outlook(recent: RecentOutlook) -> Outlook | None:
    with suppress(CandleServiceError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            return await recent.get()
    return None


async def _queue(queue: Queue) -> Mapping[str, float]:
    with suppress(CandleServiceError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            return await queue()
    return {}
