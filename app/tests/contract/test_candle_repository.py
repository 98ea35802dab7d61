"""What every candle repository owes the core."""

import math
from dataclasses import replace

import pytest

from app.core.date_time import Timestamp
from app.core.entities import Candle, Series, Timeframe
from app.core.errors import StorageError
from app.core.pages import CandlePage
from app.core.repository import ICandleRepository
from app.core.storage import IStorage
from app.tests.builders import GAZP_M1, SBER, SBER_D1, SBER_M1, a_candle, a_page, follow, minute

WINDOWS = [slice(2, 5), slice(None, 3), slice(8, None), slice(50, 60), slice(3, 3), slice(5, 2), slice(None)]


@pytest.fixture
async def stored(storage: IStorage) -> IStorage:
    """Ten minutes of SBER, three of GAZP, one day of SBER."""
    await follow(storage, SBER_M1, GAZP_M1, SBER_D1)
    async with storage.begin() as writer:
        await writer.candles.add([a_candle(n) for n in reversed(range(10))])
        await writer.candles.add([a_candle(n, GAZP_M1) for n in range(3)])
        await writer.candles.add([a_candle(0, SBER_D1)])
    return storage


async def listed(candles: ICandleRepository) -> list[Candle]:
    return [candle async for candle in candles]


async def test_iterates_by_series_then_time_and_can_be_iterated_again(stored: IStorage) -> None:
    gazp, minutes = [a_candle(n, GAZP_M1) for n in range(3)], [a_candle(n) for n in range(10)]
    async with stored.read() as reader:
        assert await listed(reader.candles) == [*gazp, *minutes, a_candle(0, SBER_D1)]
        assert await listed(reader.candles.filter_by_series(SBER_M1)) == minutes
        assert await listed(reader.candles.filter_by_series(SBER_M1)) == minutes


async def test_a_filter_leaves_the_original_untouched(stored: IStorage) -> None:
    async with stored.read() as reader:
        candles = reader.candles
        candles.filter_by_series(GAZP_M1)

        assert await candles.count() == 14


async def test_two_series_at_once_are_none(stored: IStorage) -> None:
    async with stored.read() as reader:
        nothing = reader.candles.filter_by_series(SBER_M1).filter_by_series(GAZP_M1)

        assert await nothing.count() == 0
        assert await listed(nothing) == []
        assert not await nothing.page(SBER_M1)


async def test_a_series_without_a_row_holds_nothing(stored: IStorage) -> None:
    unknown = Series(SBER, Timeframe.H1)
    async with stored.read() as reader:
        assert await reader.candles.filter_by_series(unknown).count() == 0
        assert not await reader.candles.page(unknown)


@pytest.mark.parametrize("window", WINDOWS)
async def test_slices_as_a_list_does(stored: IStorage, window: slice) -> None:
    async with stored.read() as reader:
        sber = reader.candles.filter_by_series(SBER_M1)
        everything = await listed(sber)

        assert await listed(sber[window]) == everything[window]
        assert await sber[window].count() == len(everything[window])
        assert await listed(sber[1:9][window]) == everything[1:9][window]
        assert list(await sber[window].page(SBER_M1)) == everything[window]


@pytest.mark.parametrize("window", WINDOWS)
async def test_slices_of_the_newest_count_from_the_end(stored: IStorage, window: slice) -> None:
    async with stored.read() as reader:
        newest = reader.candles.filter_by_series(SBER_M1).newest_first()
        everything = [a_candle(n) for n in reversed(range(10))]

        assert await listed(newest[window]) == everything[window]
        assert list(await newest[window].page(SBER_M1)) == everything[window][::-1]


async def test_the_newest_of_all_series_come_first(stored: IStorage) -> None:
    async with stored.read() as reader:
        newest = await listed(reader.candles.newest_first())

    assert newest[:7] == [a_candle(n) for n in range(9, 2, -1)]
    assert newest[7:9] == [a_candle(2, GAZP_M1), a_candle(2)]


@pytest.mark.parametrize("window", [slice(None, None, 2), slice(-1, None), slice(None, -1)])
async def test_steps_and_negative_ends_are_refused(stored: IStorage, window: slice) -> None:
    async with stored.read() as reader:
        with pytest.raises(ValueError, match="forward"):
            reader.candles[window]


async def test_a_slice_is_neither_filtered_nor_turned_nor_cleared(stored: IStorage) -> None:
    async with stored.begin() as writer:
        few = writer.candles[:5]
        with pytest.raises(TypeError, match="filter first, slice last"):
            few.filter_by_series(SBER_M1)
        with pytest.raises(TypeError, match="filter first, slice last"):
            few.filter_by_timestamp_gte(minute(1))
        with pytest.raises(TypeError, match="filter first, slice last"):
            few.newest_first()
        with pytest.raises(TypeError, match="filter first, slice last"):
            await few.clear()


async def test_the_range_of_time_is_half_open(stored: IStorage) -> None:
    async with stored.read() as reader:
        some = (
            reader.candles.filter_by_timestamp_gte(minute(2))
            .filter_by_timestamp_lt(minute(4))
            .filter_by_series(SBER_M1)
        )

        assert await listed(some) == [a_candle(2), a_candle(3)]
        assert await some.page(SBER_M1) == a_page([2, 3])


async def test_forming_and_final_bars_are_told_apart(stored: IStorage) -> None:
    forming = a_candle(10, is_final=False)
    async with stored.begin() as writer:
        await writer.candles.add([forming])
        sber = writer.candles.filter_by_series(SBER_M1)

        assert await listed(sber.filter_by_final(False)) == [forming]  # noqa: FBT003
        assert await sber.filter_by_final(True).count() == 10  # noqa: FBT003
        assert await sber.filter_by_final(False).page(SBER_M1) == a_page([10], is_final=False)  # noqa: FBT003


