"""Whether to restart us, and whether to send us requests."""

import asyncio
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from app.core.errors import StorageUnavailableError
from app.io.rest_api import errors
from app.io.rest_api.dependencies import ServiceDependency

PATIENCE = 5.0
"""Seconds: who asks for readiness asks again soon."""

router = APIRouter(prefix="/health", tags=["health"])


class Health(BaseModel):
    """A good answer; anything else is a problem."""

    status: Literal["ok"] = "ok"


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
