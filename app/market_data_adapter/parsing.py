"""Answers of ISS -> pages of candles. Pure: bytes in, checked values out."""

import json
import re
import struct
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import inf
from operator import le
from typing import Annotated, Any

import msgspec

from app.core.date_time import Timestamp
from app.core.entities import SOURCED, Series, Timeframe
from app.core.errors import SourceBadAnswerError, SourceSchemaError
from app.core.pages import CandlePage
from app.core.spans import Period
from app.market_data_adapter.walls import WALL_LENGTH, unix_column, unix_of

CANDLE_COLUMNS = ("begin", "open", "high", "low", "close", "volume", "value")
_ERROR = re.compile(rb'"error"\s*:\s*"([^"]+)"')
_Wall = Annotated[str, msgspec.Meta(min_length=WALL_LENGTH, max_length=WALL_LENGTH)]
Values = tuple[str, float, float, float, float, float, float]
"""A row as it comes, in the order of CANDLE_COLUMNS."""
Row = tuple[int, float, float, float, float, float, float]
"""The same with its beginning in unix seconds."""


class _Block(msgspec.Struct):
    columns: list[str]
    data: msgspec.Raw


class _CandleBlock(msgspec.Struct):
    columns: list[str]
    data: list[tuple[_Wall, float, float, float, float, float, float]]


class _CandleAnswer(msgspec.Struct):
    candles: _CandleBlock


_candle_answer = msgspec.json.Decoder(_CandleAnswer)
_envelope: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_block = msgspec.json.Decoder(_Block)
_typed_rows = msgspec.json.Decoder(list[Values])


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that failed a check: the beginning of its slot, the row as it came, and why."""

    begin: int
    raw: str
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """The rows of one answer: ascending, equal repeats folded.

    `raw_count` is how many rows came, `conflicts` how many beginnings came with different values: the later row won.
    """

    candles: CandlePage
    rejected: Sequence[Rejected]
    raw_count: int
    conflicts: int

    def inside(self, period: Period) -> "ParsedPage":
        """Return the page without the rows that begin outside the period; they still count."""
        candles = self.candles.between(period.time_from, period.time_till)
        if candles is self.candles and not self.rejected:
            return self
        rejected = [row for row in self.rejected if Timestamp.from_unix(row.begin) in period]
        return ParsedPage(candles, rejected, self.raw_count, self.conflicts)


def parse_candles(body: bytes, series: Series) -> ParsedPage:
    """Read a `candles` answer.

    A row whose numbers fail the checks is rejected by itself. What spoils the whole answer: a row whose `begin` cannot
    be read, for nobody knows which slot it meant, and rows most of which begin where no bar of the timeframe does.
    Raises SourceBadAnswerError or SourceSchemaError.
    """
    return _parse_columns(body, series) or _parse_rows(body, series)


def parse_borders(body: bytes) -> Mapping[Timeframe, Period]:
    """Read a `borders` block: from the first candle to the end of the last one's slot, by timeframe."""
    by_interval = {timeframe.interval: timeframe for timeframe in SOURCED}
    borders = {}
    for row in read_table(body, "borders", ("begin", "end", "interval")):
        if (timeframe := by_interval.get(row["interval"])) and row["begin"] and row["end"]:
            first, last = (Timestamp.from_unix(unix_of(str(row[name]))) for name in ("begin", "end"))
            borders[timeframe] = Period(timeframe.floor(first), timeframe.after(timeframe.floor(last)))
    return borders


def _parse_columns(body: bytes, series: Series) -> ParsedPage | None:
    """Read an answer in which nothing is odd, column by column; None sends it to those who look at each row."""
    try:
        block = _candle_answer.decode(body).candles
    except msgspec.MsgspecError:
        return None
    if tuple(block.columns) != CANDLE_COLUMNS or not block.data:
        return None
    walls, *prices = zip(*block.data, strict=True)
    begins = unix_column(walls)
    if begins is None or not _are_bars(begins, series.timeframe):
        return None
    pack = struct.Struct(f"{len(begins)}d").pack  # quicker than an array takes numbers
    packed = [pack(*column) for column in prices]
    if not (_are_sane_if_positive(*packed) or _are_sane(*prices)):
        return None
    columns = [array("d", column) for column in packed]
    return ParsedPage(CandlePage.from_columns(series, begins, columns, bytes(len(begins))), (), len(begins), 0)