async def test_add_replaces_the_candle_with_the_same_key(stored: IStorage) -> None:
    async with stored.begin() as writer:
        await writer.candles.add([a_candle(0, close=7.0), a_candle(0, close=9.0), a_candle(10)])
        sber = writer.candles.filter_by_series(SBER_M1)

        assert await sber.count() == 11
        assert await listed(sber[:1]) == [a_candle(0, close=9.0)]


async def test_add_takes_a_page_and_more_rows_than_a_statement_has_parameters(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    page = a_page(range(5_001))
    async with storage.begin() as writer:
        await writer.candles.add(page)
        await writer.candles.add(page)

        assert await writer.candles.page(SBER_M1) == page


async def test_remove_forgets_these_keys_and_no_others(stored: IStorage) -> None:
    unknown = Series(SBER, Timeframe.H1)
    async with stored.begin() as writer:
        await writer.candles.remove([a_candle(0, close=9.0), a_candle(1), a_candle(77), a_candle(0, unknown)])

        assert await listed(writer.candles.filter_by_series(SBER_M1)) == [a_candle(n) for n in range(2, 10)]
        assert await writer.candles.count() == 12


async def test_clear_removes_what_the_subset_stands_for(stored: IStorage) -> None:
    async with stored.begin() as writer:
        await writer.candles.filter_by_series(SBER_M1).filter_by_timestamp_gte(minute(4)).clear()

        assert await writer.candles.page(SBER_M1) == a_page(range(4))
        assert await writer.candles.count() == 8


async def test_two_iterations_at_once_do_not_disturb_each_other(stored: IStorage) -> None:
    async with stored.read() as reader:
        sber = reader.candles.filter_by_series(SBER_M1)
        pairs = [(a, b) async for a in sber[:3] async for b in sber[:2]]

    assert len(pairs) == 6


async def test_an_iteration_left_early_leaves_nothing_behind(stored: IStorage) -> None:
    async with stored.begin() as writer:
        async for candle in writer.candles.filter_by_series(SBER_M1):
            assert candle == a_candle(0)
            break
        await writer.candles.remove([a_candle(0)])

    async with stored.read() as reader:
        assert await reader.candles.filter_by_series(SBER_M1).count() == 9


async def test_extend_fills_a_gap_and_page_gives_the_columns_back(stored: IStorage) -> None:
    page = CandlePage.join(SBER_M1, [a_page(range(20, 25)), a_page([25], is_final=False)])
    async with stored.begin() as writer:
        await writer.candles.extend(page)
        await writer.candles.extend(a_page([]))

    async with stored.read() as reader:
        assert await reader.candles.filter_by_timestamp_gte(minute(20)).page(SBER_M1) == page
        assert await reader.candles.page(SBER_M1) == CandlePage.join(SBER_M1, [a_page(range(10)), page])


async def test_extend_refuses_a_candle_that_is_stored(stored: IStorage) -> None:
    async def extend_twice() -> None:
        async with stored.begin() as writer:
            await writer.candles.extend(a_page([9, 10]))

    with pytest.raises(StorageError):
        await extend_twice()

    async with stored.read() as reader:
        assert await reader.candles.filter_by_series(SBER_M1).count() == 10


@pytest.mark.parametrize("write", ["add", "extend"])
async def test_numbers_come_back_bit_by_bit(storage: IStorage, write: str) -> None:
    await follow(storage, SBER_M1)
    odd = [5e-324, -5e-324, 1.7976931348623157e308, -1.7976931348623157e308, 599770205.4000001, 0.1 + 0.2, -37.63]
    page = CandlePage.from_rows(
        SBER_M1, [(60 * n, x, x, x, x, abs(x), x, n % 2) for n, x in enumerate([*odd, math.nextafter(1, 2)])]
    )
    async with storage.begin() as writer:
        await getattr(writer.candles, write)(page)

    async with storage.read() as reader:
        found = await reader.candles.page(SBER_M1)
        assert found == page
        assert [column.tobytes() for column in found.prices] == [column.tobytes() for column in page.prices]
        assert await listed(reader.candles) == list(page)


@pytest.mark.parametrize("write", ["add", "extend"])
async def test_the_first_and_the_last_moments_come_back(storage: IStorage, write: str) -> None:
    await follow(storage, SBER_M1)
    moments = [Timestamp.from_unix(-1), Timestamp.from_unix(0), Timestamp.from_unix(946_684_799), minute(0)]
    page = CandlePage.from_candles(SBER_M1, [replace(a_candle(), timestamp=moment) for moment in moments])
    async with storage.begin() as writer:
        await getattr(writer.candles, write)(page)

    async with storage.read() as reader:
        assert await reader.candles.page(SBER_M1) == page
        assert [candle.timestamp async for candle in reader.candles] == moments


async def test_a_slice_over_all_series_pages_only_the_asked_one(stored: IStorage) -> None:
    async with stored.read() as reader:
        assert await reader.candles[2:5].page(SBER_M1) == a_page([0, 1])


@pytest.mark.parametrize(("first", "last"), [(-7, 9), (10_951, 10_962), (10_957, 10_958), (4, 5)])
async def test_candles_of_any_year_come_back(storage: IStorage, first: int, last: int) -> None:
    """Days since 1970; PostgreSQL counts from the first of 2000, the 10,957th."""
    await follow(storage, SBER_D1)
    page = CandlePage.from_rows(SBER_D1, ((day * 86_400, 1, 2, 1, 2, 3, 4, 1) for day in range(first, last)))
    async with storage.begin() as writer:
        await writer.candles.extend(page)

    async with storage.read() as reader:
        assert await reader.candles.page(SBER_D1) == page
