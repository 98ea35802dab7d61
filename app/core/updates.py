"""What somebody asked to have loaded, and how far that is: derived from what is covered, so it survives restarts."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from app.core.calendar import TradingCalendar
from app.core.date_time import Timestamp
from app.core.entities import Series
from app.core.spans import Period, merge

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Update:
    """A wish of somebody, known by an id that says nothing."""

    id: str
    asked_at: Timestamp


@dataclass(frozen=True, slots=True)
class UpdatePart:
    """What an update wants of one series: a half-open period, both ends aligned.

    `again`: it is read although it is covered. `minutes_before`: how many open minutes of the period were covered when
    it was asked for. `done_at`: when a load of all of it had ended that failed nowhere; `rows`: how many candles the
    period held then. Both None until then.
    """

    update_id: str
    asked_at: Timestamp
    series: Series
    period: Period
    again: bool = False
    minutes_before: int = 0
    done_at: Timestamp | None = None
    rows: int | None = None


class UpdateState(StrEnum):
    """How far an update, or a part of one, is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


def open_minutes(calendar: TradingCalendar, periods: Iterable[Period]) -> int:
    """Return in how many minutes of these periods the exchange can have traded: what progress is measured in."""
    return sum(_open_minutes(calendar, period) for period in merge(periods))


def _open_minutes(calendar: TradingCalendar, period: Period) -> int:
    """Count whole days by their sessions' sum, and the sessions of the first and the last day one by one."""
    first, last = period.time_from.moscow.date(), period.time_till.moscow.date()
    inside = sum(calendar.minutes(first + n * _DAY) for n in range(1, (last - first).days))
    edges = {first, last}
    sessions = (session.period & period for day in edges for session in calendar.on(day).sessions)
    return inside + sum((part.time_till - part.time_from) // _MINUTE for part in sessions if part)
