"""Candles into bytes: columns in, one pass of a C encoder, doubles that read back bit for bit."""

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from itertools import repeat
from typing import Literal

import msgspec

from app.core.pages import CandlePage

COLUMNS = ("begin", "open", "high", "low", "close", "volume", "value", "final")
"""The names of a candle's fields, in the order of every form."""

_EPOCH = date(1970, 1, 1).toordinal()
_DAY = 86_400
_FINAL = True
_CSV_HEADER = ",".join(COLUMNS).encode() + b"\r\n"
_encode = msgspec.json.Encoder().encode


class _Object(msgspec.Struct, gc=False):
    begin: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    value: float
    final: bool


class _Row(_Object, array_like=True, gc=False):
    """The same as an array."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How candles follow each other: `head`, the candles with `separator` between them, `tail`; or `empty` alone."""

    head: bytes
    separator: bytes
    tail: bytes
    empty: bytes
    _write: Callable[[CandlePage, tzinfo], bytes]
    _border: re.Pattern[bytes]

    def __call__(self, page: CandlePage, zone: tzinfo) -> bytes:
        """Write a page as a whole, in its order."""
        return b"".join(self.whole([self.candles(page, zone)] if page else []))

    def candles(self, page: CandlePage, zone: tzinfo) -> bytes:
        """Write candles in the order of the page, with separators between them and nothing around."""
        return self._write(page, zone) if page else b""

    def starts(self, candles: bytes) -> "array[int]":
        """Return where each of these candles begins."""
        borders = self._border.finditer(candles)
        return array("I", [0, *(border.end() for border in borders)] if candles else ())

    def whole(self, parts: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
        """Return the pieces, to be joined, of candles that were written in parts, none of which is empty."""
        if not parts:
            return [self.empty]
        pieces: list[bytes | memoryview] = [self.separator] * (2 * len(parts) + 1)
        pieces[0], pieces[1::2], pieces[-1] = self.head, parts, self.tail
        return pieces


def _encoded(struct: type[_Object], page: CandlePage, zone: tzinfo) -> bytes:
    finals = repeat(_FINAL) if page.finals.count(_FINAL) == len(page) else map(bool, page.finals)
    return _encode(list(map(struct, _begins(page.begins, zone), *page.prices, finals)))[1:-1]


def _objects(page: CandlePage, zone: tzinfo) -> bytes:
    return _encoded(_Object, page, zone)


def _rows(page: CandlePage, zone: tzinfo) -> bytes:
    return _encoded(_Row, page, zone)


def _lines(page: CandlePage, zone: tzinfo) -> bytes:
    """Write RFC 4180. No text of ours needs quotes: the lines are their JSON without its marks."""
    return _rows(page, zone)[1:-1].replace(b"],[", b"\r\n").replace(b'"', b"")


objects = Layout(b"[", b",", b"]", b"[]", _objects, re.compile(rb"\},(?=\{)"))
rows = Layout(b"[", b",", b"]", b"[]", _rows, re.compile(rb"\],(?=\[)"))
csv = Layout(_CSV_HEADER, b"\r\n", b"\r\n", _CSV_HEADER, _lines, re.compile(rb"\r\n"))


def _begins(begins: "array[int]", zone: tzinfo) -> list[str]:
    """Write RFC 3339: the text of a day is made once, that of a time within it comes from a table."""
    if len(begins) > 1 and begins[0] > begins[-1]:
        return _begins(begins[::-1], zone)[::-1]
    texts: list[str] = []
    start = 0
    while start < len(begins):
        day = begins[start] // _DAY
        end = bisect_left(begins, (day + 1) * _DAY, start)
        texts += _within_day(begins[start:end], day, zone)
        start = end
    return texts


def _within_day(begins: "array[int]", day: int, zone: tzinfo) -> Sequence[str]:
    """Write instants of one day of UTC: two dates of the zone at most, unless its clocks are changed."""
    offset = _offset(zone, day)
    if offset is None:
        return [datetime.fromtimestamp(begin, zone).isoformat() for begin in begins]
    midnight = (day + (offset > 0)) * _DAY - offset
    edge = bisect_left(begins, midnight)
    clock = _clock("Z" if zone is UTC else offset)
    yesterday, today = _date((midnight + offset) // _DAY - 1), _date((midnight + offset) // _DAY)
    before = [yesterday + clock[begin - midnight + _DAY] for begin in begins[:edge]]
    return before + [today + clock[begin - midnight] for begin in begins[edge:]]


@lru_cache(4096)
def _offset(zone: tzinfo, day: int) -> int | None:
    """Return by how many seconds the zone is ahead of UTC all day long; None if that changes."""
    first, last = (datetime.fromtimestamp(moment, zone).utcoffset() for moment in (day * _DAY, (day + 1) * _DAY))
    return None if first is None or first != last else int(first.total_seconds())


@lru_cache(4096)
def _date(day: int) -> str:
    return date.fromordinal(_EPOCH + day).isoformat()


@lru_cache
def _clock(offset: Literal["Z"] | int) -> "_Clock":
    if offset == "Z":
        return _Clock(offset)
    return _Clock(datetime.fromtimestamp(0, timezone(timedelta(seconds=offset))).isoformat()[19:])


class _Clock(dict[int, str]):
    """The text of each second of a day, made when it is needed first."""

    def __init__(self, suffix: str) -> None:
        super().__init__()
        self._suffix = suffix

    def __missing__(self, seconds: int) -> str:
        text = f"T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{self._suffix}"
        self[seconds] = text
        return text
