"""The lengths of bars."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.core.entities import Timeframe
from app.io.rest_api import errors

router = APIRouter(prefix="/timeframes", tags=["candles"])


class TimeframeDescription(BaseModel):
    """One length of bars."""

    name: Timeframe
    seconds: int | None = Field(
        description="The length of a bar; null where the calendar decides. H2 and H4 are an hour longer or shorter in "
        "the nights in which the clocks were changed, the last time in 2014"
    )
    derived_from: Timeframe | None = Field(
        description="The timeframe of which its bars are made; null where the exchange has them"
    )


class Timeframes(BaseModel):
    """All of them, shortest first."""

    timeframes: list[TimeframeDescription]


@router.get("", responses=errors.responses())
async def list_timeframes() -> Timeframes:
    """List the timeframes, shortest first.

    Intraday bars follow the Moscow wall clock from midnight, longer ones begin at Moscow midnight. Derived ones can be
    read as soon as what they are made of is followed. Where a timeframe is asked for,
    aliases that can't be misread do too: `1min`, `1h`, `60`, `1D`; `1m` is a minute, `1M` a month.
    """
    return Timeframes(timeframes=[_describe(timeframe) for timeframe in Timeframe])


def _describe(timeframe: Timeframe) -> TimeframeDescription:
    length = timeframe.usual_length
    return TimeframeDescription(
        name=timeframe,
        seconds=length and int(length.total_seconds()),
        derived_from=timeframe.base if timeframe.is_derived else None,
    )
