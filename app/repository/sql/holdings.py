"""What is held of a series, for whoever writes candles: asked for each batch, so in the driver's own words."""

from collections.abc import Iterable
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
from app.repository.sql.transaction import Transaction
from app.repository.sql.views import STATE, state_of

# These speak of our own names only; values are parameters.
_LOCKED = (
    f"SELECT s.id, {STATE} FROM security c JOIN series s ON s.security_id = c.id"  # noqa: S608
    " WHERE c.ticker = $1 AND c.board = $2 AND s.timeframe = $3 FOR UPDATE OF s"
)
_HELD = (
    "SELECT ARRAY(SELECT ROW(time_from, time_till) FROM candle_span"  # noqa: S608
    " WHERE series_id = $1 AND time_from <= $4 AND time_till >= $3 ORDER BY time_from),"
    " ARRAY(SELECT ROW(begin, attempts, raw, reason, seen_at) FROM quarantine WHERE series_id = $1 ORDER BY begin),"
    " ARRAY(SELECT ROW(date, factor, seen_at) FROM split"
    " WHERE security_id = (SELECT security_id FROM series WHERE id = $1) ORDER BY date), page.*"
    f" FROM (SELECT {columns.AGGREGATED} FROM (SELECT {columns.READ} FROM candle"
    " WHERE series_id = $1 AND timeframe = $2 AND begin >= $3 AND begin < $4 ORDER BY begin) AS candle) AS page"
)
_SPANS = (
    "SELECT time_from, time_till FROM candle_span WHERE series_id = ? AND time_from <= ? AND time_till >= ?"
    " ORDER BY time_from"
)
_CANDLES = (
    "SELECT begin / 1000000, open, high, low, close, volume, value, is_final FROM candle"
    " WHERE series_id = ? AND timeframe = ? AND begin >= ? AND begin < ? ORDER BY begin"
)
_REFUSED = "SELECT begin, attempts, raw, reason, seen_at FROM quarantine WHERE series_id = ? ORDER BY begin"
_SPLITS = (
    "SELECT date, factor, seen_at FROM split WHERE security_id = (SELECT security_id FROM series WHERE id = ?)"
    " ORDER BY date"
)


async def from_postgresql(transaction: Transaction, series: Series, period: Period) -> Holdings:
    """Lock the series, then read in another statement: it sees what was committed while the lock was waited for."""
    interval = series.timeframe.interval
    locked = await transaction.fetch(_LOCKED, series.security.ticker, series.security.board, interval)
    for series_id, *values in locked:
        transaction.ids[series] = series_id
        ends = (period.time_from.utc, period.time_till.utc)
        [(spans, refused, splits, *page)] = await transaction.fetch(_HELD, series_id, interval, *ends)
        return Holdings(
            state_of(series, [Timestamp(value) if isinstance(value, datetime) else value for value in values]),
            [Period(Timestamp(begin), Timestamp(end)) for begin, end in spans],
            columns.join(series, page),
            [_refused(series, Timestamp(begin), row, Timestamp(seen_at)) for begin, *row, seen_at in refused],
            [Split(series.security, day, factor, Timestamp(seen_at)) for day, factor, seen_at in splits],
        )
    raise refusals.unknown_series(series)


async def from_sqlite(transaction: Transaction, state: SeriesState, period: Period) -> Holdings:
    """Read what is held of a series whose state was read: whoever writes is alone."""
    series, series_id = state.series, transaction.ids[state.series]
    begin, end = period.time_from.microseconds, period.time_till.microseconds
    spans = await transaction.tuples(_SPANS, series_id, end, begin)
    candles = await transaction.tuples(_CANDLES, series_id, series.timeframe.interval, begin, end)
    instant = Timestamp.from_microseconds
    return Holdings(
        state,
        [Period(instant(time_from), instant(time_till)) for time_from, time_till in spans],
        CandlePage.from_rows(series, candles),
        [
            _refused(series, instant(begin), row, instant(seen_at))
            for begin, *row, seen_at in await transaction.tuples(_REFUSED, series_id)
        ],
        [
            Split(series.security, date.fromisoformat(day), factor, instant(seen_at))
            for day, factor, seen_at in await transaction.tuples(_SPLITS, series_id)
        ],
    )


def _refused(series: Series, begin: Timestamp, row: Iterable[Any], seen_at: Timestamp) -> QuarantinedRow:
    attempts, raw, reason = row
    return QuarantinedRow(series, begin, raw, reason, seen_at, attempts)
