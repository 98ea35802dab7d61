"""Whether to restart us, and whether to send us requests."""

import asyncio
from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.core.errors import StorageUnavailableError
from app.io.rest_api import errors
from app.io.rest_api.dependencies import ServiceDependency

PATIENCE = 5.0
"""Seconds: who asks for readiness asks again soon."""

router = APIRouter(prefix="/health", tags=["health"])


class Health(BaseModel):
    """A good answer; anything else is a problem."""

    status: Literal["ok"] = "ok"


class SourceHealth(BaseModel):
    """How we stand with the exchange."""

    state: Literal["ok", "paused", "open", "half_open"] = Field(
        description="`paused`: it asked for patience, requests wait; `open`: it failed too often and is left alone; "
        "`half_open`: the next request tries for all"
    )
    until: datetime | None = Field(None, description="Nobody asks it before")
    reason: str | None = Field(None, description="What it said last")
    shared: bool = Field(description="All processes know and count together; otherwise this is what this one knows")


@router.get("/live", responses=errors.responses())
async def live() -> Health:
    """Say that the process answers. It says nothing of the database: a restart would not mend that."""
    return Health()


@router.get("/ready", responses=errors.responses())
async def ready(service: ServiceDependency) -> Health:
    """Say that the database is there, has this program's tables and belongs to this exchange.

    The exchange itself is not asked: what is stored can be given out without it.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            await service.storage.check(service.settings.source)
    except TimeoutError as error:
        raise StorageUnavailableError(f"the database did not answer within {PATIENCE:g} s") from error
    return Health()


@router.get("/source", responses=errors.responses())
async def source(service: ServiceDependency) -> SourceHealth:
    """Tell how we stand with the exchange, without asking it. For people: readiness does not depend on it."""
    status = await service.source_status()
    until = status.until and status.until.utc
    return SourceHealth(state=status.state, until=until, reason=status.reason or None, shared=status.is_shared)
