"""T: clocks and calendars, all the way into the store."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from app.bootstrap import Service, bootstrap
from app.core.date_time import Timestamp
from app.core.entities import Candle, Series, Timeframe
from app.core.errors import SourceBadAnswerError
from app.market_data_adapter.clock import SystemClock
from app.simulator.clock import SimulatedClock
from app.simulator.fault_kinds import BadRow, Status
from app.simulator.faults import Match
from app.simulator.replay import ReplayTape
from app.simulator.server import Simulator
from app.tasks.broker import embedded
from app.tests.journeys.conftest import NOON, contents, environment_of, settings_of
from app.tests.journeys.healing import H1, M1, meet, recover, spans_of, uncover
from app.tests.journeys.test_update import GAZP, SBER, assert_equals_the_tape, follow, update
from app.tests.market_data_adapter.asking import moments
from app.tests.tasks.waiting import eventually
from app.use_cases.create_security import create_security
from app.use_cases.verify import verify

OpenService = Callable[..., Awaitable[Service]]
LONGER = (Timeframe.W1, Timeframe.MN1, Timeframe.Q1)
HOUR = timedelta(hours=1)
CANDLES = Match(path="/candles.json")
pytestmark = pytest.mark.usefixtures("without_pauses")
BARS = {
    "2010-01-11 10:00:00": "2010-01-11T07:00:00Z",  # winter time, +3
    "2010-07-01 10:00:00": "2010-07-01T06:00:00Z",  # summer time, +4
    "2012-01-11 10:00:00": "2012-01-11T06:00:00Z",  # +4 all year from 2011
    "2014-10-26 01:00:00": "2014-10-25T21:00:00Z",  # happened twice: the first is meant
    "2014-10-27 10:00:00": "2014-10-27T07:00:00Z",  # +3 since the day before
}


async def test_t1_bars_of_all_offsets_are_stored_at_their_instants(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "TQBR" / "GAZP").mkdir(parents=True)
    rows = (f"{begin},{begin[:13]}:59:59,100,101,99,100.5,10,1000" for begin in BARS)
    (tmp_path / "TQBR" / "GAZP" / "60.csv").write_text("\n".join(["begin,end,open,high,low,close,volume,value", *rows]))
    clock = SimulatedClock(NOON, stopped=True)
    async with (
        Simulator(ReplayTape(tmp_path), clock=clock).serve() as simulator,
        bootstrap(settings_of(simulator, database_url)) as service,
    ):
        await create_security(service.storage, service.adapter, GAZP, since={Timeframe.H1: "all"})

        assert (await update(service)).failures == {}

        page, _, _ = (await contents(service.storage))[H1]
        assert [str(candle.timestamp) for candle in page] == list(BARS.values())
        assert await verify(service.storage) == []


async def test_t1_months_in_which_the_clocks_changed_equal_the_tape(service: Service, simulator: Simulator) -> None:
    simulator.clock.set(Timestamp.from_moscow(datetime(2014, 11, 5, 12)))
    since = Timestamp.midnight(date(2014, 9, 1))
    timeframes = (Timeframe.M10, Timeframe.H1, Timeframe.D1, Timeframe.W1, Timeframe.MN1)
    await create_security(service.storage, service.adapter, SBER, since=dict.fromkeys(timeframes, since))

    await recover(service, simulator)

    days, _, _ = (await contents(service.storage))[Series(SBER, Timeframe.D1)]
    assert {str(candle.timestamp)[11:] for candle in days} == {"20:00:00Z", "21:00:00Z"}


async def test_t1_an_hour_that_never_was_is_no_answer(service: Service, simulator: Simulator) -> None:
    await follow(service, GAZP, timeframes=(Timeframe.H1,), days=3)
    never = BadRow(match=CANDLES, values={"begin": "2010-03-28 02:00:00"}, times=None)

    outcome = await meet(service, simulator, never)

    assert isinstance(outcome.failures[H1], SourceBadAnswerError)
    assert "never happened" in str(outcome.failures[H1])
    await recover(service, simulator)


class Machine:
    """This machine's clock: right but for an offset, which may come when the time was asked so many times."""

    def __init__(self) -> None:
        self.now = NOON
        self.offset = timedelta()
        self.calls_before = 0

    async def tell(self) -> Timestamp:
        self.calls_before -= 1
        return self.now + (timedelta() if self.calls_before >= 0 else self.offset)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose clock agrees with the exchange's, at first."""
    machine = Machine()
    monkeypatch.setattr(SystemClock, "now", machine.tell)
    return machine


@pytest.fixture
async def on_a_machine(open_service: OpenService, database_url: str, machine: Machine) -> Service:
    """A service that goes by the machine's clock."""
    service = await open_service(database_url, clock="system")
    since = machine.now - timedelta(days=5)
    await create_security(service.storage, service.adapter, SBER, since={Timeframe.M1: since})
    return service


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["ahead", "back"])
async def test_t3_a_clock_that_jumps_by_an_hour_at_any_moment_covers_nothing_wrong(
    on_a_machine: Service, simulator: Simulator, machine: Machine, jump: timedelta
) -> None:
    said: list[str] = []
    for calls in range(6):
        machine.calls_before, machine.offset = calls, jump
        outcome = await meet(on_a_machine, simulator)
        said += map(str, outcome.failures.values())
        await uncover(on_a_machine, M1, machine.now - timedelta(days=2), machine.now)

    assert any("set this machine's clock right" in each for each in said)
    machine.offset = timedelta()
    await recover(on_a_machine, simulator)


