"""What is covered, kept in normal form."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import ColumnElement, Row, bindparam, insert, select

from app.core.entities import CandleSpan, Series
from app.core.spans import Period, merge, subtract
from app.repository.sql.catalogue import require_series_ids, series_ids
from app.repository.sql.collection import table_of
from app.repository.sql.of_series import SqlSeriesCollection
from db_schema import models

_SPAN = table_of(models.CandleSpan)
# These are asked for each batch of candles: made once, they are compiled once.
_TOUCHING = select(_SPAN).where(
    _SPAN.c.series_id == bindparam("series"),
    _SPAN.c.time_from <= bindparam("time_till"),
    _SPAN.c.time_till >= bindparam("time_from"),
)
_INSERT = insert(_SPAN)


@dataclass(frozen=True)
class SqlSpanRepository(SqlSeriesCollection[CandleSpan]):
    """Spans in normal form."""

    table = _SPAN
    key = ("series_id", "time_from")

    def filter_touching(self, period: Period, /) -> Self:
        return self._where(_touches(period))

    async def add(self, items: Iterable[CandleSpan], /) -> None:
        periods = _by_series(items)
        ids = await require_series_ids(self._transaction, periods)
        for series in sorted(periods):
            await self._rewrite(ids[series], merge(periods[series]), lambda old, new: merge([*old, new]))

    async def remove(self, items: Iterable[CandleSpan], /) -> None:
        periods = _by_series(items)
        ids = await series_ids(self._transaction, periods)
        for series in sorted(ids):
            await self._rewrite(ids[series], merge(periods[series]), lambda old, hole: subtract(old, [hole]))

    async def _rewrite(
        self, series_id: int, changes: Iterable[Period], change: Callable[[Sequence[Period], Period], Sequence[Period]]
    ) -> None:
        """Replace the spans that each change touches by what it makes of them."""
        for period in changes:
            ends = {"series": series_id, "time_from": period.time_from, "time_till": period.time_till}
            rows = await self._transaction.rows(_TOUCHING, ends)
            old = {Period(row.time_from, row.time_till) for row in rows}
            new = set(change(sorted(old), period))
            await self._delete({"series_id": series_id, "time_from": span.time_from} for span in old - new)
            await self._transaction.write(_INSERT, [_values(series_id, span) for span in sorted(new - old)])

    def _entity(self, row: Row[Any]) -> CandleSpan:
        series = self._series_of(row)
        return CandleSpan(series.security, series.timeframe, row.time_from, row.time_till)


def _touches(period: Period) -> ColumnElement[bool]:
    return (_SPAN.c.time_from <= period.time_till) & (_SPAN.c.time_till >= period.time_from)


def _by_series(spans: Iterable[CandleSpan]) -> dict[Series, list[Period]]:
    periods: dict[Series, list[Period]] = {}
    for span in spans:
        periods.setdefault(span.series, []).append(Period(span.time_from, span.time_till))
    return periods


def _values(series_id: int, span: Period) -> dict[str, object]:
    return {"series_id": series_id, "time_from": span.time_from, "time_till": span.time_till}
