"""Snapshots of PostgreSQL: each is one prepared statement, and candles come as one value a column.

A column is the binary form of its values put together, which becomes an array without a look at any of them: a quarter
of the time that COPY's rows take to come in, and two thirds of what they cost the server.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from app.core.calendar import CalendarDay, DayReason
from app.core.date_time import Timestamp
from app.core.entities import Series
from app.core.errors import StorageUnavailableError
from app.core.spans import Period
from app.core.storage import Circumstances, SeriesView, days_around
from app.repository.sql import columns
from app.repository.sql.translation import OUTAGES, translating
from app.repository.sql.views import CARD, DAY, STATE, Found, Looked, card_of, state_of

CONNECTIONS = 4
"""More would not make a process answer sooner."""
_VALUES = 17  # of a row before the columns of the page

_FIRST_SPAN = "(SELECT time_from FROM candle_span WHERE series_id = s.id ORDER BY time_from LIMIT 1) AS begin"
_TOUCHING = (
    "SELECT array_agg(time_from ORDER BY time_from) AS begins, array_agg(time_till ORDER BY time_from) AS ends"
    " FROM candle_span WHERE series_id = s.id AND time_from <= {till} AND time_till >= {since}"
)
# These speak of our own names only; values are parameters.
_VIEWS = (
    f"SELECT asked.n - 1, {STATE}, {_FIRST_SPAN}, span.begins, span.ends"  # noqa: S608
    " FROM unnest($1::text[], $2::text[], $3::smallint[], $4::timestamptz[], $5::timestamptz[]) WITH ORDINALITY"
    " AS asked(ticker, board, timeframe, since, till, n)"
    " JOIN security c ON c.ticker = asked.ticker AND c.board = asked.board"
    " JOIN series s ON s.security_id = c.id AND s.timeframe = asked.timeframe"
    f" CROSS JOIN LATERAL ({_TOUCHING.format(since='asked.since', till='asked.till')}) AS span"
)
_CANDLES = (
    f"SELECT {STATE}, {_FIRST_SPAN}, span.begins, span.ends, page.*"  # noqa: S608
    " FROM security c JOIN series s ON s.security_id = c.id AND s.timeframe = $3"
    f" CROSS JOIN LATERAL ({_TOUCHING.format(since='$4', till='$5')}) AS span"
    f" CROSS JOIN LATERAL (SELECT {columns.AGGREGATED} FROM (SELECT {columns.READ} FROM candle"
    " WHERE series_id = s.id AND timeframe = $3 AND begin >= $6 AND begin < $7 ORDER BY begin {order} LIMIT $8)"
    " AS candle) AS page WHERE c.ticker = $1 AND c.board = $2"
)
_OLDEST, _NEWEST = _CANDLES.format(order="ASC"), _CANDLES.format(order="DESC")
_CIRCUMSTANCES = (
    f"SELECT {CARD}, ARRAY(SELECT begin FROM quarantine WHERE series_id = s.id ORDER BY begin) AS refused,"  # noqa: S608
    " (SELECT begin FROM candle WHERE series_id = s.id AND timeframe = $3 AND begin >= $4 AND begin < $5"
    " ORDER BY begin DESC LIMIT 1) AS newest,"
    " EXISTS (SELECT FROM candle_span WHERE series_id = s.id AND time_till >= $5) AS goes_on,"
    f" ARRAY(SELECT ROW({', '.join(DAY)}) FROM calendar_day WHERE engine = c.engine AND day BETWEEN $6 AND $7) AS days"
    " FROM security c JOIN series s ON s.security_id = c.id AND s.timeframe = $3 WHERE c.ticker = $1 AND c.board = $2"
)


class PostgresqlSnapshots:
    """Keeps a few connections of its own: to take one out of SQLAlchemy's pool costs three questions more.

    One that broke while it slept is thrown away, and the question asked through another.
    """

    def __init__(self, connect: Callable[[], Awaitable[Any]], *, place: str, patience: float) -> None:
        """Take how to connect, what to call the database in errors, and how long to wait for a free connection."""
        self._connect = connect
        self._place = place
        self._patience = patience
        self._idle: list[Any] = []
        self._turns = asyncio.Semaphore(CONNECTIONS)

    @property
    def in_use(self) -> int:
        return CONNECTIONS - self._turns._value  # noqa: SLF001  # it tells no other way

    async def views(self, asked: Sequence[Looked], /) -> Sequence[Sequence[SeriesView]]:
        series, periods = zip(*asked, strict=True)
        rows = await self._fetch(
            _VIEWS,
            [one.security.ticker for one in series],
            [one.security.board for one in series],
            [one.timeframe.interval for one in series],
            [period.time_from.utc for period in periods],
            [period.time_till.utc for period in periods],
        )
        found: list[list[SeriesView]] = [[] for _ in asked]
        for number, *values in rows:
            found[number].append(_view(series[number], values))
        return found

    async def candles(self, asked: Looked, window: Period, /, *, limit: int, newest_first: bool) -> Found | None:
        series, period = asked
        rows = await self._fetch(
            _NEWEST if newest_first else _OLDEST,
            series.security.ticker,
            series.security.board,
            series.timeframe.interval,
            period.time_from.utc,
            period.time_till.utc,
            window.time_from.utc,
            window.time_till.utc,
            limit,
        )
        for row in rows:
            page = columns.join(series, row[_VALUES:])
            return _view(series, row[:_VALUES]), page[::-1] if newest_first else page
        return None

    async def circumstances(self, series: Series, missing: Sequence[Period], /) -> Circumstances | None:
        rows = await self._fetch(
            _CIRCUMSTANCES,
            series.security.ticker,
            series.security.board,
            series.timeframe.interval,
            missing[-1].time_from.utc,
            missing[-1].time_till.utc,
            *days_around(missing),
        )
        for *card, refused, newest, goes_on, days in rows:
            return Circumstances(
                card_of(series, card),
                [_day(day) for day in days],
                [Timestamp(begin) for begin in refused],
                None if newest is None else Timestamp(newest),
                goes_on,
            )
        return None

    async def close(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    async def _fetch(self, statement: str, *values: object) -> Sequence[Sequence[Any]]:
        with translating(self._place, *OUTAGES):
            if self._turns.locked():
                await self._wait_for_a_turn()
            else:
                await self._turns.acquire()
            try:
                return await self._ask(statement, values)
            finally:
                self._turns.release()

    async def _wait_for_a_turn(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        except TimeoutError as error:
            raise StorageUnavailableError(f"{self._place}: no connection became free in time") from error

    async def _ask(self, statement: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._through(connection, statement, values)
            except Exception:
                if not connection.is_closed():
                    raise
        return await self._through(await self._connect(), statement, values)

    async def _through(self, connection: Any, statement: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:  # noqa: ANN401  # asyncpg is not typed
        try:
            rows: Sequence[Sequence[Any]] = await connection.fetch(statement, *values)
            return rows
        finally:
            if not connection.is_closed():
                self._idle.append(connection)


def _view(series: Series, values: Sequence[Any]) -> SeriesView:
    *state, begin = [Timestamp(value) if isinstance(value, datetime) else value for value in values[:-2]]
    begins, ends = values[-2:]
    covered = [Period(Timestamp(a), Timestamp(b)) for a, b in zip(begins or (), ends or (), strict=True)]
    return SeriesView(state_of(series, state), begin, covered)


def _day(values: Sequence[Any]) -> CalendarDay:
    engine, day, is_traded, trade_date, reason, opens, closes, seen_at = values
    reason, seen_at = reason and DayReason(reason), seen_at and Timestamp(seen_at)
    return CalendarDay(engine, day, is_traded, trade_date, reason, opens, closes, seen_at)
