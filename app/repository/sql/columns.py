"""Columns of candles to PostgreSQL's binary COPY, and back from one value a column: no object and no call per row.

A row on its way in always has the same length, so byte k of a column's values sits at equal distances: eight strided
copies move a column, at C speed. Layout: field count (2 bytes), then each field as length (4 bytes) and value, all
big-endian; instants are microseconds since 2000-01-01.
"""

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from app.core.entities import Series
from app.core.pages import CandlePage

Column = TypeVar("Column", "array[int]", "array[float]")

COLUMNS = ("series_id", "timeframe", "is_final", "begin", "open", "high", "low", "close", "volume", "value")
"""In the order in which rows are packed."""

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_PIECE = 2_000  # rows that fit into a processor's cache, and take less than a millisecond
_EPOCH = 946_684_800  # 2000-01-01 in unix seconds
_MICROSECONDS = 1_000_000

_WRITTEN = struct.Struct(">h ii ih ib iq 12x 12x 12x 12x 12x 12x")
_FINAL = 20  # where the values stand in a written row
_WRITTEN_AT = (25, *range(37, 37 + 12 * 6, 12))

READ = "is_final, begin, open, high, low, close, volume, value"
"""What a page is made of, in the order of `AGGREGATED`."""

AGGREGATED = ", ".join(
    f"string_agg({binary}, ''::bytea)"
    for binary in (
        "boolsend(is_final)",
        "int8send(date_part('epoch', begin)::bigint)",
        *(f"float8send({name})" for name in ("open", "high", "low", "close", "volume", "value")),
    )
)
"""One value a column: the binary forms of its values, in the order of the rows; begins are unix seconds."""


def pack(page: CandlePage, series_id: int) -> Iterator[bytes]:
    """Write the page as COPY takes it, in the order of `COLUMNS`, piece by piece."""
    yield _SIGNATURE
    for start in range(0, len(page), _PIECE):
        yield _packed(page[start : start + _PIECE], series_id)
    yield _TRAILER


def _packed(page: CandlePage, series_id: int) -> bytes:
    begins = microseconds(page.begins, since=_EPOCH)
    row = bytearray(_WRITTEN.pack(10, 4, series_id, 2, page.series.timeframe.interval, 1, 0, 8, 0))
    for at in _WRITTEN_AT[1:]:
        struct.pack_into(">i", row, at - 4, 8)
    rows = bytearray(bytes(row) * len(page))
    rows[_FINAL :: len(row)] = page.finals
    for at, values in zip(_WRITTEN_AT, (_big_endian(begins), *map(_big_endian, page.prices)), strict=True):
        for byte in range(8):
            rows[at + byte :: len(row)] = values[byte::8]
    return bytes(rows)


def microseconds(begins: "array[int]", *, since: int = 0) -> "array[int]":
    """Turn ascending unix seconds into microseconds since a moment, given in unix seconds too.

    The column is one long number, 64 bits a row: so all rows are reckoned at once. Rows before the moment would borrow.
    """
    if begins[:1] < array("q", [since]):
        return array("q", [(begin - since) * _MICROSECONDS for begin in begins])
    moments = array("q", [since]) * len(begins)
    total = (int.from_bytes(begins, sys.byteorder) - int.from_bytes(moments, sys.byteorder)) * _MICROSECONDS
    return array("q", total.to_bytes(begins.itemsize * len(begins), sys.byteorder))


def join(series: Series, values: Sequence[bytes | None]) -> CandlePage:
    """Read what `SELECT AGGREGATED` of rows in ascending order answered: a value a column, none where no row is."""
    finals, begins, *prices = (value or b"" for value in values)
    return CandlePage.from_columns(series, _array("q", begins), [_array("d", column) for column in prices], finals)


def _array(kind: str, big_endian: bytes) -> "array[Any]":
    column = array(kind, big_endian)
    _swap(column)
    return column


def _big_endian(column: Column) -> bytes:
    swapped = column[:]
    _swap(swapped)
    return swapped.tobytes()


def _swap(column: Column) -> None:
    if sys.byteorder == "little":
        column.byteswap()
