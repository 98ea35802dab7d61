"""What is covered, kept in normal form."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import ColumnElement, Row, func, insert, select

from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Security, Series
from app.core.spans import Period, merge, subtract
from app.repository.sql.catalogue import SECURITY, SERIES, are, require_series_ids, series_ids, series_of
from app.repository.sql.collection import table_of
from app.repository.sql.of_series import SqlSeriesCollection
from db_schema import models

_SPAN = table_of(models.CandleSpan)
# These speak of our own names only; values are parameters.
_TOUCHED = "FROM candle_span WHERE series_id = ? AND time_from <= ? AND time_till >= ?"
_TOUCHED_ENDS = f"SELECT time_from, time_till {_TOUCHED}"
_FORGET_TOUCHED = f"DELETE {_TOUCHED}"
_INSERT_ONE = "INSERT INTO candle_span (series_id, time_from, time_till) VALUES (?, ?, ?)"
_IS_COVERED = "EXISTS (SELECT FROM candle_span WHERE series_id = $1 AND time_from <= $2 AND time_till >= $3)"
# Puts one span in place of those it touches: what is deleted is gone before what replaces it is checked.
_COVER = (
    "WITH touched AS (DELETE FROM candle_span"  # noqa: S608
    f" WHERE series_id = $1 AND time_from <= $3 AND time_till >= $2 AND NOT {_IS_COVERED}"
    " RETURNING time_from, time_till) INSERT INTO candle_span"
    f" SELECT $1, least($2, min(time_from)), greatest($3, max(time_till)) FROM touched HAVING NOT {_IS_COVERED}"
)


@dataclass(frozen=True)
class SqlSpanRepository(SqlSeriesCollection[CandleSpan]):
    """Spans in normal form."""

    table = _SPAN
    key = ("series_id", "time_from")

    def filter_touching(self, period: Period, /) -> Self:
        return self._where(_touches(period))

    async def ends(self, securities: Collection[Security] = ()) -> dict[Series, Timestamp]:
        self._window.require_whole()
        wanted = [are(securities)] if securities else []
        series = (SECURITY.c.ticker, SECURITY.c.board, SERIES.c.timeframe)
        last = select(*series, func.max(_SPAN.c.time_till).label("end")).join_from(_SPAN, SERIES).join(SECURITY)
        rows = await self._transaction.rows(last.where(*wanted, *self._filters()).group_by(*series))
        return {series_of(row): row.end for row in rows}

    async def add(self, items: Iterable[CandleSpan], /) -> None:
        periods = _by_series(items)
        ids = await require_series_ids(self._transaction, periods)
        if self._transaction.is_postgresql:
            rows = [(ids[series], period) for series in sorted(periods) for period in merge(periods[series])]
            await self._transaction.execute_many(
                _COVER, [(series_id, period.time_from.utc, period.time_till.utc) for series_id, period in rows]
            )
            return
        for series in sorted(periods):
            for period in merge(periods[series]):
                await self._cover(ids[series], period.time_from.microseconds, period.time_till.microseconds)

    async def _cover(self, series_id: int, begin: int, end: int) -> None:
        """Put one span in place of those it touches, in SQLite."""
        self._transaction.require_writer()
        touched = await self._transaction.tuples(_TOUCHED_ENDS, series_id, end, begin)
        ends = (min([begin, *(since for since, _ in touched)]), max([end, *(till for _, till in touched)]))
        if [ends] == touched:
            return
        if touched:
            await self._transaction.execute(_FORGET_TOUCHED, series_id, end, begin)
        await self._transaction.execute(_INSERT_ONE, series_id, *ends)

    async def remove(self, items: Iterable[CandleSpan], /) -> None:
        periods = _by_series(items)
        ids = await series_ids(self._transaction, periods)
        for series in sorted(ids):
            for hole in merge(periods[series]):
                await self._uncover(ids[series], hole)

    async def _uncover(self, series_id: int, hole: Period) -> None:
        """Replace the spans that a hole touches by what it leaves of them."""
        rows = await self._transaction.rows(select(_SPAN).where(_SPAN.c.series_id == series_id, _touches(hole)))
        old = {Period(row.time_from, row.time_till) for row in rows}
        new = set(subtract(sorted(old), [hole]))
        await self._delete({"series_id": series_id, "time_from": span.time_from} for span in old - new)
        await self._transaction.write(insert(_SPAN), [_values(series_id, span) for span in sorted(new - old)])

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
