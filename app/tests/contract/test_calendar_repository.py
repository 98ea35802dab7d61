"""What every repository of the calendar owes the core."""

from dataclasses import replace
from datetime import date, time

from app.core.calendar import CalendarDay, DayReason
from app.core.storage import IStorage
from app.tests.builders import T0, minute

TOLD = CalendarDay(
    "stock", date(2026, 1, 18), is_traded=True, trade_date=date(2026, 1, 19), reason=DayReason.WEEKEND,
    opens=time(9, 50), closes=time(23, 59, 59), seen_at=T0,
)  # fmt: skip
BARE = CalendarDay("futures", date(2026, 1, 18), is_traded=False)


def stock(day: int) -> CalendarDay:
    return CalendarDay("stock", date(2026, 1, day), is_traded=True)


async def test_a_day_comes_back_as_it_was(storage: IStorage) -> None:
    async with storage.begin() as writer:
        await writer.calendar.add([TOLD, BARE])

    async with storage.read() as reader:
        assert [day async for day in reader.calendar] == [BARE, TOLD]
        assert [day async for day in reader.calendar.filter_by_engine("stock")] == [TOLD]
        assert await reader.calendar.filter_by_engine("currency").count() == 0


async def test_days_are_filtered_with_both_ends_and_in_order(storage: IStorage) -> None:
    async with storage.begin() as writer:
        await writer.calendar.add([stock(day) for day in (22, 18, 21, 19, 20)])

    async with storage.read() as reader:
        found = reader.calendar.filter_by_engine("stock").filter_by_days(date(2026, 1, 19), date(2026, 1, 21))
        assert [day.day.day async for day in found] == [19, 20, 21]
        assert [day.day.day async for day in found[1:2]] == [20]
        assert await found.count() == 3


async def test_add_replaces_and_remove_forgets(storage: IStorage) -> None:
    corrected = replace(TOLD, is_traded=False, reason=None, trade_date=None, opens=None, closes=None, seen_at=minute(1))
    async with storage.begin() as writer:
        await writer.calendar.add([TOLD, BARE, stock(19)])
        await writer.calendar.add([corrected])
        await writer.calendar.remove([BARE])

        assert [day async for day in writer.calendar] == [corrected, stock(19)]
        await writer.calendar.filter_by_days(date(2026, 1, 18), date(2026, 1, 18)).clear()
        assert [day async for day in writer.calendar] == [stock(19)]
