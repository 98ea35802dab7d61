"""What hangs below a series: collections whose rows carry its id."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from sqlalchemy import ColumnElement, Row, ScalarSelect, Select, false, select

from app.core.entities import Series
from app.repository.sql.catalogue import SECURITY, SERIES, id_of, series_of
from app.repository.sql.collection import Entity, SqlCollection


@dataclass(frozen=True)
class SqlSeriesCollection(SqlCollection[Entity]):
    """Knows the series it was narrowed to: its rows then need neither join nor sort, only the primary key."""

    _series: Series | None = None

    def filter_by_series(self, series: Series, /) -> Self:
        self._window.require_whole()
        if self._series not in (None, series):
            return self._where(false())
        return replace(self, _series=series)

    def _filters(self) -> tuple[ColumnElement[bool], ...]:
        if self._series is None:
            return self._clauses
        return (*self._pinned(self._series), *self._clauses)

    def _pinned(self, series: Series) -> tuple[ColumnElement[bool], ...]:
        return (self.table.c.series_id == self._id_of(series),)

    def _id_of(self, series: Series) -> int | ScalarSelect[int]:
        """Return the id if this transaction knows it, else the question for it."""
        return self._transaction.ids.get(series) or id_of(series)

    def _ordered(self) -> Select[Any]:
        if self._series is not None:
            return select(self.table).where(*self._filters()).order_by(*self._order_in_series())
        own = [column for column in self.table.c if column.name != "timeframe"]
        joined = select(*own, SECURITY.c.ticker, SECURITY.c.board, SERIES.c.timeframe)
        joined = (
            joined.join_from(self.table, SERIES, self.table.c.series_id == SERIES.c.id)
            .join(SECURITY)
            .where(*self._filters())
        )
        return joined.order_by(*self._order_across(SECURITY.c.ticker, SECURITY.c.board, SERIES.c.timeframe))

    def _order_in_series(self) -> Sequence[ColumnElement[Any]]:
        return [self.table.c[name] for name in self.key if name not in {"series_id", "timeframe"}]

    def _order_across(self, *series: ColumnElement[Any]) -> Sequence[ColumnElement[Any]]:
        return [*series, *self._order_in_series()]

    def _series_of(self, row: Row[Any]) -> Series:
        return self._series or series_of(row)
