"""What every repository of splits owes the core."""

from dataclasses import replace
from datetime import date

import pytest

from app.core.corporate_actions import ListedSplit, Split
from app.core.errors import SecurityNotFoundError, StorageError
from app.core.storage import IStorage
from app.tests.builders import GAZP, GAZP_M1, SBER, SBER_M1, T0, a_card, follow, minute

FIRST = Split(SBER, date(2024, 1, 16), 10.0, T0)
SECOND = Split(SBER, date(2025, 3, 27), 1 / 5000, minute(1))
OTHER = Split(GAZP, date(2024, 5, 2), 2.0, T0)
LISTED = ListedSplit("SBER", date(2024, 1, 16), 10.0)


async def test_splits_come_back_by_security_and_day(storage: IStorage) -> None:
    await follow(storage, SBER_M1, GAZP_M1)
    async with storage.begin() as writer:
        await writer.splits.add([SECOND, OTHER, FIRST])

    async with storage.read() as reader:
        assert [split async for split in reader.splits] == [OTHER, FIRST, SECOND]
        assert [split async for split in reader.splits.filter_by_security(SBER)] == [FIRST, SECOND]
        assert await reader.splits.filter_by_security(SBER)[1:].count() == 1


async def test_a_split_of_the_same_day_replaces_the_one_before(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        await writer.splits.add([FIRST])
        await writer.splits.add([replace(FIRST, factor=20.0, seen_at=minute(5))])

        assert [split async for split in writer.splits] == [replace(FIRST, factor=20.0, seen_at=minute(5))]


async def test_splits_are_removed_by_security_and_day(storage: IStorage) -> None:
    await follow(storage, SBER_M1, GAZP_M1)
    async with storage.begin() as writer:
        await writer.splits.add([FIRST, SECOND, OTHER])
        await writer.splits.remove([FIRST, replace(OTHER, day=FIRST.day), replace(FIRST, security=SBER_M1.security)])

        assert [split async for split in writer.splits] == [OTHER, SECOND]
        await writer.splits.filter_by_security(GAZP).clear()
        assert [split async for split in writer.splits] == [SECOND]


async def test_a_split_needs_its_security_and_keeps_it(storage: IStorage) -> None:
    async with storage.begin() as writer:
        with pytest.raises(SecurityNotFoundError, match="TQBR:SBER"):
            await writer.splits.add([FIRST])
    async with storage.begin() as writer:
        await writer.securities.add([a_card(SBER)])
        await writer.splits.add([FIRST])
    with pytest.raises(StorageError):
        async with storage.begin() as writer:
            await writer.securities.remove([a_card(SBER)])

    async with storage.read() as reader:
        assert await reader.securities.count() == await reader.splits.count() == 1


async def test_listed_splits_need_no_security_and_are_found_by_ticker(storage: IStorage) -> None:
    listed = [replace(LISTED, ticker="FIXGMKN"), LISTED, replace(LISTED, day=date(2020, 1, 1))]
    async with storage.begin() as writer:
        await writer.listed_splits.add(listed)
        await writer.listed_splits.add([replace(LISTED, factor=7.0)])

    async with storage.read() as reader:
        assert [split async for split in reader.listed_splits] == [listed[0], listed[2], replace(LISTED, factor=7.0)]
        assert await reader.listed_splits.filter_by_ticker("SBER").count() == 2
