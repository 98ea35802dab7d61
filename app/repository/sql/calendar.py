"""The trading calendar, as the exchange told it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from sqlalchemy import Row, Select, select

from app.core.calendar import CalendarDay, DayReason
from app.repository.sql.collection import SqlCollection, table_of
from db_schema import models

_DAY = table_of(models.CalendarDay)
_NAMES = [column.name for column in _DAY.c]


@dataclass(frozen=True)
class SqlCalendarRepository(SqlCollection[CalendarDay]):
    """Days by engine."""

    table = _DAY
    key = ("engine", "day")

    def filter_by_engine(self, engine: str, /) -> Self:
        return self._where(_DAY.c.engine == engine)

    def filter_by_days(self, first: date, last: date, /) -> Self:
        return self._where(_DAY.c.day.between(first, last))

    async def add(self, items: Iterable[CalendarDay], /) -> None:
        await self._upsert([{name: getattr(day, name) for name in _NAMES} for day in items])

    async def remove(self, items: Iterable[CalendarDay], /) -> None:
        await self._delete([{"engine": day.engine, "day": day.day} for day in items])

    def _ordered(self) -> Select[Any]:
        return select(_DAY).where(*self._filters()).order_by(_DAY.c.engine, _DAY.c.day)

    def _entity(self, row: Row[Any]) -> CalendarDay:
        values = {name: getattr(row, name) for name in _NAMES}
        return CalendarDay(**values | {"reason": None if row.reason is None else DayReason(row.reason)})
