"""What was stored and is no longer believed, and what never was: revisions and quarantine."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select

from app.core.date_time import Timestamp
from app.core.entities import Candle, CandleRevision, QuarantinedRow
from app.core.pages import CandlePage
from app.repository.sql.catalogue import require_series_ids, series_ids
from app.repository.sql.collection import table_of
from app.repository.sql.of_series import SqlSeriesCollection
from db_schema import models

_REVISION = table_of(models.CandleRevision)


@dataclass(frozen=True)
class SqlRevisionRepository(SqlSeriesCollection[CandleRevision]):
    """Superseded candles by series, beginning and revision."""

    table = _REVISION
    key = ("series_id", "begin", "revision")
    is_large = True

    async def supersede(self, page: CandlePage, /, *, reason: str, superseded_at: Timestamp) -> None:
        if not page:
            return
        [series_id] = (await require_series_ids(self._transaction, [page.series])).values()
        last = await self._last_revisions(series_id, page)
        await self.add(
            CandleRevision(candle, last.get(candle.timestamp, 0) + 1, reason, superseded_at) for candle in page
        )

    async def _last_revisions(self, series_id: int, page: CandlePage) -> dict[Timestamp, int]:
        begin = _REVISION.c.begin
        numbered = select(begin, func.max(_REVISION.c.revision).label("revision")).group_by(begin)
        inside = (_REVISION.c.series_id == series_id) & begin.between(page[0].timestamp, page[-1].timestamp)
        rows = await self._transaction.rows(numbered.where(inside))
        return {row.begin: row.revision for row in rows}

    async def add(self, items: Iterable[CandleRevision], /) -> None:
        revisions = list(items)
        ids = await require_series_ids(self._transaction, {revision.candle.series for revision in revisions})
        await self._upsert(_revision_values(ids[revision.candle.series], revision) for revision in revisions)

    async def remove(self, items: Iterable[CandleRevision], /) -> None:
        revisions = list(items)
        ids = await series_ids(self._transaction, {revision.candle.series for revision in revisions})
        await self._delete(
            {"series_id": ids[r.candle.series], "begin": r.candle.timestamp, "revision": r.revision}
            for r in revisions
            if r.candle.series in ids
        )

    def _entity(self, row: Row[Any]) -> CandleRevision:
        series = self._series_of(row)
        prices = (row.open, row.high, row.low, row.close, row.volume, row.value)
        candle = Candle(series.security, series.timeframe, row.begin, *prices)
        return CandleRevision(candle, row.revision, row.reason, row.superseded_at)


def _revision_values(series_id: int, revision: CandleRevision) -> dict[str, object]:
    candle = revision.candle
    return {
        "series_id": series_id,
        "begin": candle.timestamp,
        "revision": revision.revision,
        "open": candle.open,
        "high": candle.high,
        "low": candle.low,
        "close": candle.close,
        "volume": candle.volume,
        "value": candle.value,
        "reason": revision.reason,
        "superseded_at": revision.superseded_at,
    }


_QUARANTINE = table_of(models.Quarantine)


@dataclass(frozen=True)
class SqlQuarantineRepository(SqlSeriesCollection[QuarantinedRow]):
    """Refused rows by series and beginning."""

    table = _QUARANTINE
    key = ("series_id", "begin")

    async def add(self, items: Iterable[QuarantinedRow], /) -> None:
        rows = list(items)
        ids = await require_series_ids(self._transaction, {row.series for row in rows})
        await self._upsert(
            {
                "series_id": ids[row.series],
                "begin": row.begin,
                "raw": row.raw,
                "reason": row.reason,
                "seen_at": row.seen_at,
                "attempts": row.attempts,
            }
            for row in rows
        )

    async def remove(self, items: Iterable[QuarantinedRow], /) -> None:
        rows = list(items)
        ids = await series_ids(self._transaction, {row.series for row in rows})
        await self._delete({"series_id": ids[row.series], "begin": row.begin} for row in rows if row.series in ids)

    def _entity(self, row: Row[Any]) -> QuarantinedRow:
        return QuarantinedRow(self._series_of(row), row.begin, row.raw, row.reason, row.seen_at, row.attempts)
