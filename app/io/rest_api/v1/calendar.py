"""When the exchange trades."""

from datetime import date, datetime, tzinfo
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from app.core.calendar import DayReason, Session, TradingDay
from app.core.session_history import SessionKind
from app.io.parameters import parse_day, parse_zone
from app.io.rest_api import errors
from app.io.rest_api.dependencies import ServiceDependency
from app.use_cases import get_calendar as calendars
from app.use_cases.get_calendar import MAX_DAYS, EngineDays

router = APIRouter(prefix="/calendar", tags=["calendar"])


class CalendarParameters(BaseModel):
    """The query as it is sent. A parameter nobody knows is refused: a slip would go unnoticed."""

    model_config = ConfigDict(extra="forbid")

    market: str = Field(
        "stock",
        description="An engine (`stock`, `futures`, `currency`), or a market of one, such as `shares`, `bonds`, "
        "`index`, `forts`, `options` or `selt`",
        examples=["shares"],
    )
    first: str | None = Field(
        None,
        alias="from",
        description="The first Moscow day. By default the Monday of this week, or two weeks before `till`",
        examples=["2026-01-12"],
    )
    till: str | None = Field(
        None,
        description=f"The last day, included. By default two weeks from the first one; {MAX_DAYS} days at most",
        examples=["2026-01-25"],
    )
    tz: str = Field("UTC", description="The zone in which times are written, an IANA name", examples=["Europe/Moscow"])


class SessionAnswer(BaseModel):
    """A session: `from` included, `till` not."""

    model_config = ConfigDict(populate_by_name=True)

    kind: SessionKind
    time_from: datetime = Field(alias="from", examples=["2026-01-18T06:50:00Z"])
    till: datetime = Field(examples=["2026-01-18T16:00:00Z"])

    @classmethod
    def of(cls, session: Session, zone: tzinfo) -> Self:
        period = session.period
        time_from, till = (end.utc.astimezone(zone) for end in (period.time_from, period.time_till))
        return cls(kind=session.kind, time_from=time_from, till=till)


class DayAnswer(BaseModel):
    """A day of an engine."""

    day: date = Field(examples=["2026-01-18"])
    is_traded: bool | None = Field(description="null where only the exchange can tell and has not, as of weekends")
    reason: DayReason = Field(
        description="`ordinary`: a working day. `weekend`, `holiday`: a day off, on which there may be a session. "
        "`transferred`: a working day in place of another one",
        examples=["weekend"],
    )
    trade_date: date = Field(
        description="The working day to which its trades are counted; of a day without trading the next one",
        examples=["2026-01-19"],
    )
    sessions: list[SessionAnswer] = Field(
        description="Those it has if it is traded. Not every security takes part in all"
    )

    @classmethod
    def of(cls, day: TradingDay, zone: tzinfo) -> Self:
        sessions = [SessionAnswer.of(session, zone) for session in day.sessions]
        return cls(
            day=day.day, is_traded=day.is_traded, reason=day.reason, trade_date=day.trade_date, sessions=sessions
        )


class CalendarAnswer(BaseModel):
    """The days of one engine, oldest first, and the period they are of, both ends included."""

    model_config = ConfigDict(populate_by_name=True)

    engine: str = Field(examples=["stock"])
    first: date = Field(alias="from", examples=["2026-01-12"])
    till: date = Field(examples=["2026-01-25"])
    days: list[DayAnswer]

    @classmethod
    def of(cls, found: EngineDays, zone: tzinfo) -> Self:
        days = [DayAnswer.of(day, zone) for day in found.days]
        return cls(engine=found.engine, first=days[0].day, till=days[-1].day, days=days)


@router.get("", responses=errors.responses(422))
async def get_calendar(service: ServiceDependency, sent: Annotated[CalendarParameters, Query()]) -> CalendarAnswer:
    """Tell of days whether they are traded, why, and when.

    What the exchange said of a day comes first, what is known of its history second. Nothing is asked of the exchange.
    """
    first = None if sent.first is None else parse_day(sent.first, "from")
    last = None if sent.till is None else parse_day(sent.till, "till")
    found = await calendars.get_calendar(service.storage, service.clock, sent.market, first=first, last=last)
    return CalendarAnswer.of(found, parse_zone(sent.tz))
