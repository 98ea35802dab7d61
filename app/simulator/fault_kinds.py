"""The kinds of faults. Moments are texts of Moscow wall time, as in an answer: `2024-01-03 10:00:00`."""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

import msgspec

from app.simulator.faults import Asked, Fault, Reply
from app.simulator.halts import Halt
from app.simulator.iss import Block, Column, Value, render_error, row_text, row_values
from app.simulator.query import CandleQuery
from app.simulator.tape import begin_of

_HTML = "<!DOCTYPE html>\n<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>\n"
_NAMES = ("open", "close", "high", "low", "value", "volume", "begin", "end")
_PRICES = ("open", "close", "high", "low")
_DAY = timedelta(days=1)


class Status(Fault, frozen=True, tag="status"):
    """Answer another status, with an HTML page; `location` makes a redirect."""

    code: int = 503
    retry_after: str | None = None
    location: str | None = None

    def on_reply(self, reply: Reply) -> Reply:
        more = {"Retry-After": self.retry_after, "Location": self.location, "Content-Type": "text/html; charset=utf-8"}
        headers = {**reply.headers, **{name: value for name, value in more.items() if value is not None}}
        return replace(reply, status=self.code, headers=headers, body=_HTML.format(f"Error {self.code}").encode())


class Html(Fault, frozen=True, tag="html"):
    """Answer a page for people with status 200; its content type may pretend to be JSON."""

    content_type: str = "text/html; charset=utf-8"

    def on_reply(self, reply: Reply) -> Reply:
        headers = {**reply.headers, "Content-Type": self.content_type}
        headers.pop("Content-Encoding", None)
        return replace(reply, headers=headers, body=_HTML.format("Технические работы").encode())


class Error(Fault, frozen=True, tag="error"):
    """Answer the error that ISS sends with status 200, in place of a block."""

    block: str = "candles"
    message: str = "Error while acquiring data."

    def on_reply(self, reply: Reply) -> Reply:
        return replace(reply, body=render_error(self.block, self.message).encode())


class Cut(Fault, frozen=True, tag="cut"):
    """Promise the whole body, send so many bytes of it, close the connection."""

    at: int = 100

    def on_reply(self, reply: Reply) -> Reply:
        return replace(reply, cut_at=self.at)


class Slow(Fault, frozen=True, tag="slow"):
    """Wait so many real seconds before the answer, and trickle the body if `bytes_per_second` is given."""

    seconds: float = 0.0
    bytes_per_second: float | None = None

    def on_reply(self, reply: Reply) -> Reply:
        return replace(reply, pause=reply.pause + self.seconds, bytes_per_second=self.bytes_per_second)


class Reset(Fault, frozen=True, tag="reset"):
    """Reset the connection instead of answering."""

    def on_reply(self, reply: Reply) -> Reply:
        return replace(reply, is_reset=True)


class Bomb(Fault, frozen=True, tag="bomb"):
    """Send a small body that unpacks to so many megabytes of blanks."""

    megabytes: int = 64

    def on_reply(self, reply: Reply) -> Reply:
        body = gzip.compress(bytes(1 << 20).replace(b"\0", b" ") * self.megabytes, 1)
        return replace(reply, headers={**reply.headers, "Content-Encoding": "gzip"}, body=body)


class WrongDate(Fault, frozen=True, tag="date"):
    """Move the `Date` header by so many seconds, or replace it by a text; add an `Age` if given."""

    seconds: float = 0.0
    text: str | None = None
    age: int | None = None

    def on_reply(self, reply: Reply) -> Reply:
        moved = parsedate_to_datetime(reply.headers["Date"]) + timedelta(seconds=self.seconds)
        headers = {**reply.headers, "Date": format_datetime(moved, usegmt=True) if self.text is None else self.text}
        return replace(reply, headers=headers if self.age is None else {**headers, "Age": str(self.age)})


class CandleFault(Fault, frozen=True):
    """Concerns requests for candles alone."""

    def concerns(self, asked: Asked) -> bool:
        return asked.candles is not None and super().concerns(asked)


