"""Every check is seen to fail: each test breaks one promise and finds it named."""

import math
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.core.entities import Candle, CandleSpan, SeriesState
from app.core.reconciliation import WITHDRAWN
from app.core.storage import IStorage, IUnitOfWork
from app.repository.memory import MemoryStorage
from app.repository.sql import SqlStorage
from app.tests.builders import (
    SBER_M1,
    T0,
    a_candle,
    a_card,
    a_page,
    a_quarantined_row,
    a_revision,
    a_span,
    minute,
)
from app.use_cases import verify as module
from app.use_cases.verify import verify

SECOND = timedelta(seconds=1)
STATE = SeriesState(SBER_M1, T0, watermark=minute(10), as_of=minute(20), version=5, history_version=3)


async def a_sound_store(storage: IStorage) -> IStorage:
    """Ten minutes covered, one of them without a trade and one revised, an eleventh forming."""
    async with storage.begin() as uow:
        await uow.securities.add([a_card()])
        await uow.series.add([STATE])
        await uow.candles.extend(a_page([0, 1, 2, 3, 4, 6, 7, 8, 9]))
        await uow.candles.add([a_candle(10, is_final=False)])
        await uow.spans.add([a_span(0, 10)])
        await uow.revisions.add([a_revision(3, 1, close=1.25)])
    return storage


def state(**changes: object) -> Callable[[IUnitOfWork], Awaitable[None]]:
    async def plant(uow: IUnitOfWork) -> None:
        await uow.series.add([replace(STATE, **changes)])  # type: ignore[arg-type]  # by name

    return plant


def candle(n: int, **changes: object) -> Callable[[IUnitOfWork], Awaitable[None]]:
    async def plant(uow: IUnitOfWork) -> None:
        changed: Candle = replace(a_candle(n), **changes)  # type: ignore[arg-type]  # by name
        await uow.candles.add([changed])

    return plant


def span(late_from: timedelta, n_from: int, n_till: int) -> Callable[[IUnitOfWork], Awaitable[None]]:
    async def plant(uow: IUnitOfWork) -> None:
        moved: CandleSpan = replace(a_span(n_from, n_till), time_from=minute(n_from) + late_from)
        await uow.spans.add([moved])

    return plant


def revisions(*numbers: int, n: int = 3) -> Callable[[IUnitOfWork], Awaitable[None]]:
    async def plant(uow: IUnitOfWork) -> None:
        await uow.revisions.clear()
        await uow.revisions.add([a_revision(n, number, close=1 + number / 10) for number in numbers])

    return plant


async def _quarantine_a_covered_slot(uow: IUnitOfWork) -> None:
    await uow.quarantine.add([a_quarantined_row(5)])


async def _record_a_change_that_was_none(uow: IUnitOfWork) -> None:
    await uow.revisions.add([a_revision(3, 2)])


PORTS: Sequence[tuple[str, str, Callable[[IUnitOfWork], Awaitable[None]]]] = (
    ("I1", "a span is not aligned", span(SECOND, -5, -3)),
    ("I1", "followed_from is not aligned", state(followed_from=T0 + SECOND)),
    ("I1", "watermark is not aligned", state(watermark=minute(10) + SECOND)),
    ("I3", "a span without any committed answer", state(as_of=None, watermark=None)),
    ("I4", "a span reaches beyond the watermark", state(watermark=minute(9))),
    ("I4", "a forming candle is covered", candle(5, is_final=False)),
    ("I5", "revisions are not numbered", revisions(1, 3)),
    ("I5", "neither stored nor withdrawn", revisions(1, n=5)),
    ("I6", "a candle is not aligned", candle(5, timestamp=minute(5) + SECOND)),
    ("I6", "two candles share a beginning", candle(5, timestamp=minute(4) + SECOND / 2)),
    ("I6", "at or after the watermark is final", candle(10)),
    ("I8", "not finite", candle(5, value=math.inf)),
    ("I8", "not finite", candle(5, close=math.nan)),
    ("I8", "its volume is negative", candle(5, volume=-1.0)),
    ("I8", "not between its low and its high", candle(5, open=3.0)),
    ("I8", "quarantined row is covered", _quarantine_a_covered_slot),
    ("I9", "changed nothing", _record_a_change_that_was_none),
    ("I15", "the watermark is later", state(as_of=minute(9))),
    ("I16", "history_version", state(history_version=6)),
    ("I16", "history_version", state(history_version=-1)),
)


async def test_a_sound_store_keeps_every_promise(storage: IStorage) -> None:
    assert await verify(await a_sound_store(storage)) == []


async def test_an_empty_store_keeps_every_promise(storage: IStorage) -> None:
    assert await verify(storage) == []


@pytest.mark.parametrize(("invariant", "what", "plant"), PORTS)
async def test_a_broken_promise_is_named(
    invariant: str, what: str, plant: Callable[[IUnitOfWork], Awaitable[None]]
) -> None:
    storage = await a_sound_store(MemoryStorage())
    async with storage.begin() as uow:
        await plant(uow)

    violations = await verify(storage)

    assert [v.series for v in violations if v.invariant == invariant and what in v.what] == [SBER_M1]


@pytest.mark.parametrize(
    ("invariant", "what", "n_from", "n_till"),
    [
        ("I1", "a span is empty", 12, 12),
        ("I2", "overlap, touch", 5, 8),
        ("I2", "overlap, touch", 10, 12),
        ("I10", "do not add up", 5, 8),
    ],
)
async def test_what_the_ports_refuse_is_found_as_well(
    invariant: str, what: str, n_from: int, n_till: int, sqlite_url: str
) -> None:
    storage = SqlStorage.open(sqlite_url)
    await a_sound_store(storage)
    _insert_span(sqlite_url, minute(n_from).microseconds, minute(n_till).microseconds)

    violations = await verify(storage)

    await storage.close()
    assert [v.series for v in violations if v.invariant == invariant and what in v.what] == [SBER_M1]


async def test_a_withdrawn_candle_may_keep_its_revisions() -> None:
    storage = await a_sound_store(MemoryStorage())
    async with storage.begin() as uow:
        await uow.revisions.add([replace(a_revision(5), reason=WITHDRAWN)])

    assert await verify(storage) == []


async def test_many_violations_of_a_kind_are_one_with_the_first_place_and_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PAGE_ROWS", 2)
    storage = await a_sound_store(MemoryStorage())
    async with storage.begin() as uow:
        await uow.candles.add([a_candle(n, is_final=False) for n in (2, 4, 7)])

    (violation,) = await verify(storage)

    assert (violation.invariant, violation.where, violation.times) == ("I4", minute(2), 3)


@pytest.mark.parametrize("rows", [1, 2, 3])
async def test_the_size_of_a_page_changes_nothing(
    rows: int, storage: IStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_ROWS", rows)
    monkeypatch.setattr(module, "_BATCH", 1)
    await a_sound_store(storage)
    async with storage.begin() as uow:
        await uow.revisions.add([a_revision(7, close=1.25), a_revision(8, close=1.25)])

    assert await verify(storage) == []


def _insert_span(url: str, time_from: int, time_till: int) -> None:
    with sqlite3.connect(Path(url.partition("///")[2])) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("INSERT INTO candle_span SELECT id, ?, ? FROM series", (time_from, time_till))
    connection.close()
