"""Updates as JSON."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from app.core.date_time import Timestamp
from app.core.entities import Timeframe
from app.core.updates import UpdateState
from app.use_cases.get_update import PartProgress, UpdateProgress

_REQUESTED = "Minutes of the period in which the exchange can have traded"
_COVERED = "How many of them are stored and final, or have nothing to store"
_ROWS = "How many candles the period holds"


class UpdatePartAnswer(BaseModel):
    """How far one series is."""

    model_config = ConfigDict(populate_by_name=True)

    security: str = Field(examples=["TQBR:SBER"])
    timeframe: Timeframe
    time_from: datetime = Field(alias="from")
    till: datetime
    again: bool = Field(description="It is read although it is covered")
    state: UpdateState
    requested: int = Field(description=_REQUESTED)
    covered: int = Field(description=_COVERED)
    rows: int = Field(description=_ROWS)
    failed_at: datetime | None = Field(description="When the last load ended early; the schedule tries again")
    failure: str | None = Field(description="What ended it")

    @classmethod
    def of(cls, progress: PartProgress) -> Self:
        part = progress.part
        return cls(
            security=str(part.series.security),
            timeframe=part.series.timeframe,
            time_from=part.period.time_from.utc,
            till=part.period.time_till.utc,
            again=part.again,
            state=progress.state,
            requested=progress.requested,
            covered=progress.covered,
            rows=progress.rows,
            failed_at=_utc(progress.failed_at),
            failure=progress.failure,
        )


class UpdateAnswer(BaseModel):
    """What was asked for, and how far that is: seen from what is stored, so nothing is lost when a process ends."""

    id: str = Field(examples=["9f86d081884c7d65"])
    asked_at: datetime
    state: UpdateState = Field(
        description="`waiting`: nothing of it came yet. `failed`: what is left could not be loaded; `parts` say why"
    )
    requested: int = Field(description=_REQUESTED)
    covered: int = Field(description=_COVERED)
    rows: int = Field(description=_ROWS)
    rate: float | None = Field(description="Candles a second since it was asked for")
    expected_end: datetime | None = Field(description="When it will be done if it goes on like this")
    done_at: datetime | None
    parts: list[UpdatePartAnswer] = Field(description="By security and timeframe")

    @classmethod
    def of(cls, progress: UpdateProgress) -> Self:
        return cls(
            id=progress.update.id,
            asked_at=progress.update.asked_at.utc,
            state=progress.state,
            requested=progress.requested,
            covered=progress.covered,
            rows=progress.rows,
            rate=progress.rate,
            expected_end=_utc(progress.expected_end),
            done_at=_utc(progress.done_at),
            parts=[UpdatePartAnswer.of(part) for part in progress.parts],
        )


class UpdateList(BaseModel):
    """Updates, the newest first."""

    updates: list[UpdateAnswer]


def _utc(moment: Timestamp | None) -> datetime | None:
    return None if moment is None else moment.utc
