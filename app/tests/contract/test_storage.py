"""What every store owes the core as a whole."""

import asyncio
from contextlib import suppress
from typing import Protocol

import pytest

from app.core.errors import SeriesNotFoundError, SourceMismatchError, StorageError
from app.core.spans import Period
from app.core.storage import IStorage, IUnitOfWork
from app.tests.builders import (
    SBER_M1,
    a_candle,
    a_card,
    a_page,
    a_quarantined_row,
    a_revision,
    a_span,
    a_state,
    follow,
    minute,
)


async def test_leaving_commits(storage: IStorage) -> None:
    await follow(storage, SBER_M1)

    async with storage.read() as reader:
        assert [state.series async for state in reader.series] == [SBER_M1]


async def test_an_exception_rolls_everything_back(storage: IStorage) -> None:
    await follow(storage, SBER_M1)

    async def fail() -> None:
        async with storage.begin() as writer:
            await writer.candles.add([a_candle()])
            await writer.series.add([a_state(version=7)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()

    async with storage.read() as reader:
        assert await reader.candles.count() == 0
        assert await reader.series.get(SBER_M1) == a_state()


async def test_a_reader_keeps_its_snapshot(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    async with storage.read() as reader:
        before = await reader.candles.count()
        async with storage.begin() as writer:
            await writer.candles.add([a_candle()])
        during = await reader.candles.count()
    async with storage.read() as reader:
        after = await reader.candles.count()

    assert (before, during, after) == (0, 0, 1)


async def test_a_writer_reads_its_own_writes(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        await writer.candles.extend(a_page(range(3)))

        assert await writer.candles.count() == 3


async def test_writers_of_one_series_take_turns(storage: IStorage) -> None:
    await follow(storage, SBER_M1)

    async def count_up() -> None:
        async with storage.begin() as writer:
            state = await writer.series.lock(SBER_M1)
            await asyncio.sleep(0)
            await writer.series.add([a_state(version=state.version + 1)])

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(count_up())

    async with storage.read() as reader:
        assert (await reader.series.get(SBER_M1)).version == 20


async def test_a_swallowed_error_does_not_commit_half(storage: IStorage) -> None:
    await follow(storage, SBER_M1)

    async def swallow() -> None:
        async with storage.begin() as writer:
            await writer.candles.extend(a_page([0, 1]))
            with suppress(StorageError):
                await writer.candles.extend(a_page([1]))

    with pytest.raises(StorageError):
        await swallow()

    async with storage.read() as reader:
        assert await reader.candles.count() == 0


@pytest.mark.parametrize(
    "write",
    [
        lambda reader: reader.securities.add([a_card()]),
        lambda reader: reader.securities.clear(),
        lambda reader: reader.series.add([a_state()]),
        lambda reader: reader.series.lock(SBER_M1),
        lambda reader: reader.hold(SBER_M1, Period(minute(0), minute(1))),
        lambda reader: reader.candles.add([a_candle()]),
        lambda reader: reader.candles.extend(a_page([1])),
        lambda reader: reader.candles.remove([a_candle()]),
        lambda reader: reader.spans.add([a_span(0, 1)]),
        lambda reader: reader.spans.remove([a_span(0, 1)]),
        lambda reader: reader.revisions.add([a_revision()]),
        lambda reader: reader.revisions.supersede(a_page([0]), reason="changed", superseded_at=minute(9)),
        lambda reader: reader.quarantine.add([a_quarantined_row()]),
        lambda reader: reader.claim_source("moex"),
    ],
)
async def test_a_reader_cannot_write(storage: IStorage, write: "Write") -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        await writer.candles.add([a_candle()])
        await writer.spans.add([a_span(0, 1)])

    async with storage.read() as reader:
        with pytest.raises(StorageError, match="only reads"):
            await write(reader)


@pytest.mark.parametrize(
    "write",
    [
        lambda writer: writer.candles.add([a_candle()]),
        lambda writer: writer.candles.extend(a_page([0])),
        lambda writer: writer.spans.add([a_span(0, 1)]),
        lambda writer: writer.revisions.add([a_revision()]),
        lambda writer: writer.revisions.supersede(a_page([0]), reason="changed", superseded_at=minute(9)),
        lambda writer: writer.quarantine.add([a_quarantined_row()]),
    ],
)
async def test_nothing_hangs_below_a_series_without_a_row(storage: IStorage, write: "Write") -> None:
    async with storage.begin() as writer:
        with pytest.raises(SeriesNotFoundError, match="TQBR:SBER M1"):
            await write(writer)


async def test_the_first_source_claims_the_store(storage: IStorage) -> None:
    async with storage.begin() as writer:
        await writer.claim_source("https://iss.moex.com")
        await writer.claim_source("https://iss.moex.com")

    await storage.check("https://iss.moex.com")
    way_out = r"https://iss\.moex\.com.*http://localhost.*DATABASE_URL.*ISS_URL.*SOURCE_NAME=https://iss\.moex\.com if"
    with pytest.raises(SourceMismatchError, match=way_out):
        await storage.check("http://localhost")
    async with storage.begin() as writer:
        with pytest.raises(SourceMismatchError):
            await writer.claim_source("http://localhost")


async def test_a_store_that_nobody_filled_suits_every_source(storage: IStorage) -> None:
    await storage.check("http://localhost")


def test_it_says_how_much_to_write_at_once(storage: IStorage) -> None:
    assert 1_000 <= storage.batch_rows <= 50_000


class Write(Protocol):
    """Something that writes through a unit of work."""

    async def __call__(self, unit_of_work: IUnitOfWork) -> object: ...


async def test_a_lease_has_one_holder_until_it_runs_out_or_is_given_back(storage: IStorage) -> None:
    assert await storage.lead("schedule", "a", seconds=60)
    assert await storage.lead("schedule", "a", seconds=60)
    assert not await storage.lead("schedule", "b", seconds=60)
    assert await storage.lead("another", "b", seconds=60)

    assert await storage.lead("schedule", "a", seconds=0)
    assert await storage.lead("schedule", "b", seconds=60)
    assert not await storage.lead("schedule", "a", seconds=60)


async def test_of_many_who_want_a_lease_at_once_one_gets_it(storage: IStorage) -> None:
    names = [str(number) for number in range(5)]

    got = await asyncio.gather(*(storage.lead("schedule", name, seconds=60) for name in names))

    assert sorted(got) == [False] * 4 + [True]
