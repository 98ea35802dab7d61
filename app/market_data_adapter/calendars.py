"""What the Moscow Exchange says of its days: the calendar of an engine, and the engine's own tables.

The calendar knows most, but may be closed to who has no token. The tables are open to all: single days, told with their
hours, and the week as it is today, which says nothing of the past.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from app.core.calendar import CalendarDay
from app.core.errors import SourceSchemaError
from app.core.session_history import usually_traded
from app.market_data_adapter.iss import IssClient
from app.market_data_adapter.parsing_calendar import (
    CalendarRow,
    EngineTables,
    WorkHours,
    parse_calendar,
    parse_engine,
)

WEEK_REACH = timedelta(days=14)
"""So far ahead a usual week is taken for what will be; single days are announced later than that."""

_ENGINES = {"stock", "futures", "currency"}
"""Those that have a calendar."""
_DAY = timedelta(days=1)
_META_OFF = {"iss.meta": "off"}


class MoexCalendar:
    """Reads calendars and timetables of ISS."""

    def __init__(self, client: IssClient) -> None:
        """Take the way to ISS."""
        self._client = client

    async def days(self, engine: str, first: date, last: date, /) -> Sequence[CalendarDay]:
        tables, given_at = await self._client.get(f"/iss/engines/{engine}.json", _META_OFF, parse_engine)
        rows = await self._rows(engine, first, last) if engine in _ENGINES else {}
        answers = _Answers(engine, tables, rows, given_at.moscow.date())
        days = (answers.day(first + n * _DAY) for n in range((last - first).days + 1))
        return [day for day in days if day is not None]

    async def _rows(self, engine: str, first: date, last: date) -> Mapping[date, CalendarRow]:
        """Read the calendar, which is given year by year; nothing more once it turns out to be closed to us."""
        rows: dict[date, CalendarRow] = {}
        for year in range(first.year, last.year + 1):
            of_year = await self._year(engine, max(first, date(year, 1, 1)), min(last, date(year, 12, 31)))
            if of_year is None:
                break
            rows |= of_year
        return rows

    async def _year(self, engine: str, first: date, last: date) -> Mapping[date, CalendarRow] | None:
        """Read days of one year, page by page until the last day or nothing new comes."""
        rows: dict[date, CalendarRow] = {}
        query = {**_META_OFF, "from": f"{first}", "till": f"{last}", "show_all_days": "1"}
        while last not in rows:
            page = await self._page(engine, {**query, "start": f"{len(rows)}"})
            if page is None:
                return None
            if not page.keys() - rows.keys():
                break
            rows |= page
        return rows

    async def _page(self, engine: str, query: Mapping[str, str]) -> Mapping[date, CalendarRow] | None:
        try:
            answer = await self._client.get_if_open(f"/iss/calendars/{engine}.json", query, parse_calendar)
        except SourceSchemaError:  # so ISS answers on paths it does not know
            return None
        return None if answer is None else answer[0]


@dataclass(frozen=True, slots=True)
class _Answers:
    """All that was told of an engine on one day: the calendar comes first, then single days, then the week."""

    engine: str
    tables: EngineTables
    rows: Mapping[date, CalendarRow]
    today: date

    def day(self, day: date) -> CalendarDay | None:
        """Put together what was told of a day; None where that is nothing."""
        row = self.rows.get(day, CalendarRow(None, None, None))
        tables = list(self._tables(day))
        words = [row.is_traded, *(table.is_traded for table in tables if self._is_sure(table, day))]
        is_traded = next((word for word in words if word is not None), None)
        if is_traded is None:
            return None
        working = [table for table in tables if table.is_traded and is_traded]
        hours = working[0] if working else WorkHours(is_traded)
        return CalendarDay(self.engine, day, is_traded, row.trade_date, row.reason, hours.opens, hours.closes)

    def _tables(self, day: date) -> Iterator[WorkHours]:
        if day in self.tables.days:
            yield self.tables.days[day]
        if self.today <= day <= self.today + WEEK_REACH and day.isoweekday() in self.tables.week:
            yield self.tables.week[day.isoweekday()]

    def _is_sure(self, table: WorkHours, day: date) -> bool:
        """Tell whether a table knows: that a weekend or holiday may be traded does not mean that it is."""
        return day in self.tables.days or not table.is_traded or usually_traded(self.engine, day) is True
