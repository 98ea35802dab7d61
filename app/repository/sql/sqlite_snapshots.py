"""Snapshots of SQLite, all read by one thread: several would fight for the interpreter and be slower together."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, time
from typing import Any, TypeVar

from app.core.calendar import CalendarDay, DayReason
from app.core.date_time import Timestamp
from app.core.entities import Series, SeriesState
from app.core.pages import CandlePage
from app.core.spans import Period
from app.core.storage import Circumstances, SeriesView, days_around
from app.repository.sql.translation import translating
from app.repository.sql.views import CARD, DAY, STATE, Found, Looked, card_of, state_of

Answer = TypeVar("Answer")

_INSTANTS = (0, 1, 2, 5, 6, 8, 9, 10, 12)  # where they stand in `STATE`
# These speak of our own names only; values are parameters.
_STATE = (
    f"SELECT s.id, {STATE}, (SELECT time_from FROM candle_span WHERE series_id = s.id ORDER BY time_from LIMIT 1)"  # noqa: S608
    " FROM security c JOIN series s ON s.security_id = c.id WHERE c.ticker = ? AND c.board = ? AND s.timeframe = ?"
)
_TOUCHING = (
    "SELECT time_from, time_till FROM candle_span WHERE series_id = ? AND time_from <= ? AND time_till >= ?"
    " ORDER BY time_from"
)
_CANDLES = (
    "SELECT begin / 1000000, open, high, low, close, volume, value, is_final FROM candle"
    " WHERE series_id = ? AND timeframe = ? AND begin >= ? AND begin < ? ORDER BY begin {order} LIMIT ?"
)
_OLDEST, _NEWEST = _CANDLES.format(order="ASC"), _CANDLES.format(order="DESC")
_CARD = (
    f"SELECT s.id, {CARD} FROM security c JOIN series s ON s.security_id = c.id"  # noqa: S608
    " WHERE c.ticker = ? AND c.board = ? AND s.timeframe = ?"
)
_REFUSED = "SELECT begin FROM quarantine WHERE series_id = ? ORDER BY begin"
_LAST = "SELECT max(begin) FROM candle WHERE series_id = ? AND timeframe = ? AND begin >= ? AND begin < ?"
_BEHIND = "SELECT EXISTS (SELECT 1 FROM candle_span WHERE series_id = ? AND time_till >= ?)"
_DAYS = f"SELECT {', '.join(DAY)} FROM calendar_day WHERE engine = ? AND day BETWEEN ? AND ?"  # noqa: S608


class SqliteSnapshots:
    """Opens its connection when first asked."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], *, place: str) -> None:
        """Take how to connect, and what to call the database in errors."""
        self._connect = connect
        self._place = place
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self.in_use = 0

    async def views(self, asked: Sequence[Looked], /) -> Sequence[Sequence[SeriesView]]:
        def read(connection: sqlite3.Connection) -> list[list[SeriesView]]:
            return [[view for _, view in _views(connection, *one)] for one in asked]

        return await self._in_thread(read)

    async def candles(self, asked: Looked, window: Period, /, *, limit: int, newest_first: bool) -> Found | None:
        def read(connection: sqlite3.Connection) -> Found | None:
            for series_id, view in _views(connection, *asked):
                key = (series_id, asked[0].timeframe.interval)
                ends = (window.time_from.microseconds, window.time_till.microseconds, limit)
                rows = connection.execute(_NEWEST if newest_first else _OLDEST, (*key, *ends)).fetchall()
                return view, CandlePage.from_rows(asked[0], rows[::-1] if newest_first else rows)
            return None

        return await self._in_thread(read)

    async def circumstances(self, series: Series, missing: Sequence[Period], /) -> Circumstances | None:
        return await self._in_thread(lambda connection: _circumstances(connection, series, missing))

    async def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()
        self._thread = self._connection = None

    async def _in_thread(self, read: Callable[[sqlite3.Connection], Answer]) -> Answer:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "sqlite-snapshots")
        self.in_use += 1
        try:
            with translating(self._place):
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._snapshot, read)
        finally:
            self.in_use -= 1

    def _snapshot(self, read: Callable[[sqlite3.Connection], Answer]) -> Answer:
        if self._connection is None:
            self._connection = self._connect()
        with _transaction(self._connection) as connection:
            return read(connection)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN")
    try:
        yield connection
    finally:
        connection.execute("ROLLBACK")


def _views(connection: sqlite3.Connection, series: Series, period: Period) -> Iterator[tuple[int, SeriesView]]:
    key = (series.security.ticker, series.security.board, series.timeframe.interval)
    for series_id, *values, begin in connection.execute(_STATE, key).fetchall():
        ends = (series_id, period.time_till.microseconds, period.time_from.microseconds)
        covered = [Period(_instant(a), _instant(b)) for a, b in connection.execute(_TOUCHING, ends).fetchall()]
        yield series_id, SeriesView(state_from(series, values), _instant(begin), covered)


def state_from(series: Series, values: Sequence[Any]) -> SeriesState:
    """Make a state of the values of `STATE` as SQLite gives them."""
    read = [_instant(value) if at in _INSTANTS else value for at, value in enumerate(values)]
    return state_of(series, [*read[:-1], bool(read[-1])])


def _instant(microseconds: Any) -> Any:  # noqa: ANN401  # None stays None
    return None if microseconds is None else Timestamp.from_microseconds(microseconds)


def _circumstances(connection: sqlite3.Connection, series: Series, missing: Sequence[Period]) -> Circumstances | None:
    key = (series.security.ticker, series.security.board, series.timeframe.interval)
    since, till = missing[-1].time_from.microseconds, missing[-1].time_till.microseconds
    for series_id, *card in connection.execute(_CARD, key).fetchall():
        [newest] = connection.execute(_LAST, (series_id, series.timeframe.interval, since, till)).fetchone()
        [goes_on] = connection.execute(_BEHIND, (series_id, till)).fetchone()
        days = connection.execute(_DAYS, (card[0], *(day.isoformat() for day in days_around(missing)))).fetchall()
        return Circumstances(
            card_of(series, [*card[:3], *map(_date, card[3:])]),
            [_day(day) for day in days],
            [_instant(begin) for (begin,) in connection.execute(_REFUSED, (series_id,)).fetchall()],
            _instant(newest),
            bool(goes_on),
        )
    return None


def _day(values: Sequence[Any]) -> CalendarDay:
    engine, day, is_traded, trade_date, reason, opens, closes, seen_at = values
    return CalendarDay(
        engine,
        date.fromisoformat(day),
        bool(is_traded),
        _date(trade_date),
        None if reason is None else DayReason(reason),
        None if opens is None else time.fromisoformat(opens),
        None if closes is None else time.fromisoformat(closes),
        _instant(seen_at),
    )


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
