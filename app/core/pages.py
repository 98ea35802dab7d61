"""Many candles of one series as columns: entities come into being on access, millions pass without them."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self, overload

from app.core.date_time import Timestamp
from app.core.entities import Candle, Series

Row = tuple[int, float, float, float, float, float, float, int]


@dataclass(frozen=True, slots=True)
class CandlePage(Sequence[Candle]):
    """Candles of one series, strictly ascending by beginning; slices are pages, an index gives a `Candle`.

    `begins` are unix seconds ('q'), `opens highs lows closes volumes values` doubles ('d'), `finals` one byte a row:
    1 for a final candle, 0 for one that still forms. All columns have the same length.
    """

    series: Series
    begins: "array[int]"
    opens: "array[float]"
    highs: "array[float]"
    lows: "array[float]"
    closes: "array[float]"
    volumes: "array[float]"
    values: "array[float]"
    finals: bytes

    @classmethod
    def from_rows(cls, series: Series, rows: Iterable[Row]) -> Self:
        """Build a page from `(begin, open, high, low, close, volume, value, is_final)` in ascending order."""
        begins, *prices, finals = list(zip(*rows, strict=True)) or [()] * 8
        return cls.from_columns(series, array("q", begins), [array("d", column) for column in prices], bytes(finals))

    @classmethod
    def from_candles(cls, series: Series, candles: Iterable[Candle]) -> Self:
        return cls.from_rows(
            series,
            (
                (c.timestamp.unix, c.open, c.high, c.low, c.close, c.volume, c.value, c.is_final)
                for c in sorted(candles, key=lambda c: c.timestamp)
            ),
        )

    @classmethod
    def join(cls, series: Series, pages: Iterable[Self]) -> Self:
        """Put pages that follow each other into one."""
        parts = [(page.begins, *page.prices, page.finals) for page in pages]
        begins, *prices, finals = [b"".join(column) for column in zip(*parts, strict=True)] or [b""] * 8
        return cls.from_columns(series, array("q", begins), [array("d", column) for column in prices], finals)

    @classmethod
    def from_columns(
        cls, series: Series, begins: "array[int]", prices: "Sequence[array[float]]", finals: bytes
    ) -> Self:
        """Build a page of columns as they are, `prices` in the order open, high, low, close, volume, value."""
        opens, highs, lows, closes, volumes, values = prices
        return cls(series, begins, opens, highs, lows, closes, volumes, values, finals)

    @property
    def prices(self) -> "tuple[array[float], ...]":
        """The six columns of doubles, in the order open, high, low, close, volume, value."""
        return (self.opens, self.highs, self.lows, self.closes, self.volumes, self.values)

    @property
    def rows(self) -> Iterator[Row]:
        """The rows as tuples, in the order `from_rows` takes."""
        return zip(self.begins, *self.prices, self.finals, strict=True)

    def __len__(self) -> int:
        return len(self.begins)

    @overload
    def __getitem__(self, index: int) -> Candle: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Candle | Self:
        if isinstance(index, slice):
            prices = [column[index] for column in self.prices]
            return self.from_columns(self.series, self.begins[index], prices, self.finals[index])
        return Candle(
            self.series.security,
            self.series.timeframe,
            Timestamp.from_unix(self.begins[index]),
            self.opens[index],
            self.highs[index],
            self.lows[index],
            self.closes[index],
            self.volumes[index],
            self.values[index],
            bool(self.finals[index]),
        )

    def between(self, time_from: Timestamp, time_till: Timestamp) -> Self:
        """Return the candles that begin in `[time_from, time_till)`."""
        first, end = self._index(time_from), self._index(time_till)
        return self if (first, end) == (0, len(self)) else self[first:end]

    def is_same(self, other: "CandlePage") -> bool:
        """Tell whether all columns are the same bit for bit, which is quicker than whether they are equal."""
        if (self.finals, self.begins.tobytes()) != (other.finals, other.begins.tobytes()):
            return False
        return all(mine.tobytes() == theirs.tobytes() for mine, theirs in zip(self.prices, other.prices, strict=True))

    def pick(self, keep: Iterable[bool]) -> Self:
        """Return the candles at which `keep` is true."""
        return type(self).from_rows(self.series, (row for row, kept in zip(self.rows, keep, strict=True) if kept))

    def final_before(self, watermark: Timestamp) -> Self:
        """Return the page with those candles final, and only those, whose bar ends at or before the watermark."""
        final = self._index(self.series.timeframe.floor(watermark))
        return replace(self, finals=b"\1" * final + b"\0" * (len(self) - final))

    def _index(self, moment: Timestamp) -> int:
        return bisect_left(self.begins, -(-moment.microseconds // 1_000_000))
