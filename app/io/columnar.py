"""Candles as Arrow and Parquet: the columns as they are. pyarrow is asked for only here, and may be missing."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import RawIOBase
from typing import Any

from app.core.errors import CandleServiceError
from app.core.pages import CandlePage

_GROUP_ROWS = 100_000
"""Rows in a group of Parquet, a page more at most: enough to be packed well, few enough to be held."""

_PRICES = ("open", "high", "low", "close", "volume", "value")


class MissingArrowError(CandleServiceError):
    """What writes Arrow and Parquet is not installed."""

    def __init__(self) -> None:
        """Say the way out."""
        super().__init__("Arrow and Parquet need pyarrow, which is not installed: pip install 'moex-candles[arrow]'")


@dataclass(frozen=True, slots=True)
class Description:
    """What a file says of itself: the zone of its times, and words about the series."""

    zone: str
    words: Mapping[str, str]


class ArrowWriter:
    """An Arrow IPC stream: a batch of records a page."""

    def __init__(self, description: Description) -> None:
        """Begin the stream; MissingArrowError."""
        self._sink = _Sink()
        self._schema = _schema(description)
        self._stream = _arrow().ipc.new_stream(self._sink, self._schema)

    def write(self, page: CandlePage, /) -> bytes:
        self._stream.write_batch(_batch(page, self._schema))
        return self._sink.take()

    def close(self) -> bytes:
        self._stream.close()
        return self._sink.take()


class ParquetWriter:
    """A Parquet file, a group of rows at a time, packed by zstd."""

    def __init__(self, description: Description) -> None:
        """Begin the file; MissingArrowError."""
        self._sink = _Sink()
        self._schema = _schema(description)
        from pyarrow import parquet  # noqa: PLC0415  # heavy: the stream does without

        self._file = parquet.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._group: list[Any] = []

    def write(self, page: CandlePage, /) -> bytes:
        self._group.append(_batch(page, self._schema))
        if sum(map(len, self._group)) >= _GROUP_ROWS:
            self._write_group()
        return self._sink.take()

    def close(self) -> bytes:
        self._write_group()
        self._file.close()
        return self._sink.take()

    def _write_group(self) -> None:
        if self._group:
            table = _arrow().Table.from_batches(self._group)
            self._file.write_table(table, row_group_size=len(table))
            self._group.clear()


class _Sink(RawIOBase):
    """Holds what was written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # or a buffer, which lives as long as needed
        self._parts.append(data)
        return len(data)

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _arrow() -> Any:  # noqa: ANN401  # pyarrow is not typed
    try:
        import pyarrow as pa  # noqa: PLC0415  # heavy, and may be missing
    except ImportError as error:
        raise MissingArrowError from error
    return pa


def _schema(description: Description) -> Any:  # noqa: ANN401  # pyarrow is not typed
    arrow = _arrow()
    prices = [arrow.field(name, arrow.float64(), nullable=False) for name in _PRICES]
    begin = arrow.field("begin", arrow.timestamp("us", tz=description.zone), nullable=False)
    final = arrow.field("final", arrow.bool_(), nullable=False)
    return arrow.schema([begin, *prices, final], metadata=dict(description.words))


def _batch(page: CandlePage, schema: Any) -> Any:  # noqa: ANN401  # pyarrow is not typed
    """Lay Arrow's arrays over the columns; only instants and truth are written in another way."""
    arrow = _arrow()

    def column(kind: Any, values: object) -> Any:  # noqa: ANN401
        return arrow.Array.from_buffers(kind, len(page), [None, arrow.py_buffer(values)])

    begins = column(arrow.timestamp("s", tz="UTC"), page.begins).cast(schema.field("begin").type)
    prices = [column(arrow.float64(), values) for values in page.prices]
    finals = column(arrow.uint8(), page.finals).cast(arrow.bool_())
    return arrow.RecordBatch.from_arrays([begins, *prices, finals], schema=schema)
