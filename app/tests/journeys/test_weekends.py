"""Weekend sessions over real HTTP: two weekends in three are traded since March 2025, by shares with long hours."""

from datetime import date, timedelta

import pytest

from app.bootstrap import Service
from app.core.calendar import DayReason
from app.core.entities import Series, Timeframe
from app.core.spans import Period
from app.simulator.clock import read_moment as at
from app.simulator.fault_kinds import Html, Status
from app.simulator.faults import Fault, Match
from app.simulator.server import Simulator
from app.tests.journeys.conftest import contents
from app.tests.journeys.living import (
    asked,
    assert_nothing_is_lost,
    days_of,
    follow_since,
    live_through,
    reasons,
)
from app.tests.journeys.test_update import BOND, SBER, update
from app.tests.looking import get_coverage
from app.use_cases.explain_gaps import GapReason
from app.use_cases.get_calendar import get_calendar

M1, H1, D1 = (Series(SBER, Timeframe(name)) for name in ("M1", "H1", "D1"))
BOND_M1 = Series(BOND, Timeframe.M1)
CALENDARS = Match(path="^/iss/calendars")
TABLES = Match(path=r"^/iss/engines/\w+\.json")
TOLD: dict[str, tuple[Fault, ...]] = {
    "open": (),
    "a web page": (Html(match=CALENDARS, times=None),),
    "refused": (Status(match=CALENDARS, code=403, times=None),),
    "nothing told": (Status(match=CALENDARS, code=403, times=None), Status(match=TABLES, code=503, times=None)),
}
FOR_ALL_CALENDARS = pytest.mark.parametrize("faults", TOLD.values(), ids=TOLD)
pytestmark = pytest.mark.usefixtures("without_pauses")


def spoil(simulator: Simulator, faults: tuple[Fault, ...]) -> None:
    for fault in faults:
        simulator.faults.add(fault)


async def trade_dates(service: Service, first: str, last: str) -> dict[str, str]:
    """To which working day the trades of the days off in between belong."""
    days = await get_calendar(
        service.storage, service.clock, "shares", first=date.fromisoformat(first), last=date.fromisoformat(last)
    )
    off = [day for day in days.days if day.reason is not DayReason.ORDINARY]
    return {str(day.day): str(day.trade_date) for day in off}


@FOR_ALL_CALENDARS
@pytest.mark.parametrize(
    ("friday", "weekend", "working_day"),
    [
        ("2026-01-16", ("2026-01-17", "2026-01-18"), "2026-01-19"),
        ("2026-02-20", ("2026-02-21", "2026-02-22"), "2026-02-24"),
    ],
    ids=["before a Monday", "before a holiday"],
)
async def test_t2_bars_of_a_weekend_keep_their_own_date_and_count_to_the_next_working_day(
    service: Service,
    simulator: Simulator,
    faults: tuple[Fault, ...],
    friday: str,
    weekend: tuple[str, str],
    working_day: str,
) -> None:
    spoil(simulator, faults)
    saturday, sunday = weekend
    simulator.clock.set(at(f"{friday} 18:00"))
    await follow_since(service, SBER, at(f"{friday} 12:00"))
    moments = (f"{friday} 18:00", f"{saturday} 12:00", f"{saturday} 21:00", f"{sunday} 15:00", f"{working_day} 12:00")

    await live_through(service, simulator, *map(at, moments))

    await assert_nothing_is_lost(service, simulator)
    for series in (M1, H1):
        assert await days_of(service, series) == {friday, saturday, sunday, working_day}
    page, _, _ = (await contents(service.storage))[D1]
    begins = [f"{candle.timestamp.moscow:%Y-%m-%d %H:%M}" for candle in page]
    assert begins == [f"{day} 00:00" for day in (friday, saturday, sunday, working_day)]
    await assert_a_session_of_its_own(service, saturday)
    assert (await trade_dates(service, friday, working_day)).items() >= dict.fromkeys(weekend, working_day).items()


async def assert_a_session_of_its_own(service: Service, day: str) -> None:
    """The minutes of the day lie between 09:50 and 19:00, and the bar of the day holds them and no others."""
    stored, midnight = await contents(service.storage), at(f"{day} 00:00")
    minutes, [bar] = (stored[series][0].between(midnight, midnight + timedelta(days=1)) for series in (M1, D1))
    first, last = minutes[0].timestamp.moscow, minutes[-1].timestamp.moscow
    assert (f"{first:%H:%M}", f"{last:%H:%M}") >= ("09:50", "18:40")
    assert f"{last:%H:%M}" < "19:00"
    assert (bar.open, bar.close, bar.volume) == (minutes[0].open, minutes[-1].close, sum(minutes.volumes))


