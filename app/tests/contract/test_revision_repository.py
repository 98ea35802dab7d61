"""What every repository of superseded and of refused rows owes the core."""

from dataclasses import replace

from app.core.entities import CandleRevision
from app.core.storage import IStorage
from app.tests.builders import (
    GAZP_M1,
    SBER_M1,
    a_candle,
    a_page,
    a_quarantined_row,
    a_revision,
    follow,
    minute,
)


async def test_revisions_of_each_candle_count_from_one(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        await writer.revisions.supersede(a_page([0, 1]), reason="changed", superseded_at=minute(60))
        await writer.revisions.supersede(a_page([1, 2], close=1.75), reason="split", superseded_at=minute(61))
        await writer.revisions.supersede(a_page([]), reason="nothing", superseded_at=minute(62))

        assert [revision async for revision in writer.revisions] == [
            a_revision(0),
            a_revision(1),
            CandleRevision(a_candle(1, close=1.75), 2, "split", minute(61)),
            CandleRevision(a_candle(2, close=1.75), 1, "split", minute(61)),
        ]


async def test_revisions_of_series_are_counted_apart(storage: IStorage) -> None:
    await follow(storage, SBER_M1, GAZP_M1)
    async with storage.begin() as writer:
        await writer.revisions.supersede(a_page([0]), reason="changed", superseded_at=minute(60))
        await writer.revisions.supersede(a_page([0], GAZP_M1), reason="changed", superseded_at=minute(60))

        assert [r async for r in writer.revisions] == [a_revision(0, series=GAZP_M1), a_revision(0)]
        assert [r async for r in writer.revisions.filter_by_series(SBER_M1)] == [a_revision(0)]


async def test_revisions_are_added_replaced_and_removed_by_their_number(storage: IStorage) -> None:
    await follow(storage, SBER_M1, GAZP_M1)
    async with storage.begin() as writer:
        await writer.revisions.add([a_revision(0, 2), a_revision(0, 1), a_revision(1, 1)])
        await writer.revisions.add([a_revision(0, 2, close=1.25)])
        await writer.revisions.remove([a_revision(0, 1), a_revision(5, 1), a_revision(1, 9)])

        assert [r async for r in writer.revisions] == [a_revision(0, 2, close=1.25), a_revision(1, 1)]
        assert await writer.revisions[1:].count() == 1

        await writer.revisions.filter_by_series(SBER_M1).clear()

        assert await writer.revisions.count() == 0


async def test_a_refused_row_comes_back_as_it_was_and_is_replaced(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    again = replace(a_quarantined_row(0), raw='["ё\\u0000", null]', seen_at=minute(5), attempts=2)
    async with storage.begin() as writer:
        await writer.quarantine.add([a_quarantined_row(1), a_quarantined_row(0)])
        await writer.quarantine.add([again])

        assert [row async for row in writer.quarantine] == [again, a_quarantined_row(1)]


async def test_refused_rows_are_removed_by_their_slot(storage: IStorage) -> None:
    await follow(storage, SBER_M1, GAZP_M1)
    async with storage.begin() as writer:
        await writer.quarantine.add([a_quarantined_row(0), a_quarantined_row(1), a_quarantined_row(0, GAZP_M1)])
        await writer.quarantine.remove([a_quarantined_row(0, reason="other"), a_quarantined_row(9)])

        assert [row async for row in writer.quarantine.filter_by_series(SBER_M1)] == [a_quarantined_row(1)]
        assert await writer.quarantine.count() == 2

        await writer.quarantine.filter_by_series(GAZP_M1).clear()

        assert await writer.quarantine.count() == 1
