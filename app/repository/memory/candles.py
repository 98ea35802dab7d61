"""Candles, which also come and go as pages."""

from dataclasses import dataclass, replace
from typing import Self

from app.core.date_time import Timestamp
from app.core.entities import Candle, Series
from app.core.pages import CandlePage
from app.repository.memory.of_series import MemorySeriesCollection
from app.repository.memory.transaction import Key, series_key


@dataclass(frozen=True)
class MemoryCandleRepository(MemorySeriesCollection[Candle]):
    """Candles by series and beginning."""

    table = "candles"

    _is_newest_first: bool = False

    def _key(self, item: Candle) -> Key:
        return (*series_key(item.series), item.timestamp)

    def filter_by_timestamp_gte(self, moment: Timestamp, /) -> Self:
        return self._where(lambda candle: candle.timestamp >= moment)

    def filter_by_timestamp_lt(self, moment: Timestamp, /) -> Self:
        return self._where(lambda candle: candle.timestamp < moment)

    def filter_by_final(self, is_final: bool, /) -> Self:  # noqa: FBT001  # a column's value, not a switch
        return self._where(lambda candle: candle.is_final is is_final)

    def newest_first(self) -> Self:
        self._window.require_whole()
        return replace(self, _is_newest_first=True)

    def _order(self, rows: list[Candle]) -> list[Candle]:
        # a stable sort: candles of one moment stay in the order of their series
        return sorted(rows, key=lambda c: -c.timestamp.microseconds) if self._is_newest_first else rows

    async def page(self, series: Series, /) -> CandlePage:
        return CandlePage.from_candles(series, (candle for candle in self._select() if candle.series == series))

    async def extend(self, page: CandlePage, /) -> None:
        self._transaction.require_writer()
        if not page:
            return
        self._transaction.require_series([page.series])
        candles = {self._key(candle): candle for candle in page}
        if len(candles) < len(page) or candles.keys() & self._rows.keys():
            raise self._transaction.fail("one of these candles is stored already")
        self._rows.update(candles)