@pytest.mark.parametrize("step", [timedelta(minutes=4), -timedelta(minutes=4)], ids=["ahead", "back"])
async def test_t3_a_clock_that_is_a_little_wrong_covers_what_both_clocks_allow(
    on_a_machine: Service, simulator: Simulator, machine: Machine, step: timedelta
) -> None:
    machine.offset = step

    outcome = await meet(on_a_machine, simulator)

    assert outcome.failures == {}
    machine.offset = timedelta()
    await recover(on_a_machine, simulator)


@pytest.fixture
def jumping_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the wall clock of this process jump by an hour, ahead and back, at every look."""
    right, jumps = time.time, [0.0, 3600.0, -3600.0]

    def wrong() -> float:
        jumps.append(jumps.pop(0))
        return right() + jumps[0]

    monkeypatch.setattr(time, "time", wrong)


async def test_t3_patience_and_rate_do_not_go_by_the_wall_clock(
    open_service: OpenService, simulator: Simulator, database_url: str, jumping_wall: None
) -> None:
    service = await open_service(database_url, iss_rate=20)
    await follow(service, SBER, timeframes=(Timeframe.M1,), days=4)
    simulator.requests.clear()
    simulator.faults.add(Status(match=CANDLES, code=429, retry_after="1"))

    began = time.monotonic()
    outcome = await update(service)

    assert outcome.failures == {}
    gaps = [after - before for before, after in pairwise(moments(simulator))]
    assert max(gaps) >= 0.95
    assert sum(gaps) >= 0.9 * (0.05 * (len(gaps) - 1) + 0.95)
    assert time.monotonic() - began < 30
    await assert_equals_the_tape(service, simulator)


async def test_t3_ticks_neither_flood_nor_stop_when_the_wall_clock_jumps(
    open_service: OpenService, simulator: Simulator, database_url: str, jumping_wall: None
) -> None:
    service = await open_service(database_url, tick=0.5)
    await follow(service, GAZP, timeframes=(Timeframe.H1,), days=3)
    simulator.requests.clear()

    def ticks() -> Sequence[str]:
        return [request.query for request in simulator.requests if request.path.endswith("/candles.json")]

    began = time.monotonic()
    async with embedded(service):
        for number in range(1, 4):
            await eventually(partial(_has, ticks, number))
            simulator.clock.advance(timedelta(hours=1))
        seconds = time.monotonic() - began

    assert len(ticks()) <= 2 + seconds / service.settings.tick


def _has(ticks: Callable[[], Sequence[str]], number: int) -> bool:
    return len(ticks()) >= number


@pytest.mark.parametrize("now", [date(2024, 3, 20), date(2023, 3, 20)], ids=["leap year", "usual year"])
async def test_t4_weeks_months_and_quarters_over_the_turn_of_the_year_are_the_days_in_them(
    service: Service, simulator: Simulator, now: date
) -> None:
    simulator.clock.set(Timestamp.from_moscow(datetime(now.year, now.month, now.day, 12)))
    since = dict.fromkeys(LONGER, Timestamp.midnight(date(now.year - 1, 10, 1)))
    since[Timeframe.D1] = Timestamp.midnight(date(now.year - 1, 9, 1))
    await create_security(service.storage, service.adapter, SBER, since=since)

    await recover(service, simulator)

    stored = await contents(service.storage)
    days = list(stored[Series(SBER, Timeframe.D1)][0])
    for timeframe in LONGER:
        bars = [bar for bar in stored[Series(SBER, timeframe)][0] if bar.is_final]
        assert bars
        for bar in bars:
            inside = [day for day in days if first_day(day, timeframe) == bar.timestamp.moscow.date()]
            assert bar.timestamp.moscow.time().isoformat() == "00:00:00"
            assert (bar.open, bar.close) == (inside[0].open, inside[-1].close)
            assert bar.volume == sum(day.volume for day in inside)


def first_day(day: Candle, timeframe: Timeframe) -> date:
    """Say in another way than the product on which day the longer bar of a day begins."""
    of_day = day.timestamp.moscow.date()
    if timeframe is Timeframe.W1:
        return date.fromisocalendar(*of_day.isocalendar()[:2], 1)
    return date(of_day.year, of_day.month if timeframe is Timeframe.MN1 else [1, 4, 7, 10][(of_day.month - 1) // 3], 1)


async def test_t5_without_the_systems_time_zones_the_same_is_stored(
    service: Service, simulator: Simulator, database_url: str
) -> None:
    await follow(service, GAZP, timeframes=(Timeframe.H1, Timeframe.D1), days=30)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.io.cli", "update-candles",
        env={**environment_of(simulator, database_url), "PYTHONTZPATH": ""},
    )  # fmt: skip

    assert await child.wait() == 0
    await assert_equals_the_tape(service, simulator)
    assert await spans_of(service, H1)