class Stale(CandleFault, frozen=True, tag="stale"):
    """Answer what was known so many seconds ago, as an old cache does."""

    seconds: float = 3600.0

    def on_wish(self, wish: CandleQuery) -> CandleQuery:
        return replace(wish, known=wish.known - timedelta(seconds=self.seconds))


class Late(CandleFault, frozen=True, tag="late"):
    """Leave out the bars that ended in the last so many seconds of what is known, and the forming one."""

    seconds: float = 3600.0

    def on_rows(self, rows: list[str], wish: CandleQuery) -> list[str]:
        limit = f"{wish.known - timedelta(seconds=self.seconds):%Y-%m-%d %H:%M:%S}"
        return [row for row in rows if begin_of(row) < limit and end_of(row) < limit]


class Empty(CandleFault, frozen=True, tag="empty"):
    """Answer no rows."""

    def on_rows(self, rows: list[str], wish: CandleQuery) -> list[str]:
        del rows, wish
        return []


class Shift(CandleFault, frozen=True, tag="shift"):
    """Shift pages that start above row zero, as if so many rows were inserted before them, or removed (below zero)."""

    rows: int = 1

    def concerns(self, asked: Asked) -> bool:
        return asked.candles is not None and asked.candles.start > 0 and super().concerns(asked)

    def on_wish(self, wish: CandleQuery) -> CandleQuery:
        return replace(wish, start=max(wish.start - self.rows, 0))


class IgnoreStart(CandleFault, frozen=True, tag="ignore_start"):
    """Answer the first page again and again."""

    def on_wish(self, wish: CandleQuery) -> CandleQuery:
        return replace(wish, start=0)


class IgnoreFrom(CandleFault, frozen=True, tag="ignore_from"):
    """Begin with the first candle there is, wherever one was asked to begin."""

    def on_wish(self, wish: CandleQuery) -> CandleQuery:
        window = wish.window
        return replace(wish, window=window and replace(window, low="1997-01-01 00:00:00"))


class Duplicate(CandleFault, frozen=True, tag="duplicate"):
    """Repeat the last so many rows of the page; with `changes`, the repetition differs in these columns."""

    rows: int = 1
    changes: Mapping[str, Value] = {}

    def on_rows(self, rows: list[str], wish: CandleQuery) -> list[str]:
        del wish
        return rows + [edit(row, self.changes) for row in rows[-self.rows :]]


class Shuffle(CandleFault, frozen=True, tag="shuffle"):
    """Exchange the first row of the page with the last."""

    def on_rows(self, rows: list[str], wish: CandleQuery) -> list[str]:
        del wish
        return [rows[-1], *rows[1:-1], rows[0]] if len(rows) > 1 else rows


class Beyond(CandleFault, frozen=True, tag="beyond"):
    """Add a row that begins so many days after the last one."""

    days: int = 1

    def on_rows(self, rows: list[str], wish: CandleQuery) -> list[str]:
        del wish
        return rows + [self._moved(row) for row in rows[-1:]]

    def _moved(self, row: str) -> str:
        moments = {"begin": begin_of(row), "end": end_of(row)}
        later = {name: datetime.fromisoformat(text) + self.days * _DAY for name, text in moments.items()}
        return edit(row, {name: moment.isoformat(sep=" ") for name, moment in later.items()})


class BadRow(CandleFault, frozen=True, kw_only=True, tag="bad_row"):
    """Replace values of the row with this beginning, or of the first one.

    `bare` writes the texts NaN, Infinity and -Infinity without quotes, which is no JSON.
    """

    values: Mapping[str, Value]
    begin: str | None = None
    bare: bool = False

    def concerns(self, asked: Asked) -> bool:
        return super().concerns(asked) and _is_asked(asked, self.begin)

    def on_rows(self, rows: list[str], wish: CandleQuery) -> list[str]:
        del wish
        begin = self.begin or "".join(begin_of(row) for row in rows[:1])
        values = {name: self._value(value) for name, value in self.values.items()}
        return [edit(row, values) if begin_of(row) == begin else row for row in rows]

    def _value(self, value: Value) -> Value:
        return float(value) if self.bare and isinstance(value, str) else value