@pytest.mark.parametrize(
    "faults", [faults for name, faults in TOLD.items() if name != "nothing told"], ids=list(TOLD)[:-1]
)
async def test_t2_on_a_weekend_told_to_be_without_session_nothing_is_asked_and_answers_are_complete(
    service: Service, simulator: Simulator, faults: tuple[Fault, ...]
) -> None:
    spoil(simulator, faults)
    friday, saturday, sunday = at("2026-01-23 23:30"), at("2026-01-24 12:00"), at("2026-01-25 18:00")
    simulator.clock.set(friday)
    await follow_since(service, SBER, friday - timedelta(hours=12))
    await live_through(service, simulator, friday, saturday, sunday - timedelta(hours=6))
    asked(simulator)

    simulator.clock.set(sunday)
    outcome = await update(service)

    assert (outcome.rows, outcome.failures, asked(simulator)) == ({}, {}, 0)
    coverage = await get_coverage(service.storage, M1, Period(friday, sunday))
    assert coverage.is_complete
    assert [gap.reason for gap in coverage.gaps] == [GapReason.CLOSED]
    await live_through(service, simulator, at("2026-01-26 12:00"))
    await assert_nothing_is_lost(service, simulator)
    assert len((await contents(service.storage))[M1][1]) == 1


async def test_t2_a_weekend_nobody_told_of_is_asked_about_in_vain_and_settles(
    service: Service, simulator: Simulator
) -> None:
    spoil(simulator, TOLD["nothing told"])
    friday, saturday, sunday = at("2026-01-23 23:30"), at("2026-01-24 12:00"), at("2026-01-25 18:00")
    simulator.clock.set(friday)
    await follow_since(service, SBER, friday - timedelta(hours=12), Timeframe.M1)
    await live_through(service, simulator, friday, saturday)
    asked(simulator)

    simulator.clock.set(sunday)
    outcome = await update(service)

    assert (outcome.rows, outcome.failures) == ({}, {})
    assert 1 <= asked(simulator) <= 3
    coverage = await get_coverage(service.storage, M1, Period(friday, sunday))
    assert not coverage.is_complete
    assert GapReason.NO_TRADES in [gap.reason for gap in coverage.gaps]
    await live_through(service, simulator, at("2026-01-26 12:00"))
    await assert_nothing_is_lost(service, simulator)
    assert len((await contents(service.storage))[M1][1]) == 1


async def test_t2_who_takes_no_part_in_a_weekend_session_is_silent_not_incomplete(
    service: Service, simulator: Simulator
) -> None:
    friday = at("2026-01-16 23:00")
    simulator.clock.set(friday)
    await follow_since(service, BOND, friday - timedelta(hours=12), Timeframe.M1)

    await live_through(service, simulator, friday, at("2026-01-17 12:00"), at("2026-01-18 15:00"))

    assert await days_of(service, BOND_M1) == {"2026-01-16"}
    weekend = at("2026-01-17 10:00"), at("2026-01-18 14:00")
    assert set(await reasons(service, BOND_M1, *weekend)) <= {GapReason.NO_TRADES, GapReason.CLOSED}
    await live_through(service, simulator, at("2026-01-19 15:00"))
    assert await reasons(service, BOND_M1, *weekend) == []
    await assert_nothing_is_lost(service, simulator)


async def test_a_working_saturday_is_a_day_like_others_in_all_timeframes(
    service: Service, simulator: Simulator
) -> None:
    simulator.clock.set(at("2024-04-26 12:00"))
    await follow_since(service, SBER, at("2024-04-25 12:00"))

    await live_through(service, simulator, *map(at, ("2024-04-26 20:00", "2024-04-27 15:00", "2024-04-29 12:00")))

    await assert_nothing_is_lost(service, simulator)
    for series in (M1, H1, D1):
        assert await days_of(service, series) == {"2024-04-25", "2024-04-26", "2024-04-27", "2024-04-29"}
    assert await trade_dates(service, "2024-04-26", "2024-04-28") == {
        "2024-04-27": "2024-04-27",
        "2024-04-28": "2024-04-29",
    }
