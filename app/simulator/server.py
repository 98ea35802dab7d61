"""The simulated exchange as a real HTTP server."""

from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import reduce
from gzip import compress
from typing import Self

from aiohttp import web

from app.core.date_time import Timestamp
from app.core.entities import Series
from app.core.pages import CandlePage
from app.core.spans import Period
from app.simulator.access import MARKER, Access
from app.simulator.answers import Exchange
from app.simulator.clock import SimulatedClock
from app.simulator.control import Control, LoggedRequest
from app.simulator.faults import Asked, Fault, Faults, Reply
from app.simulator.generated import GeneratedTape
from app.simulator.iss import render
from app.simulator.query import CandleQuery, Place, Query
from app.simulator.tape import Tape
from app.simulator.truth import read_truth
from app.simulator.wire import send

DELAY = timedelta(minutes=15)
_KEPT_REQUESTS = 100_000
_KEPT_BYTES = 256 << 20
_ZIPPED_FROM = 1024
_JSON = {"Content-Type": "application/json; charset=utf-8"}
_XML = {"Content-Type": "application/xml; charset=utf-8"}
_PAGE = {"Content-Type": "text/html; charset=utf-8"}
_NOT_FOUND = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n"
_NO_JSON = b'<?xml version="1.0" encoding="UTF-8"?>\n<document/>\n'


class Simulator:
    """An exchange with its clock, its faults and a log of the last 100,000 requests."""

    def __init__(
        self,
        tape: Tape | None = None,
        *,
        clock: SimulatedClock | None = None,
        delay: timedelta = DELAY,
        gzip: bool = False,
        access: Access | None = None,
    ) -> None:
        """Answer from a tape (a generated one by default), `delay` behind the clock.

        The clock starts where the tape says, by default in the present. `gzip` compresses bodies over a kilobyte for
        clients that accept it; load tests are quicker without. `access` lets some in without the delay.
        """
        self.tape = GeneratedTape() if tape is None else tape
        self.clock = clock or SimulatedClock(Timestamp.from_moscow(self.tape.start) if self.tape.start else None)
        self.delay = delay
        self.access = access or Access()
        self.faults = Faults()
        self.requests: deque[LoggedRequest] = deque(maxlen=_KEPT_REQUESTS)
        self._in_flight = 0
        self.url = ""
        self._exchange = Exchange(self.tape, self.faults)
        self._gzip = gzip
        self._settled = _Settled()

    @property
    def peak_in_flight(self) -> int:
        """The largest number of requests that were answered at one time, by the log; 0 since it was cleared."""
        return max((request.in_flight for request in self.requests), default=0)

    def truth(self, series: Series, period: Period, *, as_of: Timestamp | None = None) -> CandlePage:
        """Return what the exchange told of `[time_from, time_till)` at an instant (or tells now), revisions included.

        Candles whose bar had ended by then (`delay` before the instant) are final. LookupError: no such security.
        """
        return read_truth(self.tape, series, period, self._known(as_of or self.clock.now(), self.delay), self.faults)

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[Self]:
        """Answer on this port, or on a free one, as long as the context lasts; `url` then says where."""
        app = web.Application()
        app.router.add_routes(Control(self.clock, self.faults, self.requests).routes)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            self.url = f"http://{host}:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._in_flight += 1
        try:
            now = self.clock.now()
            reply = self._reply(request, now)
            self._log(request, reply, now)
            return await send(request, reply)
        finally:
            self._in_flight -= 1

    def _log(self, request: web.Request, reply: Reply, now: Timestamp) -> None:
        status = None if reply.is_reset else reply.status
        real = Timestamp(datetime.now(UTC))
        asked = (request.method, request.path, request.query_string)
        self.requests.append(LoggedRequest(*asked, status, now, real, self._in_flight))

    def _reply(self, request: web.Request, now: Timestamp) -> Reply:
        is_granted = self.access.is_granted(request.headers, now)
        known = self._known(now, timedelta() if is_granted else self.delay)
        query, place = Query(request.query.items()), Place.of(request.path)
        candles = CandleQuery.of(query, known) if place.is_candles else None
        asked = Asked(request.method, request.path, place, candles, request.query_string)
        faults = self.faults.striking(asked)
        zips = self._gzip and "gzip" in request.headers.get("Accept-Encoding", "")
        key = (request.raw_path, zips)
        reply = self._at_the_door(request, now)
        if reply is None:
            reply = None if faults else self._settled.get(key, known)
        if reply is None:
            reply, settled = self._answer(asked, query, known, faults, zips=zips)
            if settled:
                self._settled.keep(key, settled, reply)
        more = {MARKER: "granted" if is_granted else "denied", "Date": format_datetime(now.utc, usegmt=True)}
        reply = replace(reply, headers={**more, **reply.headers})
        return reduce(lambda changed, fault: fault.on_reply(changed), faults, reply)

    def _at_the_door(self, request: web.Request, now: Timestamp) -> Reply | None:
        """Answer who signs in, or is not let in at all."""
        if request.path == "/authenticate":
            return self.access.sign_in(request.headers, now)
        return self.access.refusal(request.headers)

    def _answer(
        self, asked: Asked, query: Query, known: datetime, faults: Sequence[Fault], *, zips: bool
    ) -> tuple[Reply, datetime | None]:
        answer = self._exchange.answer(asked, query, known, faults)
        if answer is None:
            return Reply(404, _PAGE, _NOT_FOUND), None
        if not asked.path.lower().endswith(".json"):
            return Reply(200, _XML, _NO_JSON), None
        body = render(answer.blocks, query.style).encode()
        if zips and len(body) > _ZIPPED_FROM:
            return Reply(200, {**_JSON, "Content-Encoding": "gzip"}, compress(body, 1)), answer.settled
        return Reply(200, _JSON, body), answer.settled

    @staticmethod
    def _known(moment: Timestamp, delay: timedelta) -> datetime:
        """Return the Moscow wall time up to which the exchange then tells what happened."""
        return (moment - delay).moscow.replace(tzinfo=None)


class _Settled:
    """The latest answers that can never change, up to 256 MB: load tests ask for the same pages again and again."""

    def __init__(self) -> None:
        self._replies: OrderedDict[tuple[str, bool], tuple[datetime, Reply]] = OrderedDict()
        self._size = 0

    def get(self, key: tuple[str, bool], known: datetime) -> Reply | None:
        """Return what was answered, unless the clock was set back since to where part of it is not known."""
        kept = self._replies.get(key)
        return kept[1] if kept and kept[0] <= known else None

    def keep(self, key: tuple[str, bool], settled: datetime, reply: Reply) -> None:
        if key not in self._replies:
            self._replies[key] = settled, reply
            self._size += len(reply.body)
        while self._size > _KEPT_BYTES:
            _, (_, oldest) = self._replies.popitem(last=False)
            self._size -= len(oldest.body)
