"""The schedule: looks which series are due, and wakes workers up for them. Of many that run, one does it at a time.

Nothing is remembered here. What should be stored and what is stored is data; a tick that was missed, a message that was
lost and a scheduler that died cost time, because the next tick finds the same difference.
"""

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from taskiq import AsyncBroker, SendTaskError

from app.bootstrap import Service
from app.core.errors import CandleServiceError
from app.core.schedule import chosen
from app.tasks import chores
from app.tasks.backfill import kick_rest
from app.tasks.update import kick_series
from app.use_cases.find_due import find_due
from app.use_cases.list_unfinished import list_unfinished
from app.use_cases.looks import remember

LEASE = "schedule"
"""Its name in the store; under the same one is kept for which moment was looked last."""

_LEASE_TICKS = 3
_AHEAD_TICKS = 2
"""So many ticks' worth of requests are handed out at a time: what is too much is due at the next one as well."""
_NO_BUDGET = 100_000
_CALENDAR_SECONDS = 10
_log = structlog.stdlib.get_logger(__name__)


class Schedule:
    """A scheduler among others, for as long as its process lives."""

    def __init__(self, service: Service, broker: AsyncBroker) -> None:
        """Take the store and the exchange to look at, and whom to wake up."""
        self._service = service
        self._broker = broker
        self._holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._is_failing = False

    async def run(self) -> None:
        """Tick until cancelled; then another scheduler may lead at once."""
        try:
            await self._watched(self._read_calendar)
            while True:
                await self.tick()
                await asyncio.sleep(await self._until_the_next())
        finally:
            with suppress(CandleServiceError):  # then the lease runs out
                await self._lead(seconds=0)

    async def tick(self) -> None:
        """Look once, if it is our turn."""
        await self._watched(self._look_in_turn)

    async def _watched(self, do: Callable[[], Awaitable[None]]) -> None:
        """Do it; what fails is told when it begins to, and the next tick tries again."""
        try:
            await do()
        except SendTaskError:
            pass  # the broker tells it once
        except CandleServiceError as error:
            if not self._is_failing:
                _log.warning("the schedule waits, the next tick tries again", error=str(error))
            self._is_failing = True
        except Exception:  # noqa: BLE001  # an end that nobody notices were worse
            _log.exception("the schedule stumbled, the next tick tries again")
        else:
            self._is_failing = False

    async def _look_in_turn(self) -> None:
        if await self._lead(seconds=_LEASE_TICKS * self._service.settings.tick):
            await look(self._service, self._broker)

    async def _read_calendar(self) -> None:
        """Know the days before the first plan, if the exchange tells them soon; else they are a chore like others.

        Of schedulers that begin together one reads them.
        """
        with suppress(CandleServiceError, TimeoutError):
            async with asyncio.timeout(_CALENDAR_SECONDS):
                if await self._lead(seconds=_CALENDAR_SECONDS):
                    await chores.refresh_calendar(self._service)

    async def _until_the_next(self) -> float:
        """Return the seconds to the next tick: on the full ones of the clock, just after bars end; a tick at most."""
        tick = self._service.settings.tick
        try:
            now = await self._service.clock.now()
        except CandleServiceError:
            return tick
        return tick - now.microseconds / 1_000_000 % tick

    async def _lead(self, *, seconds: float) -> bool:
        return await self._service.storage.lead(LEASE, self._holder, seconds=seconds)


async def look(service: Service, broker: AsyncBroker) -> None:
    """Kick the chores that are due, a task for each series that is, and the rest of what people asked for.

    No more than the request budget has room for: what is too much is due at the next tick as well. Nobody is woken up
    while the exchange is left alone.
    """
    now = await service.clock.now()
    if (await service.source_status()).state not in {"open", "paused"}:
        unfinished = await list_unfinished(service.storage)
        found = await find_due(service.storage, service.rules, now)
        due = [one for one in found if not (one.is_missing and one.series in unfinished)]
        await chores.kick(service, broker, now, is_anything_due=bool(due))
        for one in (kicked := chosen(due, _requests(service))):
            await kick_series(broker, one.series, now)
        await kick_rest(broker, unfinished)
        if kicked:
            _log.info("updating what is due", series=len(kicked))
    await remember(service.storage, LEASE, now)


def _requests(service: Service) -> float:
    rate = service.settings.iss_rate
    return _NO_BUDGET if rate is None else max(1, rate * service.settings.tick * _AHEAD_TICKS)
