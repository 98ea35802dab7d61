"""Where questions become wishes: what somebody reads and nobody stored is followed, loaded first, and waited for."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import date

import structlog
from taskiq import AsyncBroker, SendTaskError

from app.answers.kept import Kept
from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.entities import Security, Series
from app.core.errors import LimitError, LookupLimitError, NotFoundError, SeriesNotFoundError, SourceError, StorageError
from app.core.spans import Period
from app.core.updates import Update, UpdatePart
from app.io.rest_api.v1 import candle_call
from app.io.rest_api.v1.candle_call import Answer, Call
from app.io.rest_api.v1.candle_wish import CandleWish
from app.io.rest_api.v1.missing import missing_of
from app.tasks.backfill import kick_backfill, kick_resume
from app.use_cases.get_candles import get_candles
from app.use_cases.grow_series import find_under_way, grow_series
from app.use_cases.look_at_candles import Look, look_at_candles
from app.use_cases.look_up_series import FoundSeries, look_up_series
from app.use_cases.note_asked import EVERY, note_asked

_log = structlog.stdlib.get_logger(__name__)
_LOOKUPS = 2
"""At a time: the exchange is mostly asked for candles."""
_PATIENCE = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5
_KICK_AGAIN = 1.0
_END = Timestamp.midnight(date(9999, 1, 1))


class WishDesk:
    """Answers questions for candles; one for each process.

    The wish is in the store before anybody is kicked, so a lost kick only means that the next tick finds it. `broker`:
    of who loads; while there is none the schedule alone sees to it.
    """

    def __init__(self, service: Service, broker: AsyncBroker | None) -> None:
        """Take what answers, and who loads."""
        self.broker = broker
        self._service = service
        self._turns: dict[Security, _Turn] = {}
        self._room = asyncio.Semaphore(_LOOKUPS)
        self._noted: dict[Series, float] = {}
        self._notes: set[asyncio.Task[None]] = set()
        self._is_ending = asyncio.Event()

    async def answer(self, kept: Kept, call: Call) -> Answer:
        """Answer with candles. Raises what `candle_call.answer` does, and what `grow_series` does."""
        found = await self._stored(kept, call)
        missing = None if found is None or found.look is None else await self._missing(call.wish, found.look)
        if found is None:
            found = await self._asked_for(kept, call, None)
        elif missing is not None:
            with suppress(LimitError, NotFoundError, SourceError, StorageError):  # what is stored is given out
                found = await self._asked_for(kept, call, missing)
        self.note(call.wish.series)
        return found

    def note(self, series: Series) -> None:
        """Note in the background, at most once an hour, that somebody asked for a series that is stored."""
        base, now = Series(series.security, series.timeframe.base), time.monotonic()
        if now < self._noted.get(base, 0) or not self._service.settings.follow_on_query:
            return
        self._noted[base] = now + EVERY.total_seconds()
        task = asyncio.create_task(self._note(base))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def kick_update(self, update: Update) -> None:
        """Have all of an update loaded."""
        await self._kick(update)

    def end_waits(self) -> None:
        """Answer at once whoever waits for candles, with what there is: the process is about to end."""
        self._is_ending.set()

    async def close(self) -> None:
        """Let the notes under way come to their end."""
        if self._notes:
            await asyncio.wait(self._notes, timeout=_PATIENCE)

    async def _stored(self, kept: Kept, call: Call) -> Answer | None:
        try:
            return await candle_call.answer(self._service, kept, call)
        except SeriesNotFoundError:
            if not self._service.settings.follow_on_query:
                raise
            return None

    async def _missing(self, wish: CandleWish, look: Look) -> Period | None:
        """Return what of the candles on this page was not loaded; None if nothing is missing that could be."""
        period = look.coverage.period
        if missing_of(look, period) is None:
            return None
        page = await get_candles(
            self._service.storage,
            wish.series,
            time_from=period.time_from,
            time_till=period.time_till,
            limit=wish.limit,
            newest_first=wish.is_newest_first,
            part=wish.part,
        )
        return missing_of(look, wish.shown(period, page.page))

    async def _asked_for(self, kept: Kept, call: Call, missing: Period | None) -> Answer:
        """See that what is missing is loaded, of an unknown series all that is asked for; answer then, or in time."""
        series, now = _base(call.wish), await self._service.clock.now()
        asked = missing or self._whole(call.wish, now)
        period = replace(asked, time_till=min(asked.time_till, series.timeframe.ceil(now)))
        part = await self._part(series, period, now) if period else None
        if part is None:
            return await candle_call.answer(self._service, kept, call)
        self._noted[series] = time.monotonic() + EVERY.total_seconds()
        await self._kick(series)
        begin = call.wish.series.timeframe.floor(part.period.time_from)
        end = _END if part.period.time_till >= part.asked_at else part.period.time_till
        wish = replace(call.wish, under_way=Period(begin, end))
        await self._wait(wish, now)
        return _with_monitor(await candle_call.answer(self._service, kept, replace(call, wish=wish)), wish, part)

    async def _part(self, series: Series, period: Period, now: Timestamp) -> UpdatePart | None:
        """Record what is wished for; of many that want a security at once, one looks it up."""
        service = self._service
        if not service.settings.follow_on_query:
            return await find_under_way(service.storage, series, period, now=now)
        async with self._turn(series.security) as turn:
            if turn.error is not None:
                raise turn.error
            try:
                return await grow_series(
                    service.storage,
                    self._look_up,
                    series,
                    period,
                    now=now,
                    source=service.adapter.source,
                    limit=service.settings.follow_limit,
                )
            except SourceError as error:
                turn.error = error  # those that waited would not fare better
                raise

    @asynccontextmanager
    async def _turn(self, security: Security) -> AsyncIterator["_Turn"]:
        """Wait for who is at it already; what came of it is known as long as anybody waits."""
        turn = self._turns.setdefault(security, _Turn())
        turn.callers += 1
        try:
            async with turn.lock:
                yield turn
        finally:
            turn.callers -= 1
            if not turn.callers:
                del self._turns[security]

    async def _look_up(self, series: Series, now: Timestamp) -> FoundSeries:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._room.acquire()
        except TimeoutError as error:
            raise LookupLimitError("too many securities are being looked up at once: ask again later") from error
        try:
            return await look_up_series(self._service.storage, self._service.adapter, series, now)
        finally:
            self._room.release()

    async def _wait(self, wish: CandleWish, now: Timestamp) -> None:
        """Wait until the page is complete, or time is up."""
        began, pause = time.monotonic(), _FIRST_PAUSE
        kick_at = began + _KICK_AGAIN
        while (left := began + wish.wait - time.monotonic()) > 0 and not self._is_ending.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_ending.wait(), min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE)
            look = await look_at_candles(
                self._service.storage,
                wish.series,
                wish.time_from,
                wish.time_till or now,
                is_open=wish.time_till is None,
            )
            if await self._missing(wish, look) is None:
                return
            if time.monotonic() >= kick_at:  # an update of the series may have begun before somebody asked for more
                await self._kick(_base(wish))
                kick_at = time.monotonic() + _KICK_AGAIN

    def _whole(self, wish: CandleWish, now: Timestamp) -> Period:
        """Return what is asked for of a series of which nothing is known; without a beginning since the default."""
        timeframe = _base(wish).timeframe
        begin = wish.time_from or now - self._service.settings.default_since(timeframe)
        return Period(timeframe.floor(begin), timeframe.ceil(wish.time_till or now))

    async def _kick(self, wanted: Series | Update) -> None:
        if self.broker is None:
            return
        try:
            if isinstance(wanted, Series):
                await kick_backfill(self.broker, wanted, urgent=True)
            else:
                await kick_resume(self.broker, wanted.id)
        except SendTaskError:
            pass  # the broker tells it once; the next tick sees to it

    async def _note(self, series: Series) -> None:
        try:
            await note_asked(self._service.storage, self._service.clock, series)
        except (StorageError, SourceError):
            self._noted.pop(series, None)  # whoever asks next tries again


class _Turn:
    """Who looks a security up, and what came of it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.callers = 0
        self.error: SourceError | None = None


def _with_monitor(found: Answer, wish: CandleWish, part: UpdatePart) -> Answer:
    """Say where progress is told, as long as something of the period is under way."""
    gaps = [] if found.look is None else found.look.coverage.gaps
    if wish.under_way is None or not any(gap.period & wish.under_way for gap in gaps):
        return found
    links = [found.headers["Link"]] if "Link" in found.headers else []
    link = ", ".join([*links, f'</v1/updates/{part.update_id}>; rel="monitor"'])
    return replace(found, headers={**found.headers, "Link": link})


def _base(wish: CandleWish) -> Series:
    return Series(wish.series.security, wish.series.timeframe.base)
