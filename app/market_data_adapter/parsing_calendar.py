"""Answers of ISS about its days -> what a week, a table of days and a calendar say. Pure.

Rows that cannot be read are left out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta

from app.core.calendar import DayReason
from app.market_data_adapter.parsing import read_table

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CLOCK = re.compile(r"\d{2}:\d{2}(:\d{2})?", re.ASCII)
_REASONS = {
    "H": DayReason.HOLIDAY,
    "W": DayReason.WEEKEND,
    "N": DayReason.ORDINARY,
    "T": DayReason.TRANSFERRED,
}
_SATURDAY = 5
_LONGEST_CLOSURE = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class WorkHours:
    """Whether a day is a working day, and between which hours; days off have hours too."""

    is_traded: bool
    opens: time | None = None
    closes: time | None = None


@dataclass(frozen=True, slots=True)
class EngineTables:
    """The week of an engine by day of the week, Monday is 1, and the days that differ from it."""

    week: Mapping[int, WorkHours] = field(default_factory=dict)
    days: Mapping[date, WorkHours] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """What a calendar says of a day; `is_traded` is None where it has no word on that."""

    is_traded: bool | None
    trade_date: date | None
    reason: DayReason | None


def parse_engine(body: bytes) -> EngineTables:
    """Read what an engine says of its week and of single days."""
    week = read_table(body, "timetable", ("week_day", "is_work_day"))
    days = read_table(body, "dailytable", ("date", "is_work_day"))
    return EngineTables(
        {row["week_day"]: hours for row in week if row["week_day"] in range(1, 8) and (hours := _hours(row))},
        {day: hours for row in days if (day := _date(row["date"])) and (hours := _hours(row))},
    )


def parse_calendar(body: bytes) -> dict[date, CalendarRow]:
    """Read one page of the calendar of an engine; of two rows of a day the later one counts."""
    rows = read_table(body, "off_days", ("tradedate", "is_traded"))
    return {day: _row(day, row) for row in rows if (day := _date(row["tradedate"]))}


def _row(day: date, row: Mapping[str, object]) -> CalendarRow:
    is_traded, trade_date = _flag(row["is_traded"]), _date(row.get("trade_session_date"))
    reason = _REASONS.get(str(row.get("reason")))
    if reason is DayReason.ORDINARY and (day.weekday() >= _SATURDAY or not is_traded):
        reason = None  # an ordinary day off
    is_near = trade_date is not None and day <= trade_date <= day + _LONGEST_CLOSURE
    return CalendarRow(is_traded, trade_date if is_near else None, reason)


def _hours(row: Mapping[str, object]) -> WorkHours | None:
    is_traded = _flag(row["is_work_day"])
    opens, closes = _time(row.get("start_time")), _time(row.get("stop_time"))
    return None if is_traded is None else WorkHours(is_traded, opens, closes)


def _flag(value: object) -> bool | None:
    return bool(value) if isinstance(value, int | float) and value in {0, 1} else None


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) and _DATE.fullmatch(value) else None
    except ValueError:
        return None


def _time(value: object) -> time | None:
    try:
        return time.fromisoformat(value) if isinstance(value, str) and _CLOCK.fullmatch(value) else None
    except ValueError:
        return None
