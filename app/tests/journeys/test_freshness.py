"""How current the service says it is, while the exchange trades, sleeps, fails or asks for patience."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.entities import Timeframe
from app.core.errors import SourceError
from app.io.rest_api.main import create_app
from app.simulator.fault_kinds import Status
from app.simulator.server import Simulator
from app.tests.builders import SBER
from app.tests.io.rest_client import Client
from app.tests.journeys.conftest import NOON
from app.tests.journeys.living import AUDITED, follow_since, live_through
from app.tests.journeys.test_update import update

MINUTE = timedelta(minutes=1)
FEW_LOOKS = {"iss_attempts": 1, "iss_patience": 1, "tick": 10}
Open = Callable[..., Awaitable[Service]]


@dataclass(frozen=True)
class ClockOfSimulator:
    """Tells the exchange's time also while the exchange tells nothing."""

    simulator: Simulator

    async def now(self) -> Timestamp:
        return self.simulator.clock.now()


@pytest.fixture
async def service(open_service: Open, simulator: Simulator, database_url: str) -> Service:
    """A service that is followed since a day, up to now, and leaves the exchange alone after one failure."""
    opened = await open_service(database_url, **FEW_LOOKS, iss_break_after=1, iss_break_for=0.05)
    service = replace(opened, clock=ClockOfSimulator(simulator))
    await follow_since(service, SBER, NOON - timedelta(days=1), Timeframe.M1)
    await live_through(service, simulator, NOON)
    return service


async def told(service: Service, path: str = "/health/freshness") -> Mapping[str, Any]:
    """Ask a new process: nothing is kept from the last look."""
    answer = await Client(create_app(service=service)).get(path)
    assert answer.status == 200
    found: Mapping[str, Any] = answer.json
    return found


async def alarm_of(service: Service) -> str | None:
    """Return what an alarm says, None if it is silent."""
    answer = await Client(create_app(service=service)).get("/health/freshness", [("alarm", "true")])
    assert answer.status == (503 if "detail" in answer.json else 200)
    alarm: str | None = answer.json.get("detail")
    return alarm


def moscow(text: str) -> Timestamp:
    return Timestamp.from_moscow(datetime.fromisoformat(text))


async def test_a_series_falls_behind_when_updates_stop_while_the_exchange_trades(
    service: Service, simulator: Simulator
) -> None:
    at_first = await told(service)
    simulator.clock.set(NOON + 5 * MINUTE)
    later, alarm = await told(service), await alarm_of(service)
    of_security = (await told(service, "/v1/securities/TQBR/SBER"))["series"]
    listed = (await told(service, "/v1/securities"))["securities"][0]["series"]
    await update(service)

    assert (at_first["verdict"], at_first["worst"]) == ("fresh", [])
    assert (later["verdict"], later["counts"]["behind"]) == ("behind", 1)
    assert alarm == "behind: 1 of 1 series are not fresh; TQBR:SBER M1 owes 5 minutes of trading"
    [worst] = later["worst"]
    assert (worst["security"], worst["timeframe"], worst["lag_seconds"]) == ("TQBR:SBER", "M1", 5 * 60)
    assert worst["owed_since"] == str(NOON + MINUTE)
    assert worst["changed_at"] == str(NOON)
    assert [series["verdict"] for series in of_security] == ["behind"]
    assert listed == of_security
    assert (await told(service))["verdict"] == "fresh"
    assert await alarm_of(service) is None


async def test_a_night_and_a_weekend_leave_it_fresh(service: Service, simulator: Simulator) -> None:
    verdicts = {}
    await follow_since(service, SBER, NOON - timedelta(days=9), *AUDITED)
    await live_through(service, simulator, moscow("2024-01-18T00:17"))
    verdicts["night"] = await _at(service, simulator, "2024-01-18T06:00")
    await live_through(service, simulator, moscow("2024-01-20T00:17"))
    for name, moment in (("saturday", "2024-01-20T15:00"), ("sunday", "2024-01-21T23:00")):
        verdicts[name] = await _at(service, simulator, moment)
    verdicts["before the session"] = await _at(service, simulator, "2024-01-22T10:06")

    assert verdicts == dict.fromkeys(verdicts, ("fresh", 0))
    assert (await _at(service, simulator, "2024-01-22T10:15"))[0] == "behind"


async def _at(service: Service, simulator: Simulator, moment: str) -> tuple[str, int]:
    simulator.clock.set(moscow(moment))
    outlook = await service.freshness()
    return outlook.verdict, sum(int(each.lag.total_seconds()) for each in outlook.series)


async def test_an_exchange_that_fails_is_down_until_it_answers_again(service: Service, simulator: Simulator) -> None:
    fault = simulator.faults.add(Status(code=503, times=None))
    with suppress(SourceError):  # also the clock of the loader is that of the exchange
        await update(service)
    at_once = await told(service)
    simulator.clock.set(NOON + 5 * MINUTE)
    down, alarm = await told(service), await alarm_of(service)
    ready = await told(service, "/health/ready")
    simulator.faults.remove(fault.id)
    while (await service.source_status()).state == "open":  # noqa: ASYNC110  # time alone ends it
        await asyncio.sleep(0.01)
    await update(service)

    assert (at_once["verdict"], at_once["source"]["state"]) in {("fresh", "open"), ("fresh", "half_open")}
    assert (down["verdict"], down["counts"]["source_down"]) == ("source_down", 1)
    assert str(alarm).startswith("source_down: 1 of 1")
    assert "503" in down["source"]["reason"]
    assert ready == {"status": "ok"}
    assert (await told(service))["verdict"] == "fresh"


async def test_an_exchange_that_tells_the_time_and_fails_is_judged_by_when_it_was_heard_of(
    open_service: Open, simulator: Simulator, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bootstrap._CLOCK_PATIENCE", 60)  # its answer is to be heard
    service = await open_service(sqlite_url, **FEW_LOOKS, iss_break_after=1, iss_break_for=300)
    await follow_since(service, SBER, NOON - timedelta(days=1), Timeframe.M1)
    await live_through(service, simulator, NOON)
    simulator.clock.set(NOON + 5 * MINUTE)
    simulator.faults.add(Status(code=503, times=None))

    found = await told(service)

    assert (found["at"], found["verdict"], found["source"]["state"]) == (str(NOON), "fresh", "open")


async def test_who_was_asked_for_patience_is_paused(open_service: Open, simulator: Simulator, sqlite_url: str) -> None:
    opened = await open_service(sqlite_url, **FEW_LOOKS)
    service = replace(opened, clock=ClockOfSimulator(simulator))
    await follow_since(service, SBER, NOON - timedelta(days=1), Timeframe.M1)
    await live_through(service, simulator, NOON)
    simulator.clock.set(NOON + 5 * MINUTE)
    simulator.faults.add(Status(code=429, retry_after="100"))
    with suppress(SourceError):
        await update(service)

    found = await told(service)

    assert (found["verdict"], found["source"]["state"]) == ("paused", "paused")
    assert found["source"]["until"]
    assert str(await alarm_of(service)).startswith("paused: 1 of 1")