class Columns(CandleFault, frozen=True, tag="columns"):
    """Drop, add (each with a value for all rows), rename and reorder columns, in this order."""

    drop: Sequence[str] = ()
    add: Mapping[str, Value] = {}
    rename: Mapping[str, str] = {}
    order: Sequence[str] = ()

    def on_block(self, block: Block) -> Block:
        names = [column.name for column in block.columns if column.name not in self.drop]
        block = block.select(names)
        rows = [row_text([*row_values(row), *self.add.values()]) for row in block.rows]
        columns = [*block.columns, *(Column(name, "string") for name in self.add)]
        columns = [replace(column, name=self.rename.get(column.name, column.name)) for column in columns]
        changed = replace(block, columns=columns, rows=rows)
        return changed.select(self.order) if self.order else changed


class Revision(CandleFault, frozen=True):
    """A change of the tape itself: what the exchange holds from now on, and the truth that tests ask for.

    Bar by bar, after pages are cut: longer bars and the borders do not follow, as they do after a `Halt`.
    """

    times: int | None = None


class Revise(Revision, frozen=True, kw_only=True, tag="revise"):
    """Give the bar with this beginning other values."""

    begin: str
    values: Mapping[str, Value]

    def on_rows(self, rows: list[str], wish: CandleQuery) -> list[str]:
        del wish
        return [edit(row, self.values) if begin_of(row) == self.begin else row for row in rows]


class Withdraw(Revision, frozen=True, kw_only=True, tag="withdraw"):
    """Take the bar with this beginning away."""

    begin: str

    def on_rows(self, rows: list[str], wish: CandleQuery) -> list[str]:
        del wish
        return [row for row in rows if begin_of(row) != self.begin]


class Split(Revision, frozen=True, kw_only=True, tag="split"):
    """Multiply the prices, not volumes and values, of all bars that begin before a date; list it among the splits."""

    date: str
    factor: float

    @property
    def row(self) -> tuple[str, str, int, int]:
        """The split as ISS lists it: trade date, ticker, shares before, shares after."""
        before, after = (round(self.factor), 1) if self.factor > 1 else (1, round(1 / self.factor))
        return self.date, self.match.ticker or "", before, after

    def on_rows(self, rows: list[str], wish: CandleQuery) -> list[str]:
        del wish
        return [self._adjusted(row) if begin_of(row) < self.date else row for row in rows]

    def _adjusted(self, row: str) -> str:
        cells = dict(zip(_NAMES, row_values(row), strict=True))
        return edit(row, {name: float(cells[name] or 0) * self.factor for name in _PRICES})


AnyFault = (
    Status | Html | Error | Cut | Slow | Reset | Bomb | WrongDate | Stale | Late | Empty | Shift | IgnoreStart
    | IgnoreFrom | Duplicate | Shuffle | Beyond | BadRow | Columns | Revise | Withdraw | Split | Halt
)  # fmt: skip


def end_of(row: str) -> str:
    """Return the text of a row's end."""
    return row[-20:-1]


def edit(row: str, values: Mapping[str, Value]) -> str:
    """Return the row with other values in these columns."""
    cells = dict(zip(_NAMES, row_values(row), strict=True))
    return row_text({name: values.get(name, value) for name, value in cells.items()}.values())


def read_faults(text: bytes) -> list[Fault]:
    """Read one fault or a list of them from JSON; msgspec.ValidationError says what is wrong."""
    read: list[AnyFault] | AnyFault = msgspec.json.decode(text, type=list[AnyFault] | AnyFault)
    return list(read) if isinstance(read, list) else [read]


def _is_asked(asked: Asked, begin: str | None) -> bool:
    window = asked.candles.window if asked.candles else None
    return begin is None or window is None or window.low <= begin <= window.high
