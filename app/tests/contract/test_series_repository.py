"""What every repository of series owes the core."""

from dataclasses import replace

import pytest

from app.core.entities import Series, SeriesState, Timeframe
from app.core.errors import SecurityNotFoundError, SeriesNotFoundError, StorageError
from app.core.storage import IStorage, IUnitOfWork
from app.tests.builders import (
    GAZP_M1,
    SBER,
    SBER_D1,
    SBER_M1,
    a_candle,
    a_card,
    a_quarantined_row,
    a_revision,
    a_span,
    a_state,
    follow,
    minute,
)

FULL = SeriesState(
    SBER_M1,
    minute(0),
    minute(5),
    minute(6),
    version=2**40,
    history_version=3,
    first_candle=minute(1),
    failed_at=minute(7),
    failure="HTTP 503",
    reread_at=minute(8),
    stale_before=minute(2),
    checked_at=minute(9),
    failures=3,
    asked_at=minute(10),
    is_grown=True,
)


async def test_a_state_comes_back_as_it_was(storage: IStorage) -> None:
    empty = SeriesState(SBER_D1)
    async with storage.begin() as writer:
        await writer.securities.add([a_card(SBER)])
        await writer.series.add([FULL, empty])

    async with storage.read() as reader:
        assert await reader.series.get(SBER_M1) == FULL
        assert await reader.series.get(SBER_D1) == empty


async def test_states_are_ordered_by_security_then_interval(storage: IStorage) -> None:
    series = [GAZP_M1, *(Series(SBER, timeframe) for timeframe in sorted(Timeframe, key=lambda t: t.interval))]
    await follow(storage, *reversed(series))

    async with storage.read() as reader:
        assert [state.series async for state in reader.series] == series
        assert [state.series async for state in reader.series[1:3]] == series[1:3]


async def test_filters(storage: IStorage) -> None:
    await follow(storage, SBER_M1, SBER_D1, GAZP_M1)
    async with storage.begin() as writer:
        await writer.series.add([a_state(SBER_D1, followed_from=None)])

        assert [s.series async for s in writer.series.filter_by_security(SBER)] == [SBER_M1, SBER_D1]
        assert [s.series async for s in writer.series.filter_by_timeframe(Timeframe.M1)] == [GAZP_M1, SBER_M1]
        assert [s.series async for s in writer.series.filter_followed()] == [GAZP_M1, SBER_M1]
        assert await writer.series.filter_followed().filter_by_security(SBER).count() == 1
        await writer.series.add([replace(a_state(GAZP_M1), is_grown=True)])
        assert [s.series async for s in writer.series.filter_grown()] == [GAZP_M1]


async def test_add_replaces_the_whole_state(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        await writer.series.add([FULL])
        await writer.series.add([SeriesState(SBER_M1)])

        assert await writer.series.get(SBER_M1) == SeriesState(SBER_M1)
        assert await writer.series.count() == 1


async def test_a_series_needs_its_security(storage: IStorage) -> None:
    async with storage.begin() as writer:
        with pytest.raises(SecurityNotFoundError, match="TQBR:SBER"):
            await writer.series.add([a_state()])


async def test_an_unknown_series_is_named(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        with pytest.raises(SeriesNotFoundError, match="TQBR:SBER D1"):
            await writer.series.get(SBER_D1)
        with pytest.raises(SeriesNotFoundError, match="TQBR:SBER D1"):
            await writer.series.lock(SBER_D1)


async def test_lock_gives_the_state(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        assert await writer.series.lock(SBER_M1) == a_state()


async def test_what_was_cleared_can_be_added_again_at_once(storage: IStorage) -> None:
    await follow(storage, SBER_M1, SBER_D1)
    async with storage.begin() as writer:
        states = [await writer.series.lock(series) for series in (SBER_M1, SBER_D1)]
        await writer.series.clear()
        await writer.series.add(states)

    async with storage.read() as reader:
        assert [state async for state in reader.series] == states


async def test_a_removed_series_is_unknown_at_once(storage: IStorage) -> None:
    await follow(storage, SBER_M1, SBER_D1)
    async with storage.begin() as writer:
        await writer.candles.add([a_candle()])
        await writer.candles.clear()
        await writer.series.remove([a_state(), a_state(GAZP_M1)])

        assert [state.series async for state in writer.series] == [SBER_D1]
        with pytest.raises(SeriesNotFoundError):
            await writer.candles.add([a_candle()])


async def test_clear_removes_what_the_subset_stands_for(storage: IStorage) -> None:
    await follow(storage, SBER_M1, SBER_D1, GAZP_M1)
    async with storage.begin() as writer:
        await writer.series.filter_by_security(SBER).clear()

        assert [state.series async for state in writer.series] == [GAZP_M1]


async def _add_child(writer: IUnitOfWork, child: str) -> None:
    match child:
        case "candle":
            await writer.candles.add([a_candle()])
        case "span":
            await writer.spans.add([a_span(0, 1)])
        case "revision":
            await writer.revisions.add([a_revision()])
        case _:
            await writer.quarantine.add([a_quarantined_row()])


@pytest.mark.parametrize("child", ["candle", "span", "revision", "quarantined row"])
async def test_a_series_with_anything_below_it_stays(storage: IStorage, child: str) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        await _add_child(writer, child)

    async def remove() -> None:
        async with storage.begin() as writer:
            await writer.series.remove([a_state()])

    with pytest.raises(StorageError):
        await remove()

    async with storage.read() as reader:
        assert await reader.series.count() == 1


async def test_states_of_several_securities_are_found(storage: IStorage) -> None:
    await follow(storage, SBER_M1, SBER_D1, GAZP_M1)

    async with storage.read() as reader:
        assert [state.series async for state in reader.series.filter_by_securities([SBER])] == [SBER_M1, SBER_D1]
        both = reader.series.filter_by_securities([SBER, GAZP_M1.security]).filter_by_timeframe(Timeframe.M1)
        assert [state.series async for state in both] == [GAZP_M1, SBER_M1]
        assert await reader.series.filter_by_securities([]).count() == 0
