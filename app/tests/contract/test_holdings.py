"""What every store says of a series to whoever writes it."""

import asyncio
from dataclasses import replace
from datetime import date

import pytest

from app.core.corporate_actions import Split
from app.core.errors import SeriesNotFoundError
from app.core.spans import Period
from app.core.storage import Holdings, IStorage, read_holdings
from app.tests.builders import (
    GAZP,
    GAZP_M1,
    SBER,
    SBER_D1,
    SBER_M1,
    a_candle,
    a_page,
    a_quarantined_row,
    a_span,
    a_state,
    follow,
    minute,
)

PERIOD = Period(minute(5), minute(10))
SPLITS = [Split(SBER, date(2024, 1, day), factor, minute(day)) for day, factor in ((3, 0.1), (9, 1 / 3), (10, 10.0))]
REFUSED = [a_quarantined_row(6), replace(a_quarantined_row(90), raw='["€"]', seen_at=minute(7), attempts=3)]


@pytest.fixture
async def stored(storage: IStorage) -> IStorage:
    """Two series with the same of everything, of which one is asked."""
    await follow(storage, SBER_M1, GAZP_M1, SBER_D1)
    async with storage.begin() as uow:
        await uow.series.add([replace(a_state(version=7), as_of=minute(9), failure="it failed")])
        for series in (SBER_M1, GAZP_M1):
            await uow.candles.add([a_candle(n, series, close=0.7, is_final=n < 9) for n in range(20)])
            spans = ((0, 4), (4, 5), (6, 7), (10, 12), (14, 15))
            await uow.spans.add(a_span(*ends, series) for ends in spans)
            await uow.quarantine.add(replace(row, series=series) for row in REFUSED)
        for security in (SBER, GAZP):
            await uow.splits.add(replace(split, security=security) for split in SPLITS)
    return storage


async def test_it_is_what_matters_to_the_period(stored: IStorage) -> None:
    async with stored.begin() as writer:
        held = await writer.hold(SBER_M1, PERIOD)

    assert held == Holdings(
        replace(a_state(version=7), as_of=minute(9), failure="it failed"),
        [Period(minute(a), minute(b)) for a, b in ((0, 5), (6, 7), (10, 12))],
        held.candles,
        REFUSED,
        SPLITS,
    )
    assert [type(split.factor) for split in held.splits] == [float] * len(SPLITS)
    assert list(held.candles) == [a_candle(n, close=0.7, is_final=n < 9) for n in range(5, 10)]


@pytest.mark.parametrize("ends", [(5, 10), (5, 5), (0, 99), (12, 13), (-9, -5)])
async def test_it_is_what_the_repositories_tell(stored: IStorage, ends: tuple[int, int]) -> None:
    period = Period(minute(ends[0]), minute(ends[1]))
    async with stored.begin() as writer:
        for series in (SBER_M1, GAZP_M1, SBER_D1):
            assert await writer.hold(series, period) == await read_holdings(writer, series, period)


async def test_of_a_series_without_a_row_nothing_is_held(stored: IStorage) -> None:
    async with stored.begin() as writer:
        with pytest.raises(SeriesNotFoundError):
            await writer.hold(replace(GAZP_M1, timeframe=SBER_D1.timeframe), PERIOD)


async def test_who_waited_for_another_writer_is_told_what_that_one_wrote(storage: IStorage) -> None:
    await follow(storage, SBER_M1)

    async def append() -> None:
        async with storage.begin() as writer:
            held = await writer.hold(SBER_M1, Period(minute(0), minute(99)))
            await asyncio.sleep(0)
            number = len(held.candles)
            assert list(held.spans) == ([Period(minute(0), minute(number))] if number else [])
            await writer.candles.extend(a_page([number]))
            await writer.spans.add([a_span(number, number + 1)])

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(append())

    async with storage.read() as reader:
        assert list(await reader.candles.page(SBER_M1)) == [a_candle(n) for n in range(20)]
        assert [span async for span in reader.spans] == [a_span(0, 20)]
