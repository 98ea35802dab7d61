"""Whether to restart us, and whether to send us requests."""

import asyncio
from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from app.core.errors import StorageUnavailableError
from app.core.freshness import Outlook, Verdict
from app.io.rest_api import errors
from app.io.rest_api.dependencies import IsDrainingDependency, OutlookDependency, ServiceDependency
from app.io.rest_api.freshness_answer import FreshnessHealth, SourceHealth

PATIENCE = 5.0
"""Seconds: who asks for readiness asks again soon."""

router = APIRouter(prefix="/health", tags=["health"])


class Health(BaseModel):
    """A good answer; anything else is a problem."""

    status: Literal["ok"] = "ok"


class FreshnessParameters(BaseModel):
    """How to tell it."""

    model_config = ConfigDict(extra="forbid")

    alarm: bool = Field(default=False, description="503 unless everything is fresh: for who looks at the status alone")
    limit: int = Field(10, ge=0, le=1000, description="How many series are named at most")


@router.get("/live", responses=errors.responses())
async def live() -> Health:
    """Say that the process answers. It says nothing of the database: a restart would not mend that."""
    return Health()


@router.get("/ready", responses=errors.responses())
async def ready(service: ServiceDependency, is_draining: IsDrainingDependency) -> Health:
    """Say that the database is there, has this program's tables and belongs to this exchange, and that we stay.

    Who is about to end still answers everything else, for a while.

    The exchange itself is not asked: what is stored can be given out without it.
    """
    if is_draining:
        raise HTTPException(503, "draining: this process is about to end")
    try:
        async with asyncio.timeout(PATIENCE):
            await service.storage.check(service.settings.source)
    except TimeoutError as error:
        raise StorageUnavailableError(f"the database did not answer within {PATIENCE:g} s") from error
    return Health()


@router.get("/source", responses=errors.responses())
async def source(service: ServiceDependency) -> SourceHealth:
    """Tell how we stand with the exchange, without asking it. For people: readiness does not depend on it."""
    return SourceHealth.of(await service.source_status())


@router.get("/freshness", responses=errors.responses(422))
async def freshness(wish: Annotated[FreshnessParameters, Query()], recent: OutlookDependency) -> FreshnessHealth:
    """Tell how current everything that is followed is, as of a moment ago. Readiness does not depend on it."""
    outlook = await recent.get()
    if wish.alarm and outlook.verdict is not Verdict.FRESH:
        raise HTTPException(503, _alarm(outlook))
    return FreshnessHealth.of(outlook, wish.limit)


def _alarm(outlook: Outlook) -> str:
    """Say in a sentence what is wrong."""
    bad = len(outlook.series) - outlook.counts[Verdict.FRESH]
    worst = outlook.series[0]
    minutes = worst.lag // timedelta(minutes=1)
    return (
        f"{outlook.verdict}: {bad} of {len(outlook.series)} series are not fresh; "
        f"{worst.state.series} owes {minutes} minutes of trading"
    )
