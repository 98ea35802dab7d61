"""What somebody asked to have loaded."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

from sqlalchemy import Row, Select, select

from app.core.date_time import Timestamp
from app.core.spans import Period
from app.core.updates import Update, UpdatePart
from app.repository import refusals
from app.repository.sql.catalogue import require_series_ids, series_ids
from app.repository.sql.collection import SqlCollection, table_of
from app.repository.sql.of_series import SqlSeriesCollection
from db_schema import models

_UPDATE = table_of(models.UpdateWish)
_PART = table_of(models.UpdatePart)


@dataclass(frozen=True)
class SqlUpdateRepository(SqlCollection[Update]):
    """Updates by id."""

    _newest_first: bool = False

    table = _UPDATE
    key = ("id",)

    def filter_asked_before(self, moment: Timestamp, /) -> Self:
        return self._where(_UPDATE.c.asked_at < moment)

    def newest_first(self) -> Self:
        self._window.require_whole()
        return replace(self, _newest_first=True)

    async def get(self, update_id: str, /) -> Update:
        for row in await self._transaction.rows(select(_UPDATE).where(_UPDATE.c.id == update_id)):
            return self._entity(row)
        raise refusals.unknown_update(update_id)

    async def add(self, items: Iterable[Update], /) -> None:
        await self._upsert([{"id": update.id, "asked_at": update.asked_at} for update in items])

    async def remove(self, items: Iterable[Update], /) -> None:
        await self._delete([{"id": update.id} for update in items])

    def _ordered(self) -> Select[Any]:
        order = (_UPDATE.c.asked_at.desc(), _UPDATE.c.id.desc()) if self._newest_first else (_UPDATE.c.id,)
        return select(_UPDATE).where(*self._filters()).order_by(*order)

    def _entity(self, row: Row[Any]) -> Update:
        return Update(row.id, row.asked_at)


@dataclass(frozen=True)
class SqlUpdatePartRepository(SqlSeriesCollection[UpdatePart]):
    """Parts by series and update."""

    table = _PART
    key = ("series_id", "update_id")

    def filter_by_update(self, update_id: str, /) -> Self:
        return self._where(_PART.c.update_id == update_id)

    def filter_unfinished(self) -> Self:
        return self._where(_PART.c.done_at.is_(None))

    async def add(self, items: Iterable[UpdatePart], /) -> None:
        parts = list(items)
        ids = await require_series_ids(self._transaction, {part.series for part in parts})
        await self._upsert(_values(ids[part.series], part) for part in parts)

    async def remove(self, items: Iterable[UpdatePart], /) -> None:
        parts = list(items)
        ids = await series_ids(self._transaction, {part.series for part in parts})
        await self._delete(
            {"series_id": ids[part.series], "update_id": part.update_id} for part in parts if part.series in ids
        )

    def _entity(self, row: Row[Any]) -> UpdatePart:
        return UpdatePart(
            row.update_id,
            row.asked_at,
            self._series_of(row),
            Period(row.time_from, row.time_till),
            row.again,
            row.minutes_before,
            row.done_at,
            row.rows,
        )


def _values(series_id: int, part: UpdatePart) -> dict[str, object]:
    return {
        "series_id": series_id,
        "update_id": part.update_id,
        "asked_at": part.asked_at,
        "time_from": part.period.time_from,
        "time_till": part.period.time_till,
        "again": part.again,
        "minutes_before": part.minutes_before,
        "done_at": part.done_at,
        "rows": part.rows,
    }
