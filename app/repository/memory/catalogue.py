"""Securities and series: the tables whose rows the others refer to."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Self

from app.core.entities import Security, SecurityCard, Series, SeriesState, Timeframe
from app.repository import refusals
from app.repository.memory.collection import MemoryCollection
from app.repository.memory.transaction import Key, security_key, series_key


@dataclass(frozen=True)
class MemorySecurityRepository(MemoryCollection[SecurityCard]):
    """Cards by ticker and board."""

    table = "securities"

    def _key(self, item: SecurityCard) -> Key:
        return security_key(item.security)

    def filter_by_board(self, board: str, /) -> Self:
        return self._where(lambda card: card.security.board == board)

    def filter_by_ticker(self, ticker: str, /) -> Self:
        return self._where(lambda card: card.security.ticker == ticker)

    def filter_followed(self) -> Self:
        states = self._transaction.tables.rows["series"].values()
        followed = {state.series.security for state in states if state.followed_from is not None}
        return self._where(lambda card: card.security in followed)

    async def get(self, security: Security, /) -> SecurityCard:
        card: SecurityCard | None = self._rows.get(security_key(security))
        if card is None or not all(keep(card) for keep in self._keeps):
            raise refusals.unknown_security(security)
        return card

    def _require_childless(self, keys: set[Key]) -> None:
        for state in self._transaction.tables.rows["series"].values():
            if security_key(state.series.security) in keys:
                raise self._transaction.fail(f"{state.series.security} has series")
        for split in self._transaction.tables.rows["splits"].values():
            if security_key(split.security) in keys:
                raise self._transaction.fail(f"{split.security} has splits")


@dataclass(frozen=True)
class MemorySeriesRepository(MemoryCollection[SeriesState]):
    """States by security and interval."""

    table = "series"

    def _key(self, item: SeriesState) -> Key:
        return series_key(item.series)

    def filter_by_security(self, security: Security, /) -> Self:
        return self._where(lambda state: state.series.security == security)

    def filter_by_securities(self, securities: Collection[Security], /) -> Self:
        return self._where(lambda state: state.series.security in securities)

    def filter_by_timeframe(self, timeframe: Timeframe, /) -> Self:
        return self._where(lambda state: state.series.timeframe == timeframe)

    def filter_followed(self) -> Self:
        return self._where(lambda state: state.followed_from is not None)

    def filter_grown(self) -> Self:
        return self._where(lambda state: state.is_grown)

    async def get(self, series: Series, /) -> SeriesState:
        state: SeriesState | None = self._rows.get(series_key(series))
        if state is None or not all(keep(state) for keep in self._keeps):
            raise refusals.unknown_series(series)
        return state

    async def lock(self, series: Series, /) -> SeriesState:
        self._transaction.require_writer()
        return await replace(self, _keeps=()).get(series)

    def _require_parents(self, items: Iterable[SeriesState]) -> None:
        self._transaction.require_securities(state.series.security for state in items)

    def _require_childless(self, keys: set[Key]) -> None:
        for name in ("candles", "spans", "revisions", "quarantine", "update_parts"):
            if any(key[:3] in keys for key in self._transaction.tables.rows[name]):
                raise self._transaction.fail("rows still belong to this series")
