"""What is covered, kept in normal form."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Security, Series
from app.core.spans import Period, merge, subtract
from app.repository.memory.of_series import MemorySeriesCollection
from app.repository.memory.transaction import Key, series_key


@dataclass(frozen=True)
class MemorySpanRepository(MemorySeriesCollection[CandleSpan]):
    """Spans in normal form."""

    table = "spans"

    def _key(self, item: CandleSpan) -> Key:
        return (*series_key(item.series), item.time_from)

    def filter_touching(self, period: Period, /) -> Self:
        return self._where(lambda span: span.time_from <= period.time_till and span.time_till >= period.time_from)

    async def ends(self, securities: Collection[Security] = ()) -> dict[Series, Timestamp]:
        self._window.require_whole()
        spans = [span for span in self._select() if not securities or span.security in securities]
        return {span.series: span.time_till for span in spans}

    async def add(self, items: Iterable[CandleSpan], /) -> None:
        self._transaction.require_writer()
        added = list(items)
        self._require_parents(added)
        for series, periods in _periods(added):
            self._rewrite(series, merge([*self._stored(series), *periods]))

    async def remove(self, items: Iterable[CandleSpan], /) -> None:
        self._transaction.require_writer()
        for series, periods in _periods(items):
            self._rewrite(series, subtract(self._stored(series), periods))

    def _stored(self, series: Series) -> list[Period]:
        return [Period(span.time_from, span.time_till) for span in self._rows.values() if span.series == series]

    def _rewrite(self, series: Series, periods: Iterable[Period]) -> None:
        self._drop([key for key in self._rows if key[:3] == series_key(series)])
        spans = (CandleSpan(series.security, series.timeframe, p.time_from, p.time_till) for p in periods)
        self._rows.update((self._key(span), span) for span in spans)


def _periods(spans: Iterable[CandleSpan]) -> Iterator[tuple[Series, list[Period]]]:
    by_series: dict[Series, list[Period]] = {}
    for span in spans:
        by_series.setdefault(span.series, []).append(Period(span.time_from, span.time_till))
    yield from by_series.items()
