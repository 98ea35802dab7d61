"""Securities and series: the tables whose surrogate ids the others refer to."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import (
    ColumnElement,
    Insert,
    Row,
    ScalarSelect,
    Select,
    Update,
    bindparam,
    exists,
    or_,
    select,
    tuple_,
    update,
)

from app.core.entities import Security, SecurityCard, Series, SeriesState, Timeframe
from app.repository import refusals
from app.repository.sql.collection import Entity, SqlCollection, Values, table_of, upsert
from app.repository.sql.transaction import Transaction
from db_schema import models

SECURITY = table_of(models.Security)
SERIES = table_of(models.Series)
_DESCRIPTION = [column.name for column in SECURITY.c if column.name not in {"id", "ticker", "board"}]
TIMEFRAMES = {timeframe.interval: timeframe for timeframe in Timeframe}
_KEY = tuple_(SECURITY.c.ticker, SECURITY.c.board, SERIES.c.timeframe)
_IDS = select(SERIES.c.id, *_KEY.clauses).join_from(SERIES, SECURITY)
_LOOKUP = 1_000  # keys a question, far below the 32,767 parameters of the protocol


async def series_ids(transaction: Transaction, wanted: Iterable[Series]) -> dict[Series, int]:
    """Return the ids of those that have a row, asking only for what this transaction does not know yet."""
    wanted = set(wanted)
    unknown = [(s.security.ticker, s.security.board, s.timeframe.interval) for s in wanted - transaction.ids.keys()]
    for start in range(0, len(unknown), _LOOKUP):
        found = _IDS
        if transaction.is_writer:  # as a foreign key would: the row cannot go before what is written below it
            found = found.with_for_update(read=True, key_share=True, of=SERIES)
        for row in await transaction.rows(found.where(_KEY.in_(unknown[start : start + _LOOKUP]))):
            transaction.ids[series_of(row)] = row.id
    return {series: transaction.ids[series] for series in wanted if series in transaction.ids}


async def require_series_ids(transaction: Transaction, wanted: Iterable[Series]) -> dict[Series, int]:
    """Return the ids of all, or raise SeriesNotFoundError for the first without a row."""
    wanted = set(wanted)
    ids = await series_ids(transaction, wanted)
    for series in sorted(wanted - ids.keys()):
        raise refusals.unknown_series(series)
    return ids


def series_of(row: Row[Any]) -> Series:
    """Read it from a row that has ticker, board and the interval as `timeframe`."""
    return Series(Security(row.ticker, row.board), TIMEFRAMES[row.timeframe])


def id_of(series: Series) -> ScalarSelect[int]:
    """Look a series up inside the statement that needs its id."""
    found = select(SERIES.c.id).join_from(SERIES, SECURITY).where(SERIES.c.timeframe == series.timeframe.interval)
    return found.where(_is(series.security)).scalar_subquery()


def id_of_security(security: Security) -> ScalarSelect[int]:
    """Look a security up inside the statement that needs its id."""
    return select(SECURITY.c.id).where(_is(security)).scalar_subquery()


async def security_ids(
    transaction: Transaction, securities: set[Security], *, is_strict: bool = True
) -> dict[Security, int]:
    """Return the ids of those that have a card, or raise SecurityNotFoundError for the first without one."""
    keys = sorted((s.ticker, s.board) for s in securities)
    ids: dict[Security, int] = {}
    for start in range(0, len(keys), _LOOKUP):
        known = tuple_(SECURITY.c.ticker, SECURITY.c.board).in_(keys[start : start + _LOOKUP])
        rows = await transaction.rows(select(SECURITY).where(known))
        ids |= {Security(row.ticker, row.board): row.id for row in rows}
    for security in sorted(securities - ids.keys()) if is_strict else ():
        raise refusals.unknown_security(security)
    return ids


def are(securities: Collection[Security]) -> ColumnElement[bool]:
    """Tell which rows of securities are those of these: a few hundred at most."""
    return tuple_(SECURITY.c.ticker, SECURITY.c.board).in_([(each.ticker, each.board) for each in securities])


def _is(security: Security) -> ColumnElement[bool]:
    return (SECURITY.c.ticker == security.ticker) & (SECURITY.c.board == security.board)


@dataclass(frozen=True)
class _Catalogue(SqlCollection[Entity]):
    """A table with surrogate ids: an upsert would use one up for each row it merely updates."""

    async def _save(self, rows: Iterable[Values]) -> None:
        folded = [{f"new_{name}": value for name, value in row.items()} for row in self._folded(rows)]
        await self._transaction.write(self._update(), folded)
        await self._transaction.write(self._insert_missing(), folded)

    def _new(self) -> dict[str, ColumnElement[Any]]:
        return {c.name: bindparam(f"new_{c.name}", type_=c.type) for c in self.table.c if c.name != "id"}

    def _same_key(self) -> ColumnElement[bool]:
        key = [self.table.c[name] == new for name, new in self._new().items() if name in self.key]
        return key[0] & key[1]

    def _update(self) -> Update:
        rest = {name: new for name, new in self._new().items() if name not in self.key}
        differs = or_(*(self.table.c[name].is_distinct_from(new) for name, new in rest.items()))
        return update(self.table).where(self._same_key(), differs).values(rest)

    def _insert_missing(self) -> Insert:
        new = self._new()
        missing = select(*new.values()).where(~exists().where(self._same_key()).correlate(None))
        return upsert(self._transaction, self.table, self.key).from_select(list(new), missing)


@dataclass(frozen=True)
class SqlSecurityRepository(_Catalogue[SecurityCard]):
    """Cards by ticker and board."""

    table = SECURITY
    key = ("ticker", "board")

    def filter_by_board(self, board: str, /) -> Self:
        return self._where(SECURITY.c.board == board)

    def filter_by_ticker(self, ticker: str, /) -> Self:
        return self._where(SECURITY.c.ticker == ticker)

    def filter_followed(self) -> Self:
        followed = exists().where(SERIES.c.security_id == SECURITY.c.id, SERIES.c.followed_from.is_not(None))
        return self._where(followed.correlate(SECURITY))

    async def get(self, security: Security, /) -> SecurityCard:
        for row in await self._transaction.rows(select(SECURITY).where(_is(security), *self._filters())):
            return self._entity(row)
        raise refusals.unknown_security(security)

    async def add(self, items: Iterable[SecurityCard], /) -> None:
        await self._save([_security_values(card) for card in items])

    async def remove(self, items: Iterable[SecurityCard], /) -> None:
        await self._delete([{"ticker": c.security.ticker, "board": c.security.board} for c in items])

    def _ordered(self) -> Select[Any]:
        return select(SECURITY).where(*self._filters()).order_by(SECURITY.c.ticker, SECURITY.c.board)

    def _entity(self, row: Row[Any]) -> SecurityCard:
        described = {name: getattr(row, name) for name in _DESCRIPTION}
        return SecurityCard(Security(row.ticker, row.board), **described)


def _security_values(card: SecurityCard) -> Values:
    described = {name: getattr(card, name) for name in _DESCRIPTION}
    return {"ticker": card.security.ticker, "board": card.security.board, **described}


_STATE = select(SERIES, SECURITY.c.ticker, SECURITY.c.board).join_from(SERIES, SECURITY)
# These are asked for many times: made once, they are compiled once.
_ONE_STATE = _STATE.where(
    SECURITY.c.ticker == bindparam("ticker"),
    SECURITY.c.board == bindparam("board"),
    SERIES.c.timeframe == bindparam("t"),
)
_LOCKED_STATE = _ONE_STATE.with_for_update(of=SERIES)
_CHANGED = [column.name for column in SERIES.c if column.name not in {"id", "security_id", "timeframe"}]
# These speak of our own names only; values are parameters.
_CHANGE_IN_POSTGRESQL = (
    f"UPDATE series SET {', '.join(f'{name} = ${n}' for n, name in enumerate(_CHANGED, 1))}"  # noqa: S608
    f" WHERE id = ${len(_CHANGED) + 1}"
)
_CHANGE_IN_SQLITE = f"UPDATE series SET {', '.join(f'{name} = ?' for name in _CHANGED)} WHERE id = ?"  # noqa: S608


@dataclass(frozen=True)
class SqlSeriesRepository(_Catalogue[SeriesState]):
    """States by security and interval."""

    table = SERIES
    key = ("security_id", "timeframe")

    def filter_by_security(self, security: Security, /) -> Self:
        return self._where(SERIES.c.security_id == id_of_security(security))

    def filter_by_securities(self, securities: Collection[Security], /) -> Self:
        return self._where(SERIES.c.security_id.in_(select(SECURITY.c.id).where(are(securities))))

    def filter_by_timeframe(self, timeframe: Timeframe, /) -> Self:
        return self._where(SERIES.c.timeframe == timeframe.interval)

    def filter_followed(self) -> Self:
        return self._where(SERIES.c.followed_from.is_not(None))

    def filter_grown(self) -> Self:
        return self._where(SERIES.c.is_grown)

    async def get(self, series: Series, /) -> SeriesState:
        return await self._find(series, _ONE_STATE.where(*self._filters()) if self._clauses else _ONE_STATE)

    async def lock(self, series: Series, /) -> SeriesState:
        """Take the row's lock on PostgreSQL; on SQLite this transaction already keeps all other writers out."""
        self._transaction.require_writer()
        return await self._find(series, _LOCKED_STATE)

    async def _find(self, series: Series, state: Select[Any]) -> SeriesState:
        key = {"ticker": series.security.ticker, "board": series.security.board, "t": series.timeframe.interval}
        for row in await self._transaction.rows(state, key):
            self._transaction.ids[series] = row.id
            return self._entity(row)
        raise refusals.unknown_series(series)

    async def add(self, items: Iterable[SeriesState], /) -> None:
        states = sorted(items, key=lambda state: state.series)
        if not states:
            return
        if self._transaction.ids.keys() >= {state.series for state in states}:  # whoever changes them has locked them
            await self._change(states)
            return
        ids = await security_ids(self._transaction, {state.series.security for state in states})
        await self._save([_state_values(state, ids[state.series.security]) for state in states])

    async def clear(self) -> None:
        await super().clear()
        self._transaction.ids.clear()

    async def _change(self, states: Iterable[SeriesState]) -> None:
        """Write those whose rows are known in the driver's own words: it is done with each batch of candles."""
        change = _CHANGE_IN_POSTGRESQL if self._transaction.is_postgresql else _CHANGE_IN_SQLITE
        rows = []
        for state in states:
            values = _state_values(state, 0)
            own = (self._transaction.own(values[name]) for name in _CHANGED)
            rows.append((*own, self._transaction.ids[state.series]))
        await self._transaction.execute_many(change, rows)

    async def remove(self, items: Iterable[SeriesState], /) -> None:
        ids = await series_ids(self._transaction, [state.series for state in items])
        await self._transaction.write(
            self.table.delete().where(SERIES.c.id == bindparam("id")), [{"id": id_} for id_ in sorted(ids.values())]
        )
        self._transaction.ids.clear()

    def _ordered(self) -> Select[Any]:
        return _STATE.where(*self._filters()).order_by(SECURITY.c.ticker, SECURITY.c.board, SERIES.c.timeframe)

    def _entity(self, row: Row[Any]) -> SeriesState:
        return SeriesState(
            series_of(row),
            row.followed_from,
            row.watermark,
            row.as_of,
            row.version,
            row.history_version,
            row.first_candle,
            row.failed_at,
            row.failure,
            row.reread_at,
            row.stale_before,
            row.checked_at,
            row.failures,
            row.asked_at,
            row.is_grown,
        )


def _state_values(state: SeriesState, security_id: int) -> Values:
    return {
        "security_id": security_id,
        "timeframe": state.series.timeframe.interval,
        "followed_from": state.followed_from,
        "watermark": state.watermark,
        "as_of": state.as_of,
        "version": state.version,
        "history_version": state.history_version,
        "first_candle": state.first_candle,
        "failed_at": state.failed_at,
        "failure": state.failure,
        "reread_at": state.reread_at,
        "stale_before": state.stale_before,
        "checked_at": state.checked_at,
        "failures": state.failures,
        "asked_at": state.asked_at,
        "is_grown": state.is_grown,
    }
