"""Freshness as JSON."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from app.core.date_time import Timestamp
from app.core.entities import Timeframe
from app.core.freshness import Freshness, Outlook, Verdict
from app.core.market_data import SourceStatus


class SourceHealth(BaseModel):
    """How we stand with the exchange."""

    state: Literal["ok", "paused", "open", "half_open"] = Field(
        description="`paused`: it asked for patience, requests wait; `open`: it failed too often and is left alone; "
        "`half_open`: the next request tries for all"
    )
    until: datetime | None = Field(None, description="Nobody asks it before")
    reason: str | None = Field(None, description="What it said last")
    shared: bool = Field(description="All processes know and count together; otherwise this is what this one knows")

    @classmethod
    def of(cls, status: SourceStatus) -> Self:
        return cls(state=status.state, until=utc(status.until), reason=status.reason or None, shared=status.is_shared)


class SeriesFreshness(BaseModel):
    """How current a series is. Moments are null until there is something to tell."""

    timeframe: Timeframe
    verdict: Verdict = Field(
        description="`fresh`; or it owes a bar for longer than two of its ticks: `behind`, `source_down` while the "
        "exchange is left alone because it failed, `paused` while it asked for patience"
    )
    lag_seconds: int = Field(description="How much open time it owes; closed time is none. Counted back a year at most")
    owed_since: datetime | None = Field(description="When the first bar it owes became final")
    current_till: datetime | None = Field(description="Up to here everything the exchange had is stored")
    checked_at: datetime | None = Field(description="When the last load began that failed nowhere")
    changed_at: datetime | None = Field(description="When the exchange gave the answer that changed it last")
    failed_at: datetime | None = Field(description="When the last load ended early; null since one went well")
    failure: str | None = Field(description="What ended it")
    failures: int = Field(description="How many loads failed in a row")
    retry_at: datetime | None = Field(description="A series that fails is left alone until then")

    @classmethod
    def fields(cls, found: Freshness) -> dict[str, Any]:
        """Return the values of these fields."""
        state = found.state
        return {
            "timeframe": state.series.timeframe,
            "verdict": found.verdict,
            "lag_seconds": int(found.lag.total_seconds()),
            "owed_since": utc(found.owed_since),
            "current_till": utc(found.current_till),
            "checked_at": utc(state.checked_at),
            "changed_at": utc(found.changed_at),
            "failed_at": utc(state.failed_at),
            "failure": state.failure,
            "failures": state.failures,
            "retry_at": utc(found.retry_at),
        }


class SeriesHealth(SeriesFreshness):
    """How current a series is, and which that is."""

    security: str = Field(examples=["TQBR:SBER"])

    @classmethod
    def of(cls, found: Freshness) -> Self:
        return cls(security=str(found.state.series.security), **cls.fields(found))


class FreshnessHealth(BaseModel):
    """How current everything that is followed is."""

    verdict: Verdict = Field(description="That of the worst series")
    at: datetime = Field(description="As of this moment")
    source: SourceHealth
    counts: dict[Verdict, int] = Field(description="How many series have each verdict")
    worst: list[SeriesHealth] = Field(description="Series that are not fresh, the worst first")

    @classmethod
    def of(cls, outlook: Outlook, limit: int) -> Self:
        return cls(
            verdict=outlook.verdict,
            at=outlook.at.utc,
            source=SourceHealth.of(outlook.source),
            counts=dict(outlook.counts),
            worst=[SeriesHealth.of(each) for each in outlook.series[:limit] if each.verdict is not Verdict.FRESH],
        )


def utc(moment: Timestamp | None) -> datetime | None:
    """Return what JSON shows of a moment."""
    return None if moment is None else moment.utc
