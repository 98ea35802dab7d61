"""Answers cut from blocks that are kept: the same as those written anew, never stale, never mixed, within bounds."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, timedelta
from itertools import combinations
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.answers.blocks import Block, Blocks
from app.answers.writing import Form, Writing
from app.core.entities import Series, Timeframe
from app.core.pages import CandlePage
from app.core.spans import Period
from app.core.storage import IStorage, SeriesView
from app.repository.memory import MemoryStorage
from app.repository.sql import SqlStorage
from app.tests.builders import SBER, SBER_M1, T0, a_page, a_state, minute
from app.tests.conftest import run_apart
from app.tests.io.rest_client import Answer, Client, a_client, store

PATH = "/v1/candles"
DAY = 24 * 60
DAYS = [n * DAY for n in range(5)]
STORED = [day + n for day in DAYS for n in range(0, 200, 3)]
"""Five days of every third minute from ten o'clock on; T0 is ten o'clock."""
COVERED = (minute(0), minute(4 * DAY + 100))
"""From the first candle into the fifth day, whose first hours only are whole."""
QUERY = {"security": "TQBR:SBER", "timeframe": "M1"}


def whole(day: int) -> dict[str, Any]:
    """Ask for a Moscow day."""
    return {**QUERY, "from": minute(day * DAY - 600).unix, "till": minute((day + 1) * DAY - 600).unix}


async def filled(storage: IStorage) -> IStorage:
    await store(storage, a_page(STORED), COVERED, followed_from=T0)
    return storage


def keeping(client: Client, megabytes: float = 1) -> Client:
    """Let it keep so much."""
    client.app.state.kept = replace(client.app.state.kept, blocks=Blocks(int(megabytes * 2**20)))
    return client


def kept(client: Client) -> dict[tuple[Any, int], Any]:
    return {key: block for key, block in client.app.state.kept.blocks._blocks.items() if block is not None}


def content(answer: Answer) -> tuple[int, bytes, dict[str, str]]:
    return answer.status, answer.body, {k: v for k, v in answer.headers.items() if k != "x-request-id"}


async def correct(storage: IStorage, *minutes: int, close: float, version: int) -> None:
    """Change covered candles as a writer does."""
    async with storage.begin() as uow:
        await uow.candles.add(a_page(minutes, close=close))
        watermark = COVERED[1]
        state = await uow.series.get(SBER_M1)
        await uow.series.add([type(state)(SBER_M1, T0, watermark, version=version, history_version=version)])


queries = st.fixed_dictionaries(
    {
        "from": st.integers(-50, 4 * DAY + 100).map(lambda n: minute(max(n, 0)).unix),
        "timeframe": st.sampled_from(["M1", "M1", "M5", "M15", "H4"]),
        "limit": st.one_of(st.integers(1, 30), st.integers(1, 10_000)),
        "order": st.sampled_from(["asc", "desc"]),
        "tz": st.sampled_from(["UTC", "Europe/Moscow", "Asia/Kathmandu", "America/New_York"]),
        "shape": st.sampled_from(["objects", "columns"]),
        "format": st.sampled_from(["json", "csv"]),
    }
)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(queries, st.integers(0, 4 * DAY + 200), st.booleans(), st.booleans()), max_size=12))
def test_what_is_cut_equals_what_is_written_anew(wishes: list[tuple[dict[str, Any], int, bool, bool]]) -> None:
    """Every window twice, so that the second is cut; now and then a covered candle is corrected before."""

    async def check() -> None:
        storage = await filled(MemoryStorage())
        keeps, anew = keeping(a_client(storage)), keeping(a_client(storage), 0)
        for number, (query, length, is_corrected, is_last) in enumerate(wishes):
            if is_corrected:
                await correct(storage, 3 * number, close=1.0 + number / 16, version=100 + number)
            asked = {"security": "TQBR:SBER", **query, "till": min(query["from"] + 60 * length, COVERED[1].unix)}
            if asked["till"] < asked["from"]:
                continue
            if is_last:
                asked["last"] = asked.pop("limit")
                del asked["order"]
            expected = content(await anew.get(PATH, asked))
            assert [content(await keeps.get(PATH, asked)) for _ in range(3)] == [expected] * 3
        assert not kept(anew)

    run_apart(check())


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 7, 66, 67, 68, 200])
async def test_pages_that_are_cut_put_together_equal_one_big_answer(storage: IStorage, order: str, limit: int) -> None:
    client = keeping(a_client(await filled(storage)))
    asked = {**QUERY, "from": minute(10).unix, "till": minute(3 * DAY + 50).unix, "order": order}
    expected = (await keeping(a_client(storage), 0).get(PATH, {**asked, "limit": 10_000})).json["candles"]

    for _ in range(2):
        candles, cursor = [], ""
        while cursor is not None:
            page = (await client.get(PATH, {**asked, "limit": limit, **({"cursor": cursor} if cursor else {})})).json
            candles += page["candles"]
            cursor = page["next_cursor"]
        assert candles == expected

    assert kept(client)


async def test_whole_covered_days_are_kept_and_nothing_else(storage: IStorage) -> None:
    client = keeping(a_client(await filled(storage)))

    for day in range(-1, 7):
        for _ in range(3):
            await client.get(PATH, whole(day))
            await client.get(PATH, {**whole(day), "from": minute(day * DAY).unix, "till": minute(day * DAY + 90).unix})

    midnight = T0.moscow.date().toordinal()
    assert {number - midnight for _, number in kept(client)} == {1, 2, 3}


async def test_what_is_asked_for_once_is_not_kept() -> None:
    client = keeping(a_client(await filled(MemoryStorage())))

    for day in range(1, 4):
        await client.get(PATH, whole(day))

    assert not kept(client)


@pytest.fixture
async def other(storage: IStorage) -> AsyncIterator[IStorage]:
    """The same store as another process has it: with connections of its own."""
    if not isinstance(storage, SqlStorage):
        yield storage
        return
    opened = SqlStorage.open(storage._writer.url.render_as_string(hide_password=False))
    yield opened
    await opened.close()


async def test_a_correction_by_another_process_is_in_the_very_next_answer(storage: IStorage, other: IStorage) -> None:
    client = keeping(a_client(await filled(storage)))
    for _ in range(3):
        before = await client.get(PATH, whole(1))
    assert kept(client)

    closes, tags = [], {before.headers["etag"]}
    for version in range(50, 60):
        await correct(other, DAY + 3, close=1.0 + version / 64, version=version)
        answer = await client.get(PATH, whole(1))
        closes.append((answer.json["version"], answer.json["candles"][1]["close"]))
        tags.add(answer.headers["etag"])

    assert closes == [(version, 1.0 + version / 64) for version in range(50, 60)]
    assert len(tags) == 11


class Meddling:
    """A store in which, after each look at the series, somebody corrects it, some times."""

    def __init__(self, store: IStorage, times: int) -> None:
        self.store, self.left, self.reads = store, times, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    async def view(self, series: Series, period: Period) -> SeriesView:
        view = await self.store.view(series, period)
        if self.left:
            self.left -= 1
            version = 200 - self.left
            await correct(self.store, DAY, DAY + 3, 2 * DAY, close=1.0 + version / 256, version=version)
        return view

    async def view_candles(
        self, series: Series, period: Period, window: Period, *, limit: int, newest_first: bool = False
    ) -> tuple[SeriesView, CandlePage]:
        self.reads += 1
        await asyncio.sleep(0)
        return await self.store.view_candles(series, period, window, limit=limit, newest_first=newest_first)


@pytest.mark.parametrize("times", [1, 2, 3, 5])
@pytest.mark.parametrize("days", [(), (1,), (1, 2)])
async def test_an_answer_is_of_one_version_even_if_it_is_corrected_on_the_way(
    storage: IStorage, times: int, days: tuple[int, ...]
) -> None:
    """Some of its days are kept, others have to be read."""
    meddling = Meddling(await filled(storage), 0)
    client = keeping(a_client(cast("IStorage", meddling)))
    for day in days * 3:
        await client.get(PATH, whole(day))

    meddling.left = times
    asked = {**QUERY, "from": minute(DAY).unix, "till": minute(3 * DAY - 600).unix}
    answer = (await client.get(PATH, asked, if_none_match='"another"')).json

    corrected = [candle["close"] for candle in answer["candles"] if candle["begin"][11:16] in {"07:00", "07:03"}]
    close = 1.0 + answer["version"] / 256 if answer["version"] >= 100 else 1.5
    assert corrected == [close, close, close, 1.5]


@pytest.mark.parametrize("times", [1, 5])
async def test_an_open_answer_is_of_one_version_too(storage: IStorage, times: int) -> None:
    meddling = Meddling(await filled(storage), times)
    client = keeping(a_client(cast("IStorage", meddling)))

    asked = {**QUERY, "from": minute(DAY).unix, "till": minute(6 * DAY).unix, "limit": 2}
    answer = (await client.get(PATH, asked, if_none_match='"another"')).json

    assert [candle["close"] for candle in answer["candles"]] == [1.0 + answer["version"] / 256] * 2
    assert not answer["coverage"]["complete"]


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("is_descending", [False, True])
def test_every_cut_of_a_block_is_what_its_candles_are_written_as(form: Form, is_descending: bool) -> None:  # noqa: FBT001
    writing, page = Writing(form, UTC, is_descending), a_page(range(7))
    block = Block.of(page, writing)

    for first, last in combinations(range(8), 2):
        assert bytes(block.cut(first, last)) == writing.candles(page[first:last])


async def test_who_comes_at_the_same_time_waits_for_the_one_who_makes_the_block() -> None:
    counting = Meddling(await filled(MemoryStorage()), 0)
    client = keeping(a_client(cast("IStorage", counting)))
    await client.get(PATH, whole(1))
    counting.reads = 0

    answers = await asyncio.gather(*(client.get(PATH, {**whole(1), "limit": n}) for n in range(1, 40)))

    assert [answer.json["count"] for answer in answers] == list(range(1, 40))
    assert counting.reads == 1


async def test_all_that_is_kept_stays_within_its_bytes() -> None:
    client = keeping(a_client(await filled(MemoryStorage())), 0.06)
    blocks = client.app.state.kept.blocks
    sizes = []

    for tz in ("UTC", "Europe/Moscow", "Asia/Tokyo"):
        for day in (1, 2, 3):
            for _ in range(3):
                await client.get(PATH, {**whole(day), "tz": tz})
                sizes.append(blocks.size)

    assert 0.02 * 2**20 < max(sizes) <= 0.06 * 2**20
    assert blocks.size == sum(400 + (block.size if block else 0) for block in blocks._blocks.values())
    assert 1 <= len(kept(client)) < 9


async def test_the_oldest_block_goes_first() -> None:
    client = keeping(a_client(await filled(MemoryStorage())), 0.026)

    for day in (1, 2, 1, 2, 1, 3, 3):
        await client.get(PATH, whole(day))

    midnight = T0.moscow.date().toordinal()
    assert 1 in {number - midnight for _, number in kept(client)}
    assert 2 not in {number - midnight for _, number in kept(client)}


async def test_a_long_timeframe_is_kept_by_years(storage: IStorage) -> None:
    series = Series(SBER, Timeframe.D1)
    midnight = T0 - timedelta(hours=10)
    days = [midnight + timedelta(days=n) for n in range(-800, 10)]
    rows = [(day.unix, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1) for day in days]
    await store(storage, CandlePage.from_rows(series, rows), (days[0], days[-1]), followed_from=days[0])
    client = keeping(a_client(storage))
    asked = {"security": "TQBR:SBER", "timeframe": "D1", "till": days[-1].unix, "from": days[5].unix}

    answers = [(await client.get(PATH, asked)).body for _ in range(3)]

    assert len(set(answers)) == 1
    assert json.loads(answers[0])["count"] == 804
    assert {number for _, number in kept(client)} == {2022, 2023}


async def test_a_mark_of_a_load_changes_nothing_that_is_kept(storage: IStorage) -> None:
    """`version` rises with every load of new candles; what is covered stays as it is."""
    client = keeping(a_client(await filled(storage)))
    for _ in range(3):
        first = await client.get(PATH, whole(1))
    async with storage.begin() as uow:
        await uow.series.add([a_state(version=8)])
        state = await uow.series.get(SBER_M1)
        await uow.series.add([type(state)(SBER_M1, T0, COVERED[1], version=9, history_version=5)])

    assert (await client.get(PATH, whole(1))).body == first.body
