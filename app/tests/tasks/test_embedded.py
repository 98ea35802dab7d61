import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from structlog.testing import capture_logs

from app.bootstrap import Service, bootstrap
from app.core.date_time import Timestamp
from app.core.entities import Series, Timeframe
from app.core.urgency import in_background
from app.simulator.fault_kinds import Slow, Status
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tasks.broker import embedded
from app.tasks.in_process_broker import InProcessBroker
from app.tasks.schedule import LEASE
from app.tests.builders import GAZP_M1, SBER_D1, SBER_M1, a_card
from app.tests.tasks.comparing import ask, follow, is_current
from app.tests.tasks.waiting import eventually
from app.use_cases.ask_for_candles import ask_for_candles
from app.use_cases.get_update import get_update
from app.use_cases.looks import seen

M10, H1, D1 = Timeframe.M10, Timeframe.H1, Timeframe.D1

MANY = tuple(Series(each.security, timeframe) for each in (SBER_M1, GAZP_M1) for timeframe in (M10, H1, D1))
CANDLES = Match(path="candles.json$")


async def test_what_is_followed_is_loaded_at_once_and_kept_current(service: Service, simulator: Simulator) -> None:
    followed = (SBER_M1, SBER_D1, GAZP_M1)
    await follow(service, *followed, since=simulator.clock.now() - timedelta(days=2))
    await ask(service, SBER_D1)

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
            await eventually(lambda: [log["event"] for log in logs] == ["updating what is due"] * 3)

    assert slow.struck == 1


async def test_a_failure_is_logged_once_and_the_next_tick_makes_up_for_it(
    service: Service, simulator: Simulator
) -> None:
    await follow(service, SBER_M1, since=simulator.clock.now() - timedelta(hours=2))
    simulator.faults.add(Status(match=CANDLES, code=404))

    with capture_logs() as logs:
        async with embedded(service):
            await eventually(lambda: any(log["log_level"] != "info" for log in logs))
            simulator.clock.advance(timedelta(minutes=1))
            await eventually(lambda: is_current(service, simulator, SBER_M1))

    [failure] = [log for log in logs if log["log_level"] != "info"]
    assert failure["task"] == "update_series TQBR:SBER M1"
    assert failure["kind"] == "SourceRefusedError"


class Gate:
    """Tasks of a broker that run until the gate is opened."""

    def __init__(self, broker: InProcessBroker, name: str = "job") -> None:
        self.running: list[str] = []
        self._is_open = asyncio.Event()

        async def job(given: str) -> None:
            self.running.append(given)
            await self._is_open.wait()

        self._task = broker.register_task(job, name)

    async def kick(self, *names: str, urgent: bool = False) -> None:
        for name in names:
            await self._task.kicker().with_task_id(name).with_labels(urgent=urgent).kiq(name)

    def open(self) -> None:
        self._is_open.set()


async def test_no_more_tasks_run_at_once_than_there_is_room_for() -> None:
    broker = InProcessBroker(at_once=2)
    gate = Gate(broker)

    await gate.kick("one", "two", "three", "three")
    await eventually(lambda: gate.running == ["one", "two"])
    gate.open()
    await eventually(lambda: gate.running == ["one", "two", "three"])

    await broker.shutdown()


async def test_urgent_tasks_take_whatever_place_is_free_first() -> None:
    broker = InProcessBroker(at_once=1)
    others, urgent = Gate(broker), Gate(broker, "urgent job")

    await others.kick("one", "two")
    await urgent.kick("three", "four", urgent=True)
    await eventually(lambda: urgent.running == ["three"])
    others.open()

    await eventually(lambda: urgent.running == ["three", "four"])
    assert others.running == ["one"]
    urgent.open()
    await eventually(lambda: others.running == ["one", "two"])
    await broker.shutdown()


async def test_urgent_tasks_do_not_wait_for_the_room_of_others() -> None:
    broker = InProcessBroker(at_once=1)
    gate = Gate(broker)

    await gate.kick("one", "two", "three")
    await eventually(lambda: gate.running == ["one"])
    await gate.kick("three", "four", urgent=True)
    await eventually(lambda: gate.running == ["one", "three"])
    gate.open()
    await eventually(lambda: len(gate.running) == 4)

    assert sorted(gate.running) == ["four", "one", "three", "two"]
    await broker.shutdown()


