"""Moves the clock of the exchange on when all is done that was due, and makes happen what the script says."""

import asyncio
from dataclasses import dataclass, field
from random import Random

import redis.asyncio

from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.simulator.control import LoggedRequest
from app.simulator.fault_kinds import Status
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.simulator.servers import Redis
from app.tasks.schedule import LEASE
from app.tests.tasks.waiting import eventually
from app.tests.week.crew import Crew
from app.tests.week.script import Script
from app.use_cases.find_due import find_due
from app.use_cases.looks import seen

_STREAMS = ("candles", "candles:urgent")
_PATIENCE = 120


@dataclass(slots=True)
class Driver:
    """One walk through a script.

    `steps`: those at which the service ran, in order; `requests`: what it asked, less what time it is.
    """

    service: Service
    simulator: Simulator
    redis: Redis
    crew: Crew
    script: Script
    random: Random
    steps: list[Timestamp] = field(default_factory=list)
    requests: list[LoggedRequest] = field(default_factory=list)

    async def walk(self) -> None:
        """Go through all steps, less those at which no process runs."""
        for step in self.script.steps:
            self._set_source(is_down=step in self.script.down)
            if step == self.script.away.time_from:
                await self._leave(step)
            elif step not in self.script.away:
                await self.go_to(step)
                self.steps.append(step)

    async def go_to(self, step: Timestamp) -> None:
        """Let it be that time and let happen what is to, and wait until nothing is left to be done."""
        self.simulator.clock.set(step)
        await self.crew.start()
        await self._suffer(step)
        await eventually(lambda: self._is_done(step), within=_PATIENCE)
        self._take_log()

    async def _leave(self, step: Timestamp) -> None:
        """Let no process survive the moment at which it is at work."""
        self.simulator.clock.set(step)
        await eventually(lambda: self._is_busy_or_done(step), within=_PATIENCE)
        self.crew.kill_all()
        self._take_log()

    async def _suffer(self, step: Timestamp) -> None:
        if step not in self.script.misfortunes:
            return
        await eventually(lambda: self._is_busy_or_done(step), within=_PATIENCE)
        if step in self.script.killed_workers:
            await self.crew.replace("worker", self.random)
        if step in self.script.killed_schedulers:
            await self.crew.replace("scheduler", self.random)
        if step in self.script.losses:
            await self._lose_redis(is_crash=self.script.losses.index(step) % 2 == 1)

    async def _lose_redis(self, *, is_crash: bool) -> None:
        """Empty it, or crash it: it keeps nothing."""
        if is_crash:
            await asyncio.to_thread(self.redis.kill)
            self.redis.start()
        else:
            async with redis.asyncio.Redis.from_url(self.redis.url) as client:
                await client.flushall()

    def _set_source(self, *, is_down: bool) -> None:
        """Let everything but the clock of the exchange fail, or nothing."""
        self.simulator.faults.clear()
        if is_down:
            self.simulator.faults.add(Status(match=Match(method="GET"), code=503, times=None))

    async def _is_busy_or_done(self, now: Timestamp) -> bool:
        return await self._waiting() > 0 or await self._has_looked(now)

    async def _is_done(self, now: Timestamp) -> bool:
        """Say whether the schedule looked at this moment, no task waits or runs, and nothing is due any more.

        While the exchange fails, what is due may wait.
        """
        if not await self._has_looked(now) or await self._waiting():
            return False
        return now in self.script.down or not await find_due(self.service.storage, self.service.rules, now)

    async def _has_looked(self, now: Timestamp) -> bool:
        return (await seen(self.service.storage)).get(LEASE) == now

    async def _waiting(self) -> int:
        async with redis.asyncio.Redis.from_url(self.redis.url) as client:
            return sum([await client.xlen(stream) for stream in _STREAMS])

    def _take_log(self) -> None:
        """Keep what was asked; the log of the simulator is bounded."""
        self.requests.extend(each for each in self.simulator.requests if each.method == "GET")
        self.simulator.requests.clear()
