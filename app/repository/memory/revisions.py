"""What was stored and is no longer believed, and what never was: revisions and quarantine."""

from dataclasses import dataclass

from app.core.date_time import Timestamp
from app.core.entities import Candle, CandleRevision, QuarantinedRow, Series
from app.core.pages import CandlePage
from app.repository.memory.of_series import MemorySeriesCollection
from app.repository.memory.transaction import Key, series_key


@dataclass(frozen=True)
class MemoryRevisionRepository(MemorySeriesCollection[CandleRevision]):
    """Superseded candles by series, beginning and revision."""

    table = "revisions"

    def _key(self, item: CandleRevision) -> Key:
        return (*series_key(item.candle.series), item.candle.timestamp, item.revision)

    def _series(self, item: CandleRevision) -> Series:
        return item.candle.series

    async def supersede(self, page: CandlePage, /, *, reason: str, superseded_at: Timestamp) -> None:
        await self.add([CandleRevision(candle, self._next(candle), reason, superseded_at) for candle in page])

    def _next(self, candle: Candle) -> int:
        key = (*series_key(candle.series), candle.timestamp)
        return max((stored[-1] for stored in self._rows if stored[:-1] == key), default=0) + 1


@dataclass(frozen=True)
class MemoryQuarantineRepository(MemorySeriesCollection[QuarantinedRow]):
    """Refused rows by series and beginning."""

    table = "quarantine"

    def _key(self, item: QuarantinedRow) -> Key:
        return (*series_key(item.series), item.begin)
