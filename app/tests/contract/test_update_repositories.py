"""What the repositories of wishes owe the core."""

import pytest

from app.core.errors import SeriesNotFoundError, StorageError, UpdateNotFoundError
from app.core.spans import Period
from app.core.storage import IStorage
from app.core.updates import Update, UpdatePart
from app.tests.builders import GAZP_M1, SBER_D1, SBER_M1, a_state, follow, minute

OLD, NEW = Update("b", minute(0)), Update("a", minute(5))
PERIOD = Period(minute(0), minute(60))
FULL = UpdatePart("a", minute(5), SBER_M1, PERIOD, True, 2**40, minute(7), 2**40)  # noqa: FBT003  # a column's value


def a_part(update: Update, series: object = SBER_M1) -> UpdatePart:
    return UpdatePart(update.id, update.asked_at, series, PERIOD)  # type: ignore[arg-type]  # a series


async def test_parts_come_back_as_they_were(storage: IStorage) -> None:
    await follow(storage, SBER_M1, SBER_D1)
    empty = a_part(NEW, SBER_D1)
    async with storage.begin() as writer:
        await writer.updates.add([NEW])
        await writer.update_parts.add([empty, FULL])

    async with storage.read() as reader:
        assert [update async for update in reader.updates] == [NEW]
        assert [part async for part in reader.update_parts] == [FULL, empty]


async def test_the_newest_update_comes_first_on_wish(storage: IStorage) -> None:
    async with storage.begin() as writer:
        await writer.updates.add([OLD, NEW])

        assert [update async for update in writer.updates] == [NEW, OLD]
        assert [update async for update in writer.updates.newest_first()] == [NEW, OLD]
        await writer.updates.add([Update("b", minute(9))])
        assert [update.id async for update in writer.updates.newest_first()] == ["b", "a"]
        assert [update.id async for update in writer.updates.newest_first()[1:2]] == ["a"]
        assert [update.id async for update in writer.updates.filter_asked_before(minute(9))] == ["a"]
        with pytest.raises(TypeError, match="filter first"):
            writer.updates[:1].newest_first()


async def test_an_unknown_update_is_named(storage: IStorage) -> None:
    async with storage.begin() as writer:
        await writer.updates.add([OLD])

        assert await writer.updates.get("b") == OLD
        with pytest.raises(UpdateNotFoundError, match="a"):
            await writer.updates.get("a")


async def test_filters(storage: IStorage) -> None:
    await follow(storage, SBER_M1, GAZP_M1)
    async with storage.begin() as writer:
        await writer.updates.add([OLD, NEW])
        await writer.update_parts.add([a_part(OLD), a_part(OLD, GAZP_M1), FULL])
        parts = writer.update_parts

        assert [part.series async for part in parts.filter_by_update("b")] == [GAZP_M1, SBER_M1]
        assert [part.update_id async for part in parts.filter_by_series(SBER_M1)] == ["a", "b"]
        assert [part.update_id async for part in parts.filter_by_series(SBER_M1).filter_unfinished()] == ["b"]
        assert await parts.filter_unfinished().count() == 2


async def test_a_part_is_replaced_and_removed_by_series_and_update(storage: IStorage) -> None:
    await follow(storage, SBER_M1, GAZP_M1)
    async with storage.begin() as writer:
        await writer.updates.add([NEW])
        await writer.update_parts.add([a_part(NEW), a_part(NEW, GAZP_M1)])
        await writer.update_parts.add([FULL])
        await writer.update_parts.remove([a_part(NEW, GAZP_M1)])

        assert [part async for part in writer.update_parts] == [FULL]
        await writer.update_parts.filter_by_update("a").clear()
        await writer.updates.remove([NEW])
        assert (await writer.update_parts.count(), await writer.updates.count()) == (0, 0)


async def test_a_part_needs_its_series_and_keeps_it(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        await writer.updates.add([NEW])
        await writer.update_parts.add([a_part(NEW)])
        with pytest.raises(SeriesNotFoundError):
            await writer.update_parts.add([a_part(NEW, GAZP_M1)])

    async def remove() -> None:
        async with storage.begin() as writer:
            await writer.series.remove([a_state()])

    with pytest.raises(StorageError):
        await remove()
