"""Candles: the one table where millions of rows pass, by columns."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, Self

from sqlalchemy import BigInteger, ColumnElement, Row, Select, select, type_coerce

from app.core.date_time import Timestamp
from app.core.entities import Candle, Series
from app.core.pages import CandlePage
from app.repository.sql import columns
from app.repository.sql.catalogue import require_series_ids, series_ids
from app.repository.sql.collection import table_of
from app.repository.sql.of_series import SqlSeriesCollection
from app.repository.windows import WHOLE
from db_schema import models

_CANDLE = table_of(models.Candle)
_PRICES = ("open", "high", "low", "close", "volume", "value")
_NAMES = ", ".join(columns.COLUMNS)
_ROWS_AT_ONCE = (500, 50, 1)  # 5,000 values are far below what SQLite takes (32,766), and more are no quicker
_REST = ("is_final", *_PRICES)
_REPLACE = (
    "ON CONFLICT (series_id, timeframe, begin) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _REST)
    + f" WHERE ({', '.join(f'candle.{name}' for name in _REST)})"
    + " {differs} "
    + f"({', '.join(f'excluded.{name}' for name in _REST)})"
)
# These speak of our own names only; values are parameters.
_TUPLE = f"({', '.join('?' * len(columns.COLUMNS))})"
_INSERT_TUPLES = f"INSERT INTO candle ({_NAMES}) VALUES {_TUPLE}"  # noqa: S608
_UPSERT_TUPLES = f"{_INSERT_TUPLES} {_REPLACE.format(differs='IS NOT')}"
_UPSERT_COLUMNS = (
    f"INSERT INTO candle ({_NAMES})"  # noqa: S608
    f" SELECT $1::int, $2::smallint, is_final, to_timestamp(seconds), {', '.join(_PRICES)}"
    f" FROM unnest($3::bool[], $4::bigint[]{''.join(f', ${n}::float8[]' for n in range(5, 11))})"
    f" AS page(is_final, seconds, {', '.join(_PRICES)}) ORDER BY seconds"
    f" {_REPLACE.format(differs='IS DISTINCT FROM')}"
)


@dataclass(frozen=True)
class SqlCandleRepository(SqlSeriesCollection[Candle]):
    """Candles by series and beginning; pages go in and out without an object per row."""

    table = _CANDLE
    key = ("series_id", "timeframe", "begin")
    is_large = True

    _is_newest_first: bool = False

    def filter_by_timestamp_gte(self, moment: Timestamp, /) -> Self:
        return self._where(_CANDLE.c.begin >= moment)

    def filter_by_timestamp_lt(self, moment: Timestamp, /) -> Self:
        return self._where(_CANDLE.c.begin < moment)

    def filter_by_final(self, is_final: bool, /) -> Self:  # noqa: FBT001  # a column's value, not a switch
        return self._where(_CANDLE.c.is_final.is_(is_final))

    def newest_first(self) -> Self:
        self._window.require_whole()
        return replace(self, _is_newest_first=True)

    async def page(self, series: Series, /) -> CandlePage:
        if self._series is None and self._window != WHOLE:
            return CandlePage.from_candles(series, [candle async for candle in self if candle.series == series])
        series_id = (await series_ids(self._transaction, [series])).get(series)
        if series_id is None or self._series not in (None, series):
            return CandlePage.from_rows(series, ())
        page = await self._read(series, self._in_series(series, series_id))
        return page[::-1] if self._is_newest_first else page

    async def _read(self, series: Series, candles: Select[Any]) -> CandlePage:
        prices = [_CANDLE.c[name] for name in _PRICES]
        if self._transaction.is_postgresql:
            query = self._literal(candles.with_only_columns(_CANDLE.c.is_final, _CANDLE.c.begin, *prices))
            [values] = await self._transaction.fetch(f"SELECT {columns.AGGREGATED} FROM ({query}) AS candle")  # noqa: S608
            return columns.join(series, values)
        seconds = type_coerce(_CANDLE.c.begin, BigInteger) // 1_000_000
        query = self._literal(candles.with_only_columns(seconds, *prices, _CANDLE.c.is_final))
        return CandlePage.from_rows(series, await self._transaction.tuples(query))

    def _in_series(self, series: Series, series_id: int) -> Select[Any]:
        """Select by id: this statement carries numbers and instants only, for its values stand in its text."""
        own = (_CANDLE.c.series_id == series_id, _CANDLE.c.timeframe == series.timeframe.interval)
        rows = select(_CANDLE).where(*own, *self._clauses).order_by(*self._order_in_series())
        return self._window_of(rows)

    def _literal(self, statement: Select[Any]) -> str:
        dialect = self._transaction.connection.dialect
        return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))

    async def extend(self, page: CandlePage, /) -> None:
        if not page:
            return
        [series_id] = (await require_series_ids(self._transaction, [page.series])).values()
        if self._transaction.is_postgresql:
            await self._transaction.copy_in("candle", columns.COLUMNS, columns.pack(page, series_id))
        else:
            await self._insert(page, series_id)

    async def _insert(self, page: CandlePage, series_id: int) -> None:
        """Insert many rows a statement: SQLite's driver lets other threads run between statements, and waits for them.

        Of each length there is one text, which the driver keeps compiled.
        """
        for at_once in _ROWS_AT_ONCE:
            whole = len(page) - len(page) % at_once
            if whole:
                statement = f"{_INSERT_TUPLES}{f', {_TUPLE}' * (at_once - 1)}"
                rows = _flat(page[:whole], series_id, at_once) if at_once > 1 else _tuples(page, series_id)
                await self._transaction.execute_many(statement, rows)
                page = page[whole:]

    async def add(self, items: Iterable[Candle], /) -> None:
        pages = _pages(items)
        ids = await require_series_ids(self._transaction, [page.series for page in pages])
        for page in pages:
            await self._replace(page, ids[page.series])

    async def _replace(self, page: CandlePage, series_id: int) -> None:
        if self._transaction.is_postgresql:
            arrays = ([final == 1 for final in page.finals], page.begins, *page.prices)
            values = (series_id, page.series.timeframe.interval, *arrays)
            await self._transaction.write_tuples(_UPSERT_COLUMNS, [values])
        else:
            await self._transaction.write_tuples(_UPSERT_TUPLES, list(_tuples(page, series_id)))

    async def remove(self, items: Iterable[Candle], /) -> None:
        candles = list(items)
        ids = await series_ids(self._transaction, {candle.series for candle in candles})
        await self._delete(
            {"series_id": ids[c.series], "timeframe": c.timeframe.interval, "begin": c.timestamp}
            for c in candles
            if c.series in ids
        )

    def _pinned(self, series: Series) -> tuple[ColumnElement[bool], ...]:
        return (_CANDLE.c.series_id == self._id_of(series), _CANDLE.c.timeframe == series.timeframe.interval)

    def _order_in_series(self) -> Sequence[ColumnElement[Any]]:
        return [_CANDLE.c.begin.desc() if self._is_newest_first else _CANDLE.c.begin]

    def _order_across(self, *series: ColumnElement[Any]) -> Sequence[ColumnElement[Any]]:
        time = self._order_in_series()
        return [*time, *series] if self._is_newest_first else [*series, *time]

    def _entity(self, row: Row[Any]) -> Candle:
        series = self._series_of(row)
        prices = (row.open, row.high, row.low, row.close, row.volume, row.value)
        return Candle(series.security, series.timeframe, row.begin, *prices, row.is_final)


def _pages(candles: Iterable[Candle]) -> list[CandlePage]:
    """Group by series in order, the last of equal keys kept, so that writers cannot deadlock."""
    if isinstance(candles, CandlePage):
        return [candles] if candles else []
    by_series: dict[Series, dict[Timestamp, Candle]] = {}
    for candle in candles:
        by_series.setdefault(candle.series, {})[candle.timestamp] = candle
    return [CandlePage.from_candles(series, by_series[series].values()) for series in sorted(by_series)]


def _flat(page: CandlePage, series_id: int, at_once: int) -> Iterator[list[object]]:
    """Write so many rows at once, one behind the other, column by column, which is quicker than a tuple a row."""
    begins, width = columns.microseconds(page.begins), len(columns.COLUMNS)
    for start in range(0, len(page), at_once):
        part = slice(start, start + at_once)
        rows: list[object] = [series_id, page.series.timeframe.interval, *[None] * (width - 2)] * at_once
        for at, column in enumerate((page.finals, begins, *page.prices), 2):
            rows[at::width] = column[part]
        yield rows


def _tuples(page: CandlePage, series_id: int) -> Iterator[tuple[object, ...]]:
    """Write rows as SQLite stores them, in the order of `COLUMNS`."""
    return zip(
        repeat(series_id, len(page)),
        repeat(page.series.timeframe.interval, len(page)),
        page.finals,
        columns.microseconds(page.begins),
        *page.prices,
        strict=True,
    )
