"""What the store keeps of the calendar of the exchange, and when it is read again."""

from dataclasses import dataclass, replace
from datetime import date, time, timedelta

import pytest

from app.core.calendar import CalendarDay, DayReason
from app.core.errors import SourceUnavailableError
from app.core.storage import IStorage, read_calendar
from app.repository.memory import MemoryStorage
from app.tests.builders import GAZP, SBER, SBER_M1, T0, a_card, a_state, minute
from app.tests.io.rest_client import FakeCalendar, FakeClock
from app.use_cases.refresh_calendar import SINCE, RefreshedCalendar, refresh_calendar, refresh_engine

A_DAY = timedelta(days=1)
TODAY = T0.moscow.date()


def a_day(offset: int = 0, engine: str = "stock", *, is_traded: bool = True) -> CalendarDay:
    return CalendarDay(engine, TODAY + offset * A_DAY, is_traded)


@pytest.fixture
async def storage() -> IStorage:
    """One share and one future are followed, a pair is not."""
    storage = MemoryStorage()
    cards = [a_card(SBER), replace(a_card(GAZP), engine="futures")]
    pair = replace(a_card(replace(SBER, board="CETS")), engine="currency")
    async with storage.begin() as uow:
        await uow.securities.add([*cards, pair])
        await uow.series.add([a_state(replace(SBER_M1, security=card.security)) for card in cards])
        await uow.series.add([a_state(replace(SBER_M1, security=pair.security), followed_from=None)])
    return storage


async def stored(storage: IStorage) -> list[CalendarDay]:
    async with storage.read() as uow:
        return [day async for day in uow.calendar]


async def test_the_engines_of_what_is_followed_are_read_from_2018_once(storage: IStorage) -> None:
    source, clock = FakeCalendar([a_day(), a_day(engine="futures")]), FakeClock(T0)

    first = await refresh_calendar(storage, source, clock, every=A_DAY)
    clock.moment = minute(24 * 60)
    second = await refresh_calendar(storage, source, clock, every=A_DAY)

    year = timedelta(days=365)
    assert source.asked == [
        ("futures", SINCE, TODAY + year),
        ("stock", SINCE, TODAY + year),
        ("futures", TODAY - 13 * A_DAY, TODAY + A_DAY + year),
        ("stock", TODAY - 13 * A_DAY, TODAY + A_DAY + year),
    ]
    assert (first, second) == tuple(RefreshedCalendar({"futures": n, "stock": n}) for n in (1, 0))
    assert {day.seen_at for day in await stored(storage)} == {clock.moment}


async def test_the_calendar_is_read_once_a_day_by_whoever_shares_the_store(storage: IStorage) -> None:
    source = FakeCalendar([a_day(), a_day(engine="futures")])

    for hours in (0, 1, 23):
        await refresh_calendar(storage, source, FakeClock(minute(hours * 60)), every=A_DAY)

    assert len(source.asked) == 2


async def test_what_changed_replaces_what_was_told_and_is_counted(storage: IStorage) -> None:
    source = FakeCalendar([a_day(), a_day(1), a_day(2)])
    await refresh_engine(storage, source, FakeClock(T0), "stock")

    source.known = [a_day(), a_day(1, is_traded=False), a_day(3)]
    changed = await refresh_engine(storage, source, FakeClock(minute(1)), "stock")

    days = [(day.day - TODAY, day.is_traded, day.seen_at) for day in await stored(storage)]
    assert changed == 2
    assert days == [
        (timedelta(0), True, minute(1)),
        (A_DAY, False, minute(1)),
        (2 * A_DAY, True, T0),  # told no more, and not denied
        (3 * A_DAY, True, minute(1)),
    ]


async def test_hours_told_while_a_day_was_near_outlive_it(storage: IStorage) -> None:
    source = FakeCalendar([replace(a_day(), opens=time(6, 50), closes=time(20)), replace(a_day(1), opens=time(8))])
    await refresh_engine(storage, source, FakeClock(T0), "stock")

    source.known = [replace(a_day(), reason=DayReason.ORDINARY), a_day(1, is_traded=False)]
    await refresh_engine(storage, source, FakeClock(T0), "stock")

    today, tomorrow = await stored(storage)
    assert (today.reason, today.opens, today.closes) == (DayReason.ORDINARY, time(6, 50), time(20))
    assert (tomorrow.is_traded, tomorrow.opens) == (False, None)


@dataclass
class OneFails(FakeCalendar):
    """An exchange that does not answer about futures."""

    async def days(self, engine: str, first: date, last: date, /) -> list[CalendarDay]:
        if engine == "futures":
            raise SourceUnavailableError("away")
        return list(await super().days(engine, first, last))


async def test_an_engine_that_fails_keeps_its_days_and_stops_nobody_else(storage: IStorage) -> None:
    old = replace(a_day(engine="futures"), seen_at=T0 - 2 * A_DAY)
    async with storage.begin() as uow:
        await uow.calendar.add([old])

    refreshed = await refresh_calendar(storage, OneFails([a_day()]), FakeClock(T0), every=A_DAY)

    assert (refreshed.changed, [*refreshed.failures]) == ({"stock": 1}, ["futures"])
    assert await stored(storage) == [old, replace(a_day(), seen_at=T0)]


async def test_a_calendar_is_read_with_two_months_around_it(storage: IStorage) -> None:
    offsets = (-62, -60, 0, 10, 70, 72)
    async with storage.begin() as uow:
        await uow.calendar.add([*map(a_day, offsets), a_day(engine="futures")])

    async with storage.read() as uow:
        calendar = await read_calendar(uow, "stock", TODAY, TODAY + 10 * A_DAY)

    assert [(day - TODAY).days for day in calendar.told] == [-60, 0, 10, 70]
    assert calendar.engine == "stock"