def _are_bars(begins: Iterable[int], timeframe: Timeframe) -> bool:
    """Tell whether a bar begins at each of these whole minutes."""
    return timeframe is Timeframe.M1 or all(_slot(begin, timeframe) == begin for begin in begins)


def _are_sane_if_positive(*columns: bytes) -> bool:
    """Tell whether no row of these packed columns has a `_complaint` and no number of them, but values, is negative.

    A column is one long number, 64 bits a row, so all rows are compared at once. Doubles without a sign are in the
    order of their bits: a lane whose highest bit is set keeps it when one that is no larger is taken away. The decoder
    takes no number that is not finite.
    """
    opens, highs, lows, closes, volumes = (int.from_bytes(column, sys.byteorder) for column in columns[:5])
    signs = _signs(len(columns[0]))
    if (opens | highs | lows | closes | volumes) & signs:
        return False
    opened, closed, high = opens | signs, closes | signs, highs | signs
    return (opened - lows) & (closed - lows) & (high - opens) & (high - closes) & signs == signs


@lru_cache(maxsize=16)  # almost all pages are full
def _signs(length: int) -> int:
    """Return the bit of the sign in each of the doubles that fill so many bytes."""
    return int.from_bytes(struct.pack("d", -0.0) * (length // 8), sys.byteorder)


def _are_sane(*columns: Sequence[float]) -> bool:
    """Tell whether no row of these columns has a `_complaint`; the decoder takes no number that is not finite."""
    opens, highs, lows, closes, volumes, _ = columns
    are_ordered = all(all(map(le, lows, middle)) and all(map(le, middle, highs)) for middle in (opens, closes))
    return are_ordered and min(volumes) >= 0


def _parse_rows(body: bytes, series: Series) -> ParsedPage:
    """Read an answer row by row, to tell which of them is odd and why."""
    columns, data = _read_block(body, "candles")
    rows, rejected = _read_rows(columns, data, series.timeframe)
    strange = sum(_slot(row[0], series.timeframe) != row[0] for row in rows)
    if 2 * strange > len(rows):
        raise SourceBadAnswerError(f"{series}: {strange} of {len(rows)} rows are no {series.timeframe} bars")
    good = []
    for row in rows:
        if reason := _complaint(row, series.timeframe):
            rejected.append(Rejected(_slot(row[0], series.timeframe), repr(row), reason))
        else:
            good.append(row)
    kept, conflicts = _fold(good)
    return ParsedPage(
        CandlePage.from_rows(series, ((*row, 0) for row in kept)),
        rejected,
        len(good) + len(rejected),
        conflicts,
    )


def _read_block(body: bytes, name: str) -> tuple[list[str], msgspec.Raw]:
    try:
        blocks = _envelope.decode(_without_constants(body))
        raw = blocks.get(name)
        block = None if raw is None else _block.decode(raw)
    except (msgspec.MsgspecError, ValueError) as error:
        raise SourceBadAnswerError(f"the exchange answered no table {name!r}: {_glimpse(body)} ({error})") from error
    if block is None and _ERROR.search(body):
        raise SourceBadAnswerError(f"the exchange answered no table {name!r}: {_glimpse(body)}")
    if block is None:
        raise SourceSchemaError(f"the exchange answered {', '.join(blocks) or 'nothing'} in place of {name!r}")
    return block.columns, block.data


def _without_constants(body: bytes) -> bytes:
    """Quote NaN and Infinity, which are no JSON, so that they spoil only their row."""
    if b"NaN" not in body and b"Infinity" not in body:
        return body
    return json.dumps(json.loads(body, parse_constant=str)).encode()


def read_table(body: bytes, name: str, needed: Iterable[str]) -> list[dict[str, Any]]:
    """Read a block of an answer as rows by column; SourceSchemaError if one of the needed columns is not there."""
    columns, data = _read_block(body, name)
    _require(columns, needed, name)
    try:
        rows = msgspec.json.decode(data, type=list[list[str | int | float | None]])
        return [dict(zip(columns, row, strict=True)) for row in rows]
    except (msgspec.MsgspecError, ValueError) as error:
        raise SourceBadAnswerError(f"the table {name!r} of the exchange is no table: {error}") from error


def _require(columns: Sequence[str], needed: Iterable[str], name: str) -> None:
    if missing := [column for column in needed if column not in columns]:
        raise SourceSchemaError(f"the table {name!r} of the exchange has no column {', '.join(missing)} any more")


def _read_rows(columns: Sequence[str], data: msgspec.Raw, timeframe: Timeframe) -> tuple[list[Row], list[Rejected]]:
    """Decode by type; only when a row does not fit, look at each row by itself."""
    _require(columns, CANDLE_COLUMNS, "candles")
    try:
        if tuple(columns) == CANDLE_COLUMNS:
            values = _typed_rows.decode(data)
            return [(unix_of(row[0]), *row[1:]) for row in values], []
    except (msgspec.MsgspecError, ValueError):
        pass  # the careful way tells which row it was
    return _read_carefully([columns.index(name) for name in CANDLE_COLUMNS], data, timeframe)


def _read_carefully(order: Sequence[int], data: msgspec.Raw, timeframe: Timeframe) -> tuple[list[Row], list[Rejected]]:
    rows, rejected = [], []
    try:
        for raw in msgspec.json.decode(data, type=list[list[Any]]):
            begin = unix_of(raw[order[0]])
            numbers = [raw[index] for index in order[1:]]
            if all(type(number) in {int, float} for number in numbers):
                open_, high, low, close, volume, value = map(float, numbers)
                rows.append((begin, open_, high, low, close, volume, value))
            else:
                rejected.append(Rejected(_slot(begin, timeframe), json.dumps(raw), "a price or volume is no number"))
    except (msgspec.MsgspecError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise SourceBadAnswerError(f"a row of the exchange has no readable begin: {error}") from error
    return rows, rejected


def _complaint(row: Row, timeframe: Timeframe) -> str | None:
    begin, open_, high, low, close, volume, value = row
    if not (-inf < low <= open_ <= high < inf and low <= close <= high):
        return "prices are not finite or not low <= open, close <= high"
    if not (0 <= volume < inf and -inf < value < inf):
        return "volume is negative or not finite, or value is not finite"
    if _slot(begin, timeframe) != begin:
        return f"no {timeframe} bar begins there"
    return None


def _slot(begin: int, timeframe: Timeframe) -> int:
    if timeframe is Timeframe.M1:
        return begin - begin % 60
    return _slot_of_longer(begin, timeframe)


@lru_cache(maxsize=65_536)
def _slot_of_longer(begin: int, timeframe: Timeframe) -> int:
    return timeframe.floor(Timestamp.from_unix(begin)).unix


def _fold(rows: list[Row]) -> tuple[list[Row], int]:
    """Sort by beginning; of one beginning the row that came last stays. Count those that came with different values."""
    if all(before[0] < after[0] for before, after in pairwise(rows)):
        return rows, 0
    by_begin: dict[int, Row] = {}
    differing = set()
    for row in rows:
        if by_begin.setdefault(row[0], row) != row:
            differing.add(row[0])
            by_begin[row[0]] = row
    return [by_begin[begin] for begin in sorted(by_begin)], len(differing)


def _glimpse(body: bytes) -> str:
    """Quote the error that the exchange names itself, else how its answer begins."""
    named = _ERROR.search(body)
    return repr((named[1] if named else body[:60]).decode("utf-8", "replace"))
