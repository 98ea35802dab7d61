"""What is held of a series, for whoever writes candles: asked for each batch, so in the driver's own words."""

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from app.core.corporate_actions import Split
from app.core.date_time import Timestamp
from app.core.entities import QuarantinedRow, Series, SeriesState
from app.core.pages import CandlePage
from app.core.spans import Period
from app.core.storage import Holdings
from app.repository import refusals
from app.repository.sql import columns
from app.repository.sql.sqlite_snapshots import state_from
from app.repository.sql.transaction import Transaction
from app.repository.sql.views import STATE, state_of

_Rows = Iterable[Sequence[Any]]

# These speak of our own names only; values are parameters.
_STATE = f"SELECT s.id, {STATE} FROM security c JOIN series s ON s.security_id = c.id"  # noqa: S608
_LOCKED = f"{_STATE} WHERE c.ticker = $1 AND c.board = $2 AND s.timeframe = $3 FOR UPDATE OF s"
_MICROSECONDS = "(extract(epoch FROM {}) * 1000000)::bigint".format


def _listed(values: str, rows: str) -> str:
    """Ask for rows as one JSON text, null when there are none: of an array the driver would look up the type first.

    It does so once for each new connection, which is more work than all else that is asked on it before candles come.
    """
    return f"(SELECT json_agg(json_build_array({values}))::text FROM ({rows}) AS rows)"  # noqa: S608


_SPANS = _listed(
    f"{_MICROSECONDS('time_from')}, {_MICROSECONDS('time_till')}",
    "SELECT * FROM candle_span WHERE series_id = $1 AND time_from <= $4 AND time_till >= $3 ORDER BY time_from",
)
_REFUSED = _listed(
    f"{_MICROSECONDS('begin')}, attempts, raw, reason, {_MICROSECONDS('seen_at')}",
    "SELECT * FROM quarantine WHERE series_id = $1 ORDER BY begin",
)
_SPLITS = _listed(
    f"date, factor, {_MICROSECONDS('seen_at')}",
    "SELECT * FROM split WHERE security_id = (SELECT security_id FROM series WHERE id = $1) ORDER BY date",
)
_HELD = (
    f"SELECT {_SPANS}, {_REFUSED}, {_SPLITS}, page.*"  # noqa: S608
    f" FROM (SELECT {columns.AGGREGATED} FROM (SELECT {columns.READ} FROM candle"
    " WHERE series_id = $1 AND timeframe = $2 AND begin >= $3 AND begin < $4 ORDER BY begin) AS candle) AS page"
)
_SQLITE_STATE = f"{_STATE} WHERE c.ticker = ? AND c.board = ? AND s.timeframe = ?"
_SQLITE_CANDLES = (
    "SELECT begin / 1000000, open, high, low, close, volume, value, is_final FROM candle"
    " WHERE series_id = ? AND timeframe = ? AND begin >= ? AND begin < ? ORDER BY begin"
)
_SQLITE_LISTS = (
    "SELECT 0, time_from, time_till, NULL, NULL, NULL FROM candle_span"
    " WHERE series_id = ? AND time_from <= ? AND time_till >= ? UNION ALL"
    " SELECT 1, begin, attempts, raw, reason, seen_at FROM quarantine WHERE series_id = ? UNION ALL"
    " SELECT 2, date, factor, seen_at, NULL, NULL FROM split"
    " WHERE security_id = (SELECT security_id FROM series WHERE id = ?) ORDER BY 1, 2"
)
"""Spans, refused rows and splits in one question: each has to go to the thread of the connection and back."""


async def from_postgresql(transaction: Transaction, series: Series, period: Period) -> Holdings:
    """Lock the series, then read in another statement: it sees what was committed while the lock was waited for."""
    interval = series.timeframe.interval
    locked = await transaction.fetch(_LOCKED, series.security.ticker, series.security.board, interval)
    for series_id, *values in locked:
        transaction.ids[series] = series_id
        ends = (period.time_from.utc, period.time_till.utc)
        [(spans, refused, splits, *page)] = await transaction.fetch(_HELD, series_id, interval, *ends)
        state = state_of(series, [Timestamp(value) if isinstance(value, datetime) else value for value in values])
        lists = (json.loads(text) if text else [] for text in (spans, refused, splits))
        return _holdings(state, columns.join(series, page), *lists)
    raise refusals.unknown_series(series)


async def from_sqlite(transaction: Transaction, series: Series, period: Period) -> Holdings:
    """Read what is held of a series: whoever writes is alone."""
    interval, begin, end = series.timeframe.interval, period.time_from.microseconds, period.time_till.microseconds
    found = await transaction.tuples(_SQLITE_STATE, series.security.ticker, series.security.board, interval)
    for series_id, *values in found:
        transaction.ids[series] = series_id
        lists = await transaction.tuples(_SQLITE_LISTS, series_id, end, begin, series_id, series_id)
        candles = await transaction.tuples(_SQLITE_CANDLES, series_id, interval, begin, end)
        return _holdings(
            state_from(series, values),
            CandlePage.from_rows(series, candles),
            [row[1:3] for row in lists if row[0] == 0],
            [row[1:] for row in lists if row[0] == 1],
            [row[1:4] for row in lists if row[0] == 2],  # noqa: PLR2004  # the third of the lists
        )
    raise refusals.unknown_series(series)


def _holdings(state: SeriesState, candles: CandlePage, spans: _Rows, refused: _Rows, splits: _Rows) -> Holdings:
    """Put together what both databases give alike: instants as microseconds, days as text."""
    series, instant = state.series, Timestamp.from_microseconds
    return Holdings(
        state,
        [Period(instant(time_from), instant(time_till)) for time_from, time_till in spans],
        candles,
        [
            QuarantinedRow(series, instant(begin), raw, reason, instant(seen_at), attempts)
            for begin, attempts, raw, reason, seen_at in refused
        ],
        [
            Split(series.security, date.fromisoformat(day), float(factor), instant(seen_at))
            for day, factor, seen_at in splits
        ],
    )
