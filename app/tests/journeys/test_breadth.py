"""Many securities at once: as many requests as their pages need, as many on their way as are allowed, no more."""

from collections.abc import Awaitable, Callable
from datetime import date

import pytest

from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.entities import Series, Timeframe
from app.core.spans import Period
from app.simulator.fault_kinds import Slow
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.builders import a_card, a_state
from app.tests.journeys.healing import spans_of
from app.tests.journeys.test_rivals import FORTY
from app.tests.meeting import let_meet
from app.use_cases.update_candles import update_candles
from app.use_cases.verify import verify

AT_ONCE = 8
DAY = Period(Timestamp.midnight(date(2024, 1, 15)), Timestamp.midnight(date(2024, 1, 16)))


async def test_a_day_of_forty_securities_costs_two_requests_each_eight_at_once(
    open_service: Callable[..., Awaitable[Service]],
    simulator: Simulator,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = await open_service(database_url, iss_concurrency=AT_ONCE)
    series = [Series(security, Timeframe.M1) for security in FORTY]
    async with service.storage.begin() as uow:
        await uow.securities.add(map(a_card, FORTY))
        await uow.series.add(a_state(each, followed_from=DAY.time_from) for each in series)
    let_meet(monkeypatch, AT_ONCE, of="/candles.json")
    simulator.faults.add(Slow(match=Match(path="/candles.json"), seconds=0.5, times=AT_ONCE))  # one too many meets them

    outcome = await update_candles(service.storage, service.loader, service.clock, time_till=DAY.time_till)

    assert outcome.failures == {}
    assert all(500 < rows < 1_000 for rows in outcome.rows.values())
    asked = [request for request in simulator.requests if request.path.endswith("/candles.json")]
    assert len(asked) == 2 * len(FORTY)  # the second page ends with the session, so nothing follows
    assert simulator.peak_in_flight == AT_ONCE
    assert all([await spans_of(service, each) == [DAY] for each in series])
    assert await verify(service.storage) == []
