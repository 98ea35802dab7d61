from datetime import timedelta

from app.bootstrap import Service
from app.core.entities import Timeframe
from app.simulator.fault_kinds import Status
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tasks.broker import embedded
from app.tests.builders import SBER_M1
from app.tests.tasks.comparing import follow, is_current
from app.tests.tasks.waiting import eventually


async def test_tasks_requests_and_rows_are_counted_as_they_went(service: Service, simulator: Simulator) -> None:
    await follow(service, SBER_M1, since=simulator.clock.now() - timedelta(hours=2))
    simulator.faults.add(Status(match=Match(path="candles.json$"), code=404))
    tally = service.tally

    async with embedded(service):
        await eventually(lambda: tally.tasks["update_series", "failed"] == 1)
        simulator.clock.advance(timedelta(minutes=1))
        await eventually(lambda: is_current(service, simulator, SBER_M1))
        await eventually(lambda: tally.tasks["update_series", "done"] >= 1)
        await eventually(lambda: sum(tally.requests.values()) == len(simulator.requests))  # none is under way
        assert tally.requests == {"ok": len(simulator.requests) - 1, "refused": 1}

    async with service.storage.read() as uow:
        assert tally.rows == {Timeframe.M1: await uow.candles.filter_by_series(SBER_M1).count()}
    assert tally.task_seconds["update_series"] > 0
