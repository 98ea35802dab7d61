"""The control endpoint, for people and for tests in another process: clock, request log, faults.

GET, PUT /control/clock             {"now": "2024-01-03T12:00:00+03:00", "speed": 60, "stopped": false}, any part of it
GET, DELETE /control/requests       the log, the last N with ?last=N
GET, POST, DELETE /control/faults   rules; a POST adds one fault or a list, DELETE /control/faults/ID removes one
"""

from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from aiohttp import web

from app.core.date_time import Timestamp
from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.fault_kinds import read_faults
from app.simulator.faults import Faults, Rule


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request as it came; `status` is None where the connection was reset instead of an answer.

    `in_flight` is how many requests were then being answered, this one among them.
    """

    method: str
    path: str
    query: str
    status: int | None
    simulated: Timestamp
    real: Timestamp
    in_flight: int


class ClockChange(msgspec.Struct, forbid_unknown_fields=True):
    """What to change of the clock; a moment without a zone is Moscow wall time."""

    now: str | None = None
    speed: Annotated[float, msgspec.Meta(ge=0)] | None = None
    stopped: bool | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """Handlers over the parts of one simulator."""

    clock: SimulatedClock
    faults: Faults
    requests: MutableSequence[LoggedRequest]

    @property
    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/control", self.explain),
            web.get("/control/clock", self.show_clock),
            web.put("/control/clock", self.change_clock),
            web.get("/control/requests", self.show_requests),
            web.delete("/control/requests", self.clear_requests),
            web.get("/control/faults", self.show_faults),
            web.post("/control/faults", self.add_faults),
            web.delete("/control/faults", self.clear_faults),
            web.delete("/control/faults/{id:[0-9]+}", self.remove_fault),
        ]

    async def explain(self, _: web.Request) -> web.Response:
        return web.Response(text=f"{__doc__}")

    async def show_clock(self, _: web.Request) -> web.Response:
        clock = self.clock
        return _json({"now": str(clock.now()), "speed": clock.speed, "stopped": clock.stopped})

    async def change_clock(self, request: web.Request) -> web.Response:
        try:
            change = msgspec.json.decode(await request.read(), type=ClockChange)
            moment = None if change.now is None else read_moment(change.now)
        except ValueError as error:
            return _refuse(error)
        self.clock.change(now=moment, speed=change.speed, stopped=change.stopped)
        return await self.show_clock(request)

    async def show_requests(self, request: web.Request) -> web.Response:
        last = request.query.get("last", "")
        requests = list(self.requests)[-int(last) if last.isdecimal() else 0 :]
        return _json({"count": len(self.requests), "requests": [_logged(each) for each in requests]})

    async def clear_requests(self, _: web.Request) -> web.Response:
        self.requests.clear()
        return _json({"count": 0, "requests": []})

    async def show_faults(self, _: web.Request) -> web.Response:
        return _json([_rule(rule) for rule in self.faults])

    async def add_faults(self, request: web.Request) -> web.Response:
        try:
            faults = read_faults(await request.read())
        except ValueError as error:
            return _refuse(error)
        return _json([_rule(self.faults.add(fault)) for fault in faults], status=201)

    async def clear_faults(self, request: web.Request) -> web.Response:
        self.faults.clear()
        return await self.show_faults(request)

    async def remove_fault(self, request: web.Request) -> web.Response:
        self.faults.remove(int(request.match_info["id"]))
        return await self.show_faults(request)


def _rule(rule: Rule) -> dict[str, object]:
    return {"id": rule.id, "seen": rule.seen, "struck": rule.struck, "fault": rule.fault}


def _logged(request: LoggedRequest) -> dict[str, object]:
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "status": request.status,
        "simulated": str(request.simulated),
        "real": str(request.real),
        "in_flight": request.in_flight,
    }


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


def _refuse(error: ValueError) -> web.Response:
    return _json({"error": str(error)}, status=400)
