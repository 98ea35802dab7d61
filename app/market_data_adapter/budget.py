"""Manners towards the exchange, for all processes together: so many requests at once, so many a second, and pauses."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.date_time import Timestamp
from app.core.errors import SourceBadAnswerError, SourceError, SourcePausedError, SourceUnavailableError
from app.core.market_data import SourceStatus
from app.core.tally import Tally
from app.market_data_adapter.breaker import Breaker, Breaking, Failure
from app.market_data_adapter.ledgers import Ledger, MemoryLedger, Reading, RedisLedger

_log = structlog.stdlib.get_logger(__name__)
_WITHOUT_REDIS = 2.0
_PROBE_POLL = 0.1
_REASON = 200


@dataclass(frozen=True, slots=True)
class _Entry:
    """A request that was let in."""

    ledger: Ledger
    at: float
    is_probe: bool


class Budget:
    """Lets requests through. With Redis all processes share it; while Redis is away each keeps to its share."""

    def __init__(
        self,
        concurrency: int = 4,
        rate: float | None = 5,
        *,
        breaking: Breaking = Breaking(),  # noqa: B008  # immutable
        redis: Redis | None = None,
        name: str = "exchange",
        processes: int = 4,
        tally: Tally | None = None,
    ) -> None:
        """Take how many at once and how many a second (None: no limit), and when to leave the exchange alone.

        `redis` is closed with the budget; `name` begins its keys. `processes` is how many share a budget that Redis
        does not keep. `tally`: where requests are counted.
        """
        self._breaking = breaking
        self._tally = tally or Tally()
        self._redis = redis
        self._extra = 2 * concurrency / rate if rate else 0.0
        self._shared = None if redis is None else RedisLedger(redis, name, concurrency, rate)
        share = 1 if redis is None else processes
        self._own = MemoryLedger(max(concurrency // share, 1), rate and rate / share)
        self._away_until = 0.0

    @asynccontextmanager
    async def permit(self, *, lasting: float, patience: float) -> AsyncIterator[None]:
        """Wait until one more request may begin, and learn from how it ends.

        `lasting`: seconds after which the request is over in any case; `patience`: how long to wait for a pause to
        end. SourcePausedError says when it makes sense to ask again.
        """
        async with AsyncExitStack() as stack:
            entry = await self._enter(stack, lasting, patience)
            try:
                yield
            except BaseException as error:
                self._tally.requests[_outcome(error)] += 1
                await self._learn(entry, error)
                raise
            self._tally.requests["ok"] += 1
            await self._learn(entry, None)

    async def status(self) -> SourceStatus:
        """Tell how we stand with the exchange, without asking it."""
        while True:
            ledger = self._ledger()
            try:
                return _status(await ledger.read(), ledger)
            except RedisError as error:
                self._lose_redis(error)

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def _enter(self, stack: AsyncExitStack, lasting: float, patience: float) -> _Entry:
        while True:
            ledger = self._ledger()
            try:
                answer = await self._try(ledger, stack, lasting)
            except RedisError as error:
                await stack.aclose()
                self._lose_redis(error)
                continue
            if isinstance(answer, _Entry):
                self._away_until = self._away_until if ledger is self._own else 0.0
                return answer
            wait = answer.breaker.wait(answer.now)
            if answer.breaker.is_resting(answer.now) or wait > patience:
                raise _paused(answer.breaker, wait)
            pause = min(wait, _PROBE_POLL) if answer.breaker.is_open else wait
            await asyncio.sleep(pause)
            patience -= pause

    async def _try(self, ledger: Ledger, stack: AsyncExitStack, lasting: float) -> _Entry | Reading:
        """Come in, or return why not. The breaker has the last word: it may have changed while we waited.

        Who came in holds a place until the stack is closed, also who then met a RedisError.
        """
        reading = await ledger.read()
        if reading.breaker.wait(reading.now) > 0:
            return reading
        await stack.enter_async_context(ledger.place(lasting + self._extra + 5))
        await ledger.turn()
        while True:
            now, breaker, _ = reading = await ledger.read()
            if breaker.wait(now) > 0:
                await stack.aclose()  # the place is for others meanwhile
                return reading
            entered = breaker.entered(now, lasting)
            if entered == breaker or await ledger.swap(reading, entered):
                return _Entry(ledger, now, breaker.is_open)

    async def _learn(self, entry: _Entry, error: BaseException | None) -> None:
        try:
            while True:
                reading = await entry.ledger.read()
                after = self._after(reading, entry, error)
                if after == reading.breaker or await entry.ledger.swap(reading, after):
                    break
        except RedisError as away:
            self._lose_redis(away)
            here = await self._own.read()
            await self._learn(replace(entry, ledger=self._own, at=here.now), error)
            return
        if after.openings > reading.breaker.openings:
            _log.warning("the exchange is left alone", seconds=round(after.until - reading.now), reason=after.reason)
        elif reading.breaker.is_open and not after.is_open:
            _log.info("the exchange answers again")

    def _after(self, reading: Reading, entry: _Entry, error: BaseException | None) -> Breaker:
        if error is None:
            return reading.breaker.after_success(is_probe=entry.is_probe)
        if not isinstance(error, SourceUnavailableError | SourceBadAnswerError):
            return reading.breaker.left(is_probe=entry.is_probe)
        return reading.breaker.after_failure(_failure(error, entry), reading.now, self._breaking)

    def _ledger(self) -> Ledger:
        """Return the shared one, unless Redis is away, or came back and may not know that we have to wait."""
        if self._shared is None or time.monotonic() < self._away_until or self._own.is_waiting:
            return self._own
        return self._shared

    def _lose_redis(self, error: RedisError) -> None:
        """Go on alone, with what was known last: a pause does not end because Redis does."""
        if not self._away_until:
            _log.warning("Redis is away: keeping to our share of the requests", error=str(error))
            if self._shared is not None:
                self._own.adopt(self._shared.last)
        self._away_until = time.monotonic() + _WITHOUT_REDIS


def _outcome(error: BaseException) -> str:
    """Name how a request ended that gave no answer."""
    match error:
        case SourceUnavailableError():
            return "pushed_back" if error.is_pushback else "unavailable"
        case SourceBadAnswerError():
            return "bad_answer"
        case SourceError():
            return "refused"
        case _:
            return "given_up"


def _failure(error: SourceError, entry: _Entry) -> Failure:
    what = _shortened(str(error))
    if isinstance(error, SourceUnavailableError):
        return Failure(what, entry.at, error.retry_after, error.is_pushback, entry.is_probe)
    return Failure(what, entry.at, is_pushback=True, is_probe=entry.is_probe)


def _shortened(text: str) -> str:
    """Leave out the middle of a long text: an address stands before what happened."""
    half = _REASON // 2
    return text if len(text) <= _REASON else f"{text[:half]}...{text[-half:]}"


def _paused(breaker: Breaker, wait: float) -> SourcePausedError:
    until = f"{_when(wait).moscow:%H:%M:%S} Moscow time, {wait:.0f} s from now"
    return SourcePausedError(f"the exchange is left alone until {until}, because it failed: {breaker.reason}", wait)


def _status(reading: Reading, ledger: Ledger) -> SourceStatus:
    now, breaker, _ = reading
    if not breaker.is_open and breaker.wait(now) <= 0:
        return SourceStatus(is_shared=ledger.is_shared)
    until = _when(breaker.until - now) if breaker.until > now else None
    state: Literal["paused", "open", "half_open"] = "paused"
    if breaker.is_open:
        state = "open" if until else "half_open"
    return SourceStatus(state, until, breaker.reason, is_shared=ledger.is_shared)


def _when(wait: float) -> Timestamp:
    """Return the moment, by this machine's clock and in whole seconds, that is so many seconds ahead."""
    return Timestamp(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=int(wait) + 1))
