"""The trading calendar of an engine: what the exchange says of its days, on top of what is known of its history.

Closed is what is certainly closed: coverage rests on it. Short breaks between the sessions of a day are not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Protocol, Self

from app.core.date_time import Timestamp
from app.core.session_history import (
    WEEKEND_SESSION,
    WEEKENDS_SINCE,
    Hours,
    SessionKind,
    is_holiday,
    usual_hours,
    usually_traded,
)
from app.core.spans import Period

_DAY = timedelta(days=1)
_SATURDAY = 5
_EARLY = timedelta(minutes=30)
"""So long before the first session time is not called closed: auctions, and hours that move."""
_AT_LEAST_UNTIL = time(19)
"""Earlier no day is called closed: last values of indices and negotiated deals come after the main session."""
_LONGEST_CLOSURE = 60
_END_OF_DAY = time(23, 59)
"""A table that says a day ends here or later says nothing of its last session."""
_MAIN_DAY = (Hours(SessionKind.MAIN, time(9, 50), time(23, 50)),)
"""Of a day that trades against its history."""


class DayReason(StrEnum):
    """Why a day is as it is."""

    ORDINARY = "ordinary"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"
    TRANSFERRED = "transferred"


_WORKING = {DayReason.ORDINARY, DayReason.TRANSFERRED}


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """What the exchange says of one day of an engine; the rest is None.

    `trade_date`: the working day to which its trades are counted; `opens` and `closes`: within these hours on the
    Moscow wall clock. `seen_at`: when it said so last.
    """

    engine: str
    day: date
    is_traded: bool
    trade_date: date | None = None
    reason: DayReason | None = None
    opens: time | None = None
    closes: time | None = None
    seen_at: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One session of a day, `period` half-open."""

    kind: SessionKind
    period: Period


@dataclass(frozen=True, slots=True)
class TradingDay:
    """All that is known of a day; `is_traded` is None where only the exchange could tell and has not.

    `trade_date` of a day without trading is the next one that has it. `sessions` are those it has if it is traded: not
    every board takes part in all.
    """

    day: date
    is_traded: bool | None
    reason: DayReason
    trade_date: date
    sessions: Sequence[Session]


class ICalendarSource(Protocol):
    """Where the exchange's own calendar is read. Any failure of it is raised as SourceError."""

    async def days(self, engine: str, first: date, last: date, /) -> Sequence[CalendarDay]:
        """Return what it says of single days in `[first, last]`, both included."""


@dataclass(frozen=True, slots=True)
class TradingCalendar:
    """The days of one engine (`stock`, `futures`, `currency`)."""

    engine: str
    told: Mapping[date, CalendarDay] = field(default_factory=dict)

    @classmethod
    def of(cls, engine: str, days: Iterable[CalendarDay]) -> Self:
        """Make it from what the exchange told of the days of this engine, in any order."""
        return cls(engine, {day.day: day for day in days if day.engine == engine})

    def on(self, day: date) -> TradingDay:
        """Return what is known of a day."""
        is_traded, told = self._is_traded(day), self.told.get(day)
        trade_date = (told and told.trade_date) or self._trade_date(day)
        sessions = () if is_traded is False else tuple(_session(day, each) for each in self._hours(day))
        return TradingDay(day, is_traded, self._reason(day), trade_date, sessions)

    def minutes(self, day: date) -> int:
        """Return how many minutes of a day can have candles."""
        return 0 if self._is_traded(day) is False else sum(each.minutes for each in self._hours(day))

    def closed_until(self, moment: Timestamp) -> Timestamp:
        """Return the end of the closed time that holds the moment; the moment itself if it may be open."""
        first = moment.moscow.date()
        for day in (first + n * _DAY for n in range(_LONGEST_CLOSURE)):
            if (period := self._open(day)) and moment < period.time_till:
                return max(moment, period.time_from)
        return moment

    def closed_since(self, moment: Timestamp) -> Timestamp:
        """Return the beginning of the closed time that ends at the moment; the moment itself if it may be open."""
        first = moment.moscow.date()
        for day in (first - n * _DAY for n in range(-1, _LONGEST_CLOSURE)):
            if (period := self._open(day)) and period.time_from < moment:
                return min(moment, period.time_till)
        return moment

    def _open(self, day: date) -> Period | None:
        """Return from when to when a day may be open at most; None when it is closed."""
        if self._is_traded(day) is False:
            return None
        told = self.told.get(day)
        is_short = told is not None and told.reason is DayReason.WEEKEND
        hours = self._hours(day) if is_short else self._full_hours(day)
        opens, closes = hours[0].opens, max(_AT_LEAST_UNTIL, hours[-1].closes)
        if told is not None:
            opens = min(opens, told.opens or opens)
            closes = max(closes, told.closes if told.closes and told.closes < _END_OF_DAY else closes)
        return Period(_at(day, opens) - _EARLY, _at(day, closes))

    def _is_traded(self, day: date) -> bool | None:
        told = self.told.get(day)
        return usually_traded(self.engine, day) if told is None else told.is_traded

    def _reason(self, day: date) -> DayReason:
        told = self.told.get(day)
        return (told and told.reason) or _usual_reason(day, is_traded=self._is_traded(day))

    def _hours(self, day: date) -> Sequence[Hours]:
        """Return the sessions of a day: one where it is none of the working week, since there are such days."""
        is_working = self._reason(day) in _WORKING
        return self._full_hours(day) if is_working or day < WEEKENDS_SINCE else (WEEKEND_SESSION,)

    def _full_hours(self, day: date) -> Sequence[Hours]:
        return usual_hours(self.engine, day) or _MAIN_DAY

    def _trade_date(self, day: date) -> date:
        """Return the day itself, or after a session on a day off the next working day."""
        following = (day + n * _DAY for n in range(_LONGEST_CLOSURE))
        return next((each for each in following if self._is_working(each)), day)

    def _is_working(self, day: date) -> bool:
        return self._is_traded(day) is not False and self._reason(day) in _WORKING


def _usual_reason(day: date, *, is_traded: bool | None) -> DayReason:
    if day.weekday() >= _SATURDAY:
        is_working = usually_traded("stock", day) or (is_traded and day < WEEKENDS_SINCE)
        return DayReason.TRANSFERRED if is_working else DayReason.WEEKEND
    return DayReason.HOLIDAY if is_traded is False or is_holiday(day) else DayReason.ORDINARY


def _session(day: date, hours: Hours) -> Session:
    return Session(hours.kind, Period(_at(day, hours.opens), _at(day, hours.closes)))


def _at(day: date, wall: time) -> Timestamp:
    return Timestamp.from_moscow(datetime.combine(day, wall))
