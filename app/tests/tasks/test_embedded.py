import asyncio
import time
from datetime import timedelta

from structlog.testing import capture_logs

from app.bootstrap import Service
from app.simulator.fault_kinds import Slow, Status
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tasks.broker import embedded
from app.tasks.in_process_broker import InProcessBroker
from app.tests.builders import GAZP_M1, SBER_D1, SBER_M1, a_card
from app.tests.tasks.comparing import follow, is_current
from app.tests.tasks.waiting import eventually

CANDLES = Match(path="candles.json$")


async def test_what_is_followed_is_loaded_at_once_and_kept_current(service: Service, simulator: Simulator) -> None:
    followed = (SBER_M1, SBER_D1, GAZP_M1)
    await follow(service, *followed, since=simulator.clock.now() - timedelta(days=2))

    async with embedded(service):
        await eventually(lambda: is_current(service, simulator, *followed))
        simulator.clock.advance(timedelta(minutes=30))
        await eventually(lambda: is_current(service, simulator, *followed))


async def test_leaving_cancels_what_runs(service: Service, simulator: Simulator) -> None:
    await follow(service, SBER_M1, since=simulator.clock.now() - timedelta(days=2))
    slow = simulator.faults.add(Slow(match=CANDLES, seconds=30, times=None))

    async with embedded(service):
        await eventually(lambda: slow.struck)
        left = time.monotonic()

    assert time.monotonic() - left < 15


async def test_a_tick_skips_a_series_that_is_still_updated(service: Service, simulator: Simulator) -> None:
    await follow(service, SBER_M1, since=simulator.clock.now() - timedelta(hours=2))
    slow = simulator.faults.add(Slow(match=CANDLES, seconds=30, times=None))

    with capture_logs() as logs:
        async with embedded(service):
            await eventually(lambda: [log["event"] for log in logs] == ["updating what is followed"] * 3)

    assert slow.struck == 1


async def test_a_failure_is_logged_once_and_the_next_tick_makes_up_for_it(
    service: Service, simulator: Simulator
) -> None:
    await follow(service, SBER_M1, since=simulator.clock.now() - timedelta(hours=2))
    simulator.faults.add(Status(match=CANDLES, code=404))

    with capture_logs() as logs:
        async with embedded(service):
            await eventually(lambda: is_current(service, simulator, SBER_M1))

    [failure] = [log for log in logs if log["log_level"] != "info"]
    assert failure["task"] == "update_series TQBR:SBER M1"
    assert failure["kind"] == "SourceRefusedError"


async def test_no_more_tasks_run_at_once_than_there_is_room_for() -> None:
    broker = InProcessBroker(at_once=2)
    running: list[str] = []
    may_end = asyncio.Event()

    async def job(name: str) -> None:
        running.append(name)
        await may_end.wait()

    task = broker.register_task(job, "job")
    for name in ("one", "two", "three", "three"):
        await task.kicker().with_task_id(name).kiq(name)
    await eventually(lambda: running == ["one", "two"])
    may_end.set()
    await eventually(lambda: running == ["one", "two", "three"])

    await broker.shutdown()


async def test_boards_and_cards_are_read_once_a_day_in_the_background(service: Service, simulator: Simulator) -> None:
    await follow(service, SBER_D1, since=simulator.clock.now() - timedelta(days=2))
    async with service.storage.begin() as uow:
        await uow.securities.add([a_card(SBER_D1.security, name="an old name")])

    with capture_logs() as logs:
        async with embedded(service):
            await eventually(lambda: has_boards(service))
            await eventually(lambda: [log["event"] for log in logs] == ["updating what is followed"] * 2)

    async with service.storage.read() as uow:
        assert (await uow.securities.get(SBER_D1.security)).name == "Сбербанк России ПАО ао"
    asked = [each for each in simulator.requests if (each.method, each.path) == ("GET", "/iss/index.json")]
    assert len(asked) == 1


async def test_a_card_that_cannot_be_read_is_told_of(service: Service, simulator: Simulator) -> None:
    await follow(service, SBER_D1, since=simulator.clock.now() - timedelta(days=2))
    simulator.faults.add(Status(match=Match(path="/iss/securities/SBER.json"), code=404, times=None))

    with capture_logs() as logs:
        async with embedded(service):
            await eventually(lambda: any(log["log_level"] == "warning" for log in logs))

    [warning] = [log for log in logs if log["log_level"] == "warning"]
    assert (warning["event"], warning["security"]) == ("the card stays as it was", "TQBR:SBER")


async def has_boards(service: Service) -> bool:
    async with service.storage.read() as uow:
        return await uow.boards.count() > 0


async def test_the_calendar_of_what_is_followed_becomes_known(service: Service, simulator: Simulator) -> None:
    await follow(service, SBER_M1, since=simulator.clock.now() - timedelta(hours=2))

    async def days() -> int:
        async with service.storage.read() as uow:
            return await uow.calendar.filter_by_engine("stock").count()

    async with embedded(service):
        await eventually(days)
