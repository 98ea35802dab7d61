"""Splits that the store took notice of."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Row, Select, select

from app.core.corporate_actions import Split
from app.core.entities import Security
from app.repository.sql.catalogue import SECURITY, id_of_security, security_ids
from app.repository.sql.collection import SqlCollection, table_of
from db_schema import models

_SPLIT = table_of(models.Split)


@dataclass(frozen=True)
class SqlSplitRepository(SqlCollection[Split]):
    """Splits by security and day."""

    table = _SPLIT
    key = ("security_id", "date")

    def filter_by_security(self, security: Security, /) -> Self:
        return self._where(_SPLIT.c.security_id == id_of_security(security))

    async def add(self, items: Iterable[Split], /) -> None:
        splits = list(items)
        ids = await security_ids(self._transaction, {split.security for split in splits})
        await self._upsert(
            {
                "security_id": ids[split.security],
                "date": split.day,
                "factor": split.factor,
                "seen_at": split.seen_at,
            }
            for split in splits
        )

    async def remove(self, items: Iterable[Split], /) -> None:
        splits = list(items)
        ids = await security_ids(self._transaction, {split.security for split in splits}, is_strict=False)
        await self._delete(
            {"security_id": ids[split.security], "date": split.day} for split in splits if split.security in ids
        )

    def _ordered(self) -> Select[Any]:
        joined = select(_SPLIT, SECURITY.c.ticker, SECURITY.c.board).join_from(_SPLIT, SECURITY)
        return joined.where(*self._filters()).order_by(SECURITY.c.ticker, SECURITY.c.board, _SPLIT.c.date)

    def _entity(self, row: Row[Any]) -> Split:
        return Split(Security(row.ticker, row.board), row.date, row.factor, row.seen_at)
