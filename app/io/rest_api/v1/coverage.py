"""What is covered, as JSON."""

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from app.core.date_time import Timestamp
from app.use_cases.explain_gaps import Gap, GapReason


class Span(BaseModel):
    """A half-open period: `from` included, `till` not."""

    model_config = ConfigDict(populate_by_name=True)

    time_from: datetime = Field(alias="from")
    till: datetime

    @classmethod
    def of(cls, time_from: Timestamp, till: Timestamp, zone: tzinfo = UTC) -> Self:
        return cls(time_from=time_from.utc.astimezone(zone), till=till.utc.astimezone(zone))


class MissingSpan(Span):
    """A half-open period that is not covered, and why."""

    reason: GapReason = Field(
        GapReason.NOT_LOADED,
        description="`closed`: the exchange was closed. `before_listing`: it has no candles of that time. `no_trades`: "
        "asked, and nothing came yet. `in_progress`: its bars are not final there yet, or are read again since the "
        "share was split. `source_error`: the exchange failed, or its row was refused. `not_loaded`: not asked yet",
    )


def missing_spans(gaps: Iterable[Gap], zone: tzinfo = UTC) -> list[MissingSpan]:
    """Render gaps in a zone."""
    return [
        MissingSpan(
            time_from=gap.period.time_from.utc.astimezone(zone),
            till=gap.period.time_till.utc.astimezone(zone),
            reason=gap.reason,
        )
        for gap in gaps
    ]
