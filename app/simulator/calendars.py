"""When ISS says that it trades: the week and the exceptions of an engine, and the calendar of days.

`/iss/engines/ENGINE.json` has a timetable of the week that knows no past, and a table of the days that differ from the
timetable that was in force then. `/iss/calendars.json` has the three engines side by side, `/iss/calendars/ENGINE.json`
one of them; the days from `from` to `till`, both included, of the year of `from`, which is this year by default. Normal
days are there with `show_all_days=1` alone. What is announced ends with next year; weekend sessions were announced when
they began.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from app.simulator import sessions
from app.simulator.directory import table
from app.simulator.iss import Block, Value
from app.simulator.listings import CURRENCY, ENGINES, FUTURES, STOCK, Engine
from app.simulator.query import ON, Query

_FIRST_DAY = date(2011, 1, 1)
_HOURS = ("is_work_day", "start_time", "stop_time")
_BLOCK = "off_days"
_OF_ONE = ("tradedate", "is_traded", "trade_session_date", "reason", "updatetime")
_SIDE_BY_SIDE = (CURRENCY, FUTURES, STOCK)
_OF_ALL = ("tradedate", *(f"{e.name}_{fact}" for e in _SIDE_BY_SIDE for fact in ("workday", *_OF_ONE[2:4])))


def engine(name: str, today: date) -> list[Block]:
    """Tell when an engine trades: its week, and the days that differ from it, up to the end of next year."""
    names: list[Sequence[Value]] = []
    week: list[Sequence[Value]] = []
    differing: list[Sequence[Value]] = []
    for known in _named(name):
        names = [(known.name, known.title, None)]
        week = [(n + 1, *_row(sessions.usual_hours(known, n, today))) for n in range(7)]
        days = sessions.exceptions(known, _FIRST_DAY, _announced_till(today), today)
        differing = [(day.isoformat(), *_row(hours)) for day, hours in days]
    return [
        table("engine", ("NAME", "title", "short_title"), names),
        table("timetable", ("week_day", *_HOURS), week),
        table("dailytable", ("date", *_HOURS), differing),
    ]


def off_days(name: str, query: Query, today: date) -> list[Block]:
    """Tell of days whether they are worked and why, on one engine, or on all if there is none of that name."""
    engines = _named(name)
    days = _asked_days(query, today)
    if query.get("show_all_days", block=_BLOCK).lower() not in ON:
        days = [day for day in days if any(_is_special(each, day, today) for each in engines or _SIDE_BY_SIDE)]
    days = days[query.integer("start", 0, block=_BLOCK) :]
    if engines:
        return [table(_BLOCK, _OF_ONE, ((f"{day}", *_facts(engines[0], day, today), _updated(day)) for day in days))]
    return [table(_BLOCK, _OF_ALL, ((f"{day}", *_all_facts(day, today)) for day in days))]


def _named(name: str) -> list[Engine]:
    return [each for each in ENGINES if each.name == name.lower()]


def _announced_till(today: date) -> date:
    return date(today.year + 1, 12, 31)


def _row(hours: sessions.Hours) -> tuple[int, str, str]:
    return int(hours.is_open), hours.opens, hours.closes


def _asked_days(query: Query, today: date) -> list[date]:
    try:
        first = date.fromisoformat(query.get("from", f"{today.year}-01-01", block=_BLOCK))
        last = date.fromisoformat(query.get("till", f"{first.year}-12-31", block=_BLOCK))
    except ValueError:
        return []
    last = min(last, date(first.year, 12, 31), _announced_till(today))
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _is_special(engine: Engine, day: date, today: date) -> bool:
    return sessions.reason(engine, day, today) != sessions.NORMAL


def _all_facts(day: date, today: date) -> Iterable[Value]:
    return (fact for each in _SIDE_BY_SIDE for fact in _facts(each, day, today))


def _facts(engine: Engine, day: date, today: date) -> tuple[int, str | None, str]:
    """Return whether the day is worked, the day to which a weekend session belongs, and the reason."""
    why = sessions.reason(engine, day, today)
    belongs = sessions.session_date(engine, day).isoformat() if why == sessions.WEEKEND else None
    return int(sessions.is_open(engine, day, today)), belongs, why


def _updated(day: date) -> str:
    """Let the row of a day be as old as the announcement of its year."""
    return f"{day.year - 2}-12-01 12:00:00"
