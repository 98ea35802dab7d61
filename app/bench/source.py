"""A quick exchange for benchmarks: `python -m app.bench.source`. The simulator's answers, out of memory.

The minutes of the last `--days` days are made once; SIM000 to SIM999 all have the same ones. A page of them is a piece
of bytes rendered before, so that the source costs next to nothing beside whoever asks it. Everything else is answered
as the simulator does. The clock stands still.
"""

import argparse
import asyncio
import re
import signal
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from email.utils import format_datetime
from itertools import accumulate
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import uvloop

from app.core.date_time import Timestamp
from app.core.entities import Timeframe
from app.simulator.answers import CANDLES, Exchange
from app.simulator.clock import read_moment
from app.simulator.faults import Asked, Faults
from app.simulator.generated import GeneratedTape
from app.simulator.iss import Block, Style, render
from app.simulator.listings import LOAD_TICKER, Listing
from app.simulator.query import CandleQuery, Place, Query
from app.simulator.server import DELAY
from app.simulator.tape import PAGE_ROWS, Chunk, Window, begin_of

NOW = read_moment("2024-01-20T12:00")
"""Where the clock stands: a Saturday without trades, so that every candle is final."""

_TICKER = re.compile(rb"/SIM[0-9]{3}/")  # behind it candles or borders; a card has none
_PLACE = Place("stock", "shares", "tqbr", tail="candles")

Parts = Sequence[bytes | memoryview]
"""An answer as it is written: the head first."""


def begin_of_days(days: int) -> Timestamp:
    """Return where the minutes of the last so many days begin."""
    return Timestamp.midnight(NOW.moscow.date() - timedelta(days=days))


class _OneTape(GeneratedTape):
    """The generated market, in which all tickers for load tests have the same candles."""

    def chunks(
        self, listing: Listing, timeframe: Timeframe, window: Window, known: datetime, *, reverse: bool = False
    ) -> Iterator[Chunk]:
        same = self.find("SIM000")[0] if LOAD_TICKER.fullmatch(listing.ticker) else listing
        return super().chunks(same, timeframe, window, known, reverse=reverse)


@dataclass(frozen=True, slots=True)
class _Rendered:
    """All rows in one style: `data[starts[n]:starts[n + 1] - 2]` is row n, and a page what lies between its ends."""

    before: bytes
    data: memoryview
    starts: "array[int]"
    after: bytes
    empty: bytes

    @classmethod
    def of(cls, rows: Sequence[str], style: Style) -> "_Rendered":
        block = Block("candles", CANDLES, rows)
        lines = render([block], style).encode().split(b"\n")  # one row a line; three lines follow the last one
        first = len(lines) - 3 - len(rows)
        texts = [line.removesuffix(b",") for line in lines[first:-3]]
        return cls(
            b"".join(line + b"\n" for line in lines[:first]),
            memoryview(b",\n".join(texts)),
            array("q", accumulate((len(text) + 2 for text in texts), initial=0)),
            b"\n" + b"\n".join(lines[-3:]),
            render([replace(block, rows=())], style).encode(),
        )

    def page(self, begin: int, end: int) -> Parts:
        if begin >= end:
            return [self.empty]
        return [self.before, self.data[self.starts[begin] : self.starts[end] - 2], self.after]


class Source:
    """What is answered to which target. It never changes, so what was asked once is looked up."""

    def __init__(self, begin: date) -> None:
        """Make the minutes from this day on."""
        self._known = (NOW - DELAY).moscow.replace(tzinfo=None)
        tape = _OneTape()
        self._exchange = Exchange(tape, Faults())
        self._begin = f"{begin} 00:00:00"
        chunks = tape.chunks(tape.find("SIM000")[0], Timeframe.M1, Window(self._begin), self._known)
        self.rows = [row for chunk in chunks for row in chunk.rows()]
        self._rendered: dict[object, _Rendered] = {}
        self._answers: dict[bytes, Parts] = {}
        self._date = format_datetime(NOW.utc, usegmt=True)

    def answer(self, target: bytes) -> Parts:
        """Answer a path with its query."""
        same = _TICKER.sub(b"/SIM000/", target, 1)
        found = self._answers.get(same)
        if found is None:
            found = self._answers[same] = self._answer(same.decode())
        return found

    def _answer(self, target: str) -> Parts:
        url = urlsplit(target)
        query, place = Query(parse_qsl(url.query, keep_blank_values=True)), Place.of(url.path)
        wish = CandleQuery.of(query, self._known) if place.is_candles else None
        if wish and (rows := self._page(place, wish, query.style)) is not None:
            return self._framed("200 OK", rows)
        answer = self._exchange.answer(Asked("GET", url.path, place, wish, url.query), query, self._known)
        if answer is None:
            return self._framed("404 Not Found", [b""])
        return self._framed("200 OK", [render(answer.blocks, query.style).encode()])

    def _page(self, place: Place, wish: CandleQuery, style: Style) -> Parts | None:
        """Return a page of the minutes that were made; None where the simulator has to look."""
        window = wish.window
        is_ours = replace(place, security="") == _PLACE and LOAD_TICKER.fullmatch(place.security.upper())
        if not is_ours or wish.timeframe is not Timeframe.M1 or wish.reverse or window is None:
            return None
        if window.low < self._begin or "candles" not in (style.only or {"candles"}) or not style.data:
            return None
        begin = bisect_left(self.rows, window.low, key=begin_of) + wish.start
        end = bisect_right(self.rows, window.high, key=begin_of)
        return self._in_style(style).page(begin, min(begin + PAGE_ROWS, end))

    def _in_style(self, style: Style) -> _Rendered:
        key = (style.meta, style.extended, tuple(style.columns.get("candles", ())))
        if key not in self._rendered:
            self._rendered[key] = _Rendered.of(self.rows, replace(style, only=frozenset()))
        return self._rendered[key]

    def _framed(self, status: str, parts: Parts) -> Parts:
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\nDate: {self._date}\r\n"
            f"Content-Length: {sum(map(len, parts))}\r\n\r\n"
        )
        return [head.encode(), *parts]


class Connection(asyncio.Protocol):
    """One client: its requests are answered one after another, each after the latency."""

    def __init__(self, source: Source, latency: float) -> None:
        """Take what is answered, and after how many seconds."""
        self._source = source
        self._latency = latency
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # that of uvloop is none by its class

    def data_received(self, data: bytes) -> None:
        """Answer each request whose head is whole; none has a body."""
        *requests, self._received = (self._received + data).split(b"\r\n\r\n")
        for request in requests:
            method, target, _ = request.split(b" ", 2)
            answer = self._source.answer(target)
            parts = answer[:1] if method == b"HEAD" else answer
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._write, parts)
            else:
                self._transport.writelines(parts)

    def _write(self, parts: Parts) -> None:
        if not self._transport.is_closing():
            self._transport.writelines(parts)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m app.bench.source", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that every answer takes")
    uvloop.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    source = Source(begin_of_days(options.days).moscow.date())
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    server = await loop.create_server(lambda: Connection(source, options.latency), "127.0.0.1", options.port)
    port = server.sockets[0].getsockname()[1]
    print(f"ISS at http://127.0.0.1:{port}/iss, {len(source.rows):,} minutes of each ticker", flush=True)
    await ended.wait()


if __name__ == "__main__":
    main()
