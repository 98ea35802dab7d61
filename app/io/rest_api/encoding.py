"""Candles into bytes: columns in, one pass of a C encoder, doubles that read back bit for bit."""

from datetime import UTC, date, datetime, tzinfo
from functools import cache

import msgspec

from app.core.pages import CandlePage

COLUMNS = ("begin", "open", "high", "low", "close", "volume", "value", "final")
"""The names of a candle's fields, in the order of every form."""

_EPOCH = date(1970, 1, 1).toordinal()
_DAY = 86_400
_CSV_HEADER = ",".join(COLUMNS).encode() + b"\r\n"
_encode = msgspec.json.Encoder().encode


class _Candle(msgspec.Struct, gc=False):
    begin: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    value: float
    final: bool


def objects(page: CandlePage, zone: tzinfo) -> bytes:
    """Write a JSON array of objects, in the order of the page."""
    return _encode(list(map(_Candle, _begins(page, zone), *page.prices, map(bool, page.finals))))


def rows(page: CandlePage, zone: tzinfo) -> bytes:
    """Write a JSON array of arrays, each in the order of `COLUMNS`."""
    return _encode(list(zip(_begins(page, zone), *page.prices, map(bool, page.finals), strict=True)))


def csv(page: CandlePage, zone: tzinfo) -> bytes:
    """Write RFC 4180 with a header. No text of ours needs quotes: the rows are their JSON without its marks."""
    if not page:
        return _CSV_HEADER
    lines = rows(page, zone)[2:-2].replace(b"],[", b"\r\n").replace(b'"', b"")
    return b"".join((_CSV_HEADER, lines, b"\r\n"))


def _begins(page: CandlePage, zone: tzinfo) -> list[str]:
    """Write RFC 3339; in UTC from the cached text of the day and of the second within it."""
    if zone is UTC:
        return [_day(begin // _DAY) + _clock(begin % _DAY) for begin in page.begins]
    return [datetime.fromtimestamp(begin, zone).isoformat() for begin in page.begins]


@cache
def _day(day: int) -> str:
    return date.fromordinal(_EPOCH + day).isoformat()


@cache
def _clock(seconds: int) -> str:
    return f"T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"
