"""The lengths of bars."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.core.entities import Timeframe
from app.io.rest_api import errors

router = APIRouter(prefix="/timeframes", tags=["candles"])


class TimeframeDescription(BaseModel):
    """One length of bars."""

    name: Timeframe
    seconds: int | None = Field(description="The constant length of a bar; null where the calendar decides")


class Timeframes(BaseModel):
    """All of them, shortest first."""

    timeframes: list[TimeframeDescription]


@router.get("", responses=errors.responses())
async def list_timeframes() -> Timeframes:
    """List the timeframes, shortest first.

    Intraday bars follow the Moscow wall clock, longer ones begin at Moscow midnight. Where a timeframe is asked for,
    aliases that can't be misread do too: `1min`, `1h`, `60`, `1D`; `1m` is a minute, `1M` a month.
    """
    return Timeframes(timeframes=[_describe(timeframe) for timeframe in Timeframe])


def _describe(timeframe: Timeframe) -> TimeframeDescription:
    step = timeframe.step
    return TimeframeDescription(name=timeframe, seconds=step and int(step.total_seconds()))
