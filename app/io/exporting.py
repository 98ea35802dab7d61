"""Candles into the bytes of files of any size, page by page as they come."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import tzinfo
from typing import Protocol

from app.answers import encoding
from app.core.pages import CandlePage
from app.core.pipeline import pump
from app.io import columnar
from app.io.forms import FileForm
from app.use_cases.export_candles import CandleExport

_AT_ONCE = 4_000
"""Rows encoded in one go: for so long nothing else runs in this process."""


class CandleWriter(Protocol):
    """Turns pages of one series into the bytes of one file, piece by piece; a piece may be empty."""

    def write(self, page: CandlePage, /) -> bytes: ...
    def close(self) -> bytes:
        """Return what the file ends with, or all of one without candles."""


def open_writer(form: FileForm, export: CandleExport, zone: tzinfo) -> CandleWriter:
    """Begin a file; times are written in the zone. MissingArrowError where the form needs what is not installed."""
    match form:
        case FileForm.CSV:
            header = encoding.csv(CandlePage.from_rows(export.series, ()), zone)
            return _Lines(lambda page: encoding.csv(page, zone).removeprefix(header), header)
        case FileForm.NDJSON:
            return _Lines(lambda page: encoding.objects(page, zone)[1:-1].replace(b"},{", b"}\n{") + b"\n")
        case FileForm.ARROW:
            return columnar.ArrowWriter(_described(export, zone))
        case FileForm.PARQUET:
            return columnar.ParquetWriter(_described(export, zone))


async def write_out(export: CandleExport, writer: CandleWriter, sink: Callable[[bytes], Awaitable[None]]) -> int:
    """Read, encode and hand out at once, a few pages ahead at most; return how many candles there were.

    Raises what reading, encoding or the sink raised; then what was handed out is not whole.
    """
    rows = 0

    async def encode(page: CandlePage) -> None:
        nonlocal rows
        await sink(await asyncio.to_thread(writer.write, page))
        rows += len(page)

    failures = await pump([export.pages], encode, workers=1, depth=1, tolerate=(Exception,))
    for failure in failures.values():
        raise failure
    await sink(await asyncio.to_thread(writer.close))
    return rows


class _Lines:
    """A form of text: a line a candle, perhaps behind a header."""

    def __init__(self, encode: Callable[[CandlePage], bytes], header: bytes = b"") -> None:
        self._encode = encode
        self._header = header

    def write(self, page: CandlePage, /) -> bytes:
        parts = [self._encode(page[at : at + _AT_ONCE]) for at in range(0, len(page), _AT_ONCE)]
        return b"".join((self.close(), *parts))

    def close(self) -> bytes:
        header, self._header = self._header, b""
        return header


def _described(export: CandleExport, zone: tzinfo) -> columnar.Description:
    coverage = export.coverage
    words = {
        "security": str(export.series.security),
        "timeframe": export.series.timeframe,
        "from": str(coverage.period.time_from),
        "till": str(coverage.period.time_till),
        "complete": str(coverage.is_complete).lower(),
        "version": str(coverage.version),
    }
    return columnar.Description(str(zone), words)