async def test_a_task_knows_whether_anybody_waits_for_it(service: Service) -> None:
    found: dict[str, bool] = {}

    async def job(name: str) -> None:
        found[name] = in_background.get()

    async with embedded(service) as broker:
        task = broker.register_task(job, "job")
        for name, labels in (("usual", {}), ("urgent", {"urgent": True}), ("not urgent", {"urgent": False})):
            await task.kicker().with_task_id(name).with_labels(**labels).kiq(name)
        await eventually(lambda: len(found) == 3)

    assert found == {"usual": True, "urgent": False, "not urgent": True}


async def test_boards_and_cards_are_read_once_a_day_in_the_background(service: Service, simulator: Simulator) -> None:
    await follow(service, SBER_D1, since=simulator.clock.now() - timedelta(days=2))
    async with service.storage.begin() as uow:
        await uow.securities.add([a_card(SBER_D1.security, name="an old name")])

    async with embedded(service):
        await eventually(lambda: has_boards(service))
        simulator.clock.advance(timedelta(hours=1))
        await eventually(lambda: has_looked(service, simulator.clock.now()))

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


async def test_what_grew_and_nobody_asks_for_is_left_at_night_where_that_is_set(
    service: Service, simulator: Simulator
) -> None:
    await follow(service, SBER_D1, GAZP_M1, since=simulator.clock.now() - timedelta(days=2))
    async with service.storage.begin() as uow:
        grown = await uow.series.lock(GAZP_M1)
        await uow.series.add([replace(grown, is_grown=True, asked_at=simulator.clock.now() - timedelta(days=8))])

    async def followed() -> list[Series]:
        async with service.storage.read() as uow:
            return [state.series async for state in uow.series.filter_followed()]

    async with embedded(service):
        await eventually(lambda: has_boards(service))
    assert await followed() == [GAZP_M1, SBER_D1]
    simulator.clock.advance(timedelta(days=1))
    async with (
        bootstrap(service.settings.model_copy(update={"unfollow_after_days": 7})) as forgetful,
        embedded(forgetful),
    ):
        await eventually(lambda: is_equal(followed, [SBER_D1]))


async def test_an_update_is_forgotten_after_thirty_days(service: Service, simulator: Simulator) -> None:
    await follow(service, SBER_D1, since=simulator.clock.now() - timedelta(days=2))
    old = await ask_for_candles(service.storage, service.clock)
    simulator.clock.advance(timedelta(days=29))
    new = await ask_for_candles(service.storage, service.clock)
    simulator.clock.advance(timedelta(days=2))

    async def known() -> list[str]:
        async with service.storage.read() as uow:
            return [update.id async for update in uow.updates]

    assert {*await known()} == {old.id, new.id}
    async with embedded(service):
        await eventually(lambda: is_equal(known, [new.id]))


async def test_what_many_asked_for_is_loaded_without_a_tick_for_every_two(
    service: Service, simulator: Simulator
) -> None:
    await follow(service, *MANY, since=simulator.clock.now() - timedelta(days=2))
    update = await ask_for_candles(service.storage, service.clock)
    hourly = service.settings.model_copy(update={"tick": 3600})

    async def is_done() -> bool:
        found = await get_update(service.storage, service.clock, update.id)
        return found.state == "done"

    async with bootstrap(hourly) as patient, embedded(patient):
        await eventually(is_done)
        assert await is_current(service, simulator, *MANY)


async def has_looked(service: Service, moment: Timestamp) -> bool:
    """Say whether the schedule looked what was due at a moment."""
    return (await seen(service.storage)).get(LEASE) == moment


async def is_equal(found: Callable[[], Awaitable[object]], expected: object) -> bool:
    return await found() == expected


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


async def test_of_schedulers_that_begin_together_one_reads_the_calendar(service: Service, simulator: Simulator) -> None:
    await follow(service, SBER_M1, since=simulator.clock.now() - timedelta(hours=2))

    async with embedded(service), embedded(service):
        await eventually(lambda: has_looked(service, simulator.clock.now()))
        await eventually(lambda: is_current(service, simulator, SBER_M1))

    assert [each.path for each in simulator.requests].count("/iss/engines/stock.json") == 1
