"""Whole answers that are kept, in process and shared: the same as those written anew, and asked for once."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.answers.kept import Kept
from app.core.cache import ICache
from app.core.storage import IStorage
from app.io.rest_api import coding
from app.redis_cache import RedisCache
from app.repository.memory import MemoryStorage
from app.repository.sql import SqlStorage
from app.tests.builders import SBER_M1, T0, a_page, a_span, minute
from app.tests.conftest import run_apart
from app.tests.io.counting import CountedSnapshots, counted
from app.tests.io.rest_client import Answer, Client, FakeClock, a_client, store
from app.tests.tasks.waiting import eventually

PATH = "/v1/candles"
DAY = 24 * 60
STORED = [day * DAY + n for day in range(4) for n in range(0, 200, 3)]
COVERED = (minute(0), minute(3 * DAY + 100))
NOW = minute(3 * DAY + 230)
"""Of four days of every third minute from ten o'clock on, all but the last hundred minutes are covered."""
QUERY: Mapping[str, Any] = {"security": "TQBR:SBER", "timeframe": "M1"}
CLOSED = {**QUERY, "from": minute(DAY).unix, "till": minute(2 * DAY).unix}
OPEN = {**QUERY, "from": minute(DAY).unix, "till": minute(4 * DAY).unix}
NEWEST = {**QUERY, "last": 100}
DERIVED = {**CLOSED, "timeframe": "M5"}
GZIP = {"accept_encoding": "gzip, deflate, br"}


async def filled(storage: IStorage) -> IStorage:
    await store(storage, a_page(STORED), COVERED, followed_from=T0)
    return storage


def the_client(storage: IStorage, cache: ICache | None = None) -> Client:
    return a_client(storage, clock=FakeClock(NOW), cache=cache)


def forgetful(client: Client) -> Client:
    client.app.state.kept = Kept.within(0, 60, None)
    return client


def the_long_way(client: Client) -> Client:
    """Ask the ordinary route."""
    client.app.user_middleware = [each for each in client.app.user_middleware if "CandleLane" not in repr(each)]
    assert len(client.app.user_middleware) == 4
    return client


def content(answer: Answer) -> tuple[int, bytes, dict[str, str]]:
    return answer.status, answer.body, {k: v for k, v in answer.headers.items() if k != "x-request-id"}


def text(answer: Answer) -> bytes:
    return gzip.decompress(answer.body) if "content-encoding" in answer.headers else answer.body


async def correct(storage: IStorage, *minutes: int, close: float, version: int) -> None:
    """Change covered candles as a writer does."""
    async with storage.begin() as uow:
        await uow.candles.add(a_page(minutes, close=close))
        state = await uow.series.get(SBER_M1)
        await uow.series.add([replace(state, version=version, history_version=version)])


@pytest.fixture
async def cache(redis_url: str, patient_cache: None) -> AsyncIterator[RedisCache]:
    opened = RedisCache.open(redis_url, prefix="test", lifetime=60)
    yield opened
    await opened.close()


ACCEPTED = [
    {},
    {"accept_encoding": "gzip"},
    GZIP,
    {"accept_encoding": "gzip;q=0"},
    {"accept_encoding": "identity"},
    {"accept_encoding": "gzip;q=0.5, identity"},
    {"accept_encoding": "gzip, identity;q=0"},
    {"accept_encoding": "*;q=0"},
]


@pytest.mark.parametrize("accepted", ACCEPTED)
@pytest.mark.parametrize("query", [CLOSED, OPEN, NEWEST, DERIVED, {**QUERY, "last": 1}, {**CLOSED, "limit": 20}])
@pytest.mark.parametrize("form", [{}, {"shape": "columns", "tz": "Europe/Moscow"}, {"format": "csv"}])
async def test_both_ways_answer_alike(
    query: Mapping[str, Any], form: Mapping[str, str], accepted: Mapping[str, str]
) -> None:
    storage = await filled(MemoryStorage())
    short, long = the_client(storage), the_long_way(the_client(storage))
    asked = {**query, **form}

    for _ in range(3):
        answer = await short.get(PATH, asked, **accepted)
        other = await long.get(PATH, asked, **accepted)
        assert content(answer) == content(other) if answer.status == 200 else answer.status == other.status == 406
        known = answer.headers.get("etag", "none")
        again = [await client.get(PATH, asked, if_none_match=known, **accepted) for client in (short, long)]
        assert content(again[0]) == content(again[1]) or answer.status == 406
        assert {each.status for each in again} == {304 if answer.status == 200 else 406}


@pytest.mark.parametrize("query", [CLOSED, OPEN, NEWEST, DERIVED])
async def test_a_compressed_answer_is_the_plain_one_compressed(storage: IStorage, query: Mapping[str, Any]) -> None:
    client = the_client(await filled(storage))

    for _ in range(3):
        plain, packed = await client.get(PATH, query), await client.get(PATH, query, **GZIP)
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
        assert packed.headers["content-length"] == str(len(packed.body))
        assert packed.headers["etag"] != plain.headers["etag"]
        assert packed.headers["vary"] == plain.headers["vary"] == "Accept, Accept-Encoding"


async def test_a_body_is_compressed_once(cache: ICache) -> None:
    storage = await filled(MemoryStorage())
    clients = [the_client(storage, cache), the_client(storage, cache)]
    with patch.object(coding, "gzip", side_effect=coding.gzip) as compressing:
        bodies = {(await client.get(PATH, CLOSED, **GZIP)).body for client in clients for _ in range(5)}

    assert compressing.call_count == len(bodies) == 1


events = st.one_of(
    st.tuples(st.just("correct"), st.integers(0, 40)),
    st.tuples(st.just("cover"), st.integers(0, 60)),
    st.tuples(st.just("form"), st.integers(0, 200)),
    st.tuples(st.just("uncover"), st.integers(0, 300)),
    st.tuples(
        st.just("ask"),
        st.fixed_dictionaries(
            {"timeframe": st.sampled_from(["M1", "M1", "M1", "M5"])},
            optional={
                "from": st.integers(-50, 3 * DAY + 300).map(lambda n: minute(n).unix),
                "till": st.integers(3 * DAY + 300, 5 * DAY).map(lambda n: minute(n).unix),
                "limit": st.sampled_from([1, 7, 80, 1000]),
                "order": st.sampled_from(["asc", "desc"]),
                "tz": st.sampled_from(["UTC", "Europe/Moscow"]),
            },
        ),
    ),
    st.tuples(st.just("ask"), st.fixed_dictionaries({"last": st.integers(1, 200)})),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(events, max_size=25))
def test_what_is_kept_of_a_period_that_goes_on_equals_what_is_written_anew(steps: list[tuple[str, Any]]) -> None:
    """Every question thrice, plain and compressed, while the series grows, is corrected and loses what it covers."""

    async def check() -> None:
        storage = await filled(MemoryStorage())
        clock = FakeClock(NOW)
        keeps, anew = a_client(storage, clock=clock), forgetful(a_client(storage, clock=clock))
        for number, (what, value) in enumerate(steps):
            if what != "ask":
                await happen(storage, what, value, version=100 + number)
                continue
            expected = content(await anew.get(PATH, {**QUERY, **value}))
            assert [content(await keeps.get(PATH, {**QUERY, **value})) for _ in range(3)] == [expected] * 3
            packed = {text(await keeps.get(PATH, {**QUERY, **value}, **GZIP)) for _ in range(3)}
            assert packed == {expected[1]}

    run_apart(check())


async def happen(storage: IStorage, what: str, value: int, *, version: int) -> None:
    """Change the store as a load, a correction or an audit does; to cover what is there raises no counter."""
    async with storage.begin() as uow:
        state = await uow.series.get(SBER_M1)
        history_version = state.history_version if what == "form" else version
        end = max([span.time_till async for span in uow.spans.filter_by_series(SBER_M1)], default=T0)
        covered = (end - T0).total_seconds() // 60
        if what == "correct":
            await uow.candles.add(a_page([3 * value], close=1.0 + version / 256))
        elif what == "cover":
            await uow.spans.add([a_span(int(covered), int(covered) + value)])
            return
        elif what == "form":
            await uow.candles.add(a_page([int(covered) + value], close=1.0 + version / 256, is_final=False))
        else:
            await uow.spans.remove([a_span(DAY + value, DAY + value + 5)])
        await uow.series.add([replace(state, version=version, history_version=history_version)])


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize("sent", [{}, GZIP])
@pytest.mark.parametrize("query", [CLOSED, OPEN, DERIVED, {**QUERY, "from": minute(DAY).unix, "limit": 10}])
async def test_a_correction_is_in_the_very_next_answer_of_every_process(
    storage: IStorage, cache: ICache, query: Mapping[str, Any], sent: Mapping[str, str], *, is_shared: bool
) -> None:
    await filled(storage)
    clients = [the_client(storage, cache if is_shared else None) for _ in range(2)]
    for client in clients * 3:
        await client.get(PATH, query, **sent)

    for version in range(50, 55):
        await correct(storage, DAY, DAY + 3, close=1.0 + version / 64, version=version)
        answers = [await client.get(PATH, query, **sent) for client in clients * 2]
        closes = [json.loads(text(answer))["candles"][0]["close"] for answer in answers]
        assert closes == [1.0 + version / 64] * 4
        assert len({answer.headers["etag"] for answer in answers}) == 1


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize("sent", [{}, GZIP])
@pytest.mark.parametrize("query", [CLOSED, OPEN, NEWEST, DERIVED])
async def test_a15_of_two_hundred_who_ask_at_once_one_reads(
    sql_storage: SqlStorage, cache: ICache, query: Mapping[str, Any], sent: Mapping[str, str], *, is_shared: bool
) -> None:
    storage, counting = counted(await filled(sql_storage))
    snapshots = CountedSnapshots(sql_storage)
    client = the_client(storage, cache if is_shared else None)

    answers = await asyncio.gather(*(client.get(PATH, query, **sent) for _ in range(200)))

    assert {answer.status for answer in answers} == {200}
    assert len({(answer.body, answer.headers["etag"]) for answer in answers}) == 1
    assert counting.reads == 1
    assert snapshots.statements["views"] <= 2
    assert snapshots.statements["circumstances"] <= 3


@pytest.mark.parametrize(("query", "reads"), [(CLOSED, 1), (OPEN, 3), (NEWEST, 3)])
async def test_a15_who_hangs_up_takes_nobody_along(
    sql_storage: SqlStorage, query: Mapping[str, Any], reads: int
) -> None:
    """Somebody reads in the place of the one who left: blocks of what is covered, and what is not."""
    storage, counting = counted(await filled(sql_storage))
    client = the_client(storage)
    counting.goes_on.clear()
    asking = [asyncio.create_task(client.get(PATH, query, **GZIP)) for _ in range(50)]
    await eventually(lambda: counting.reads)
    asking[0].cancel()
    await asyncio.wait([asking[0]])
    counting.goes_on.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)

    assert isinstance(answers[0], asyncio.CancelledError)
    assert [answer.status for answer in answers if isinstance(answer, Answer)] == [200] * 49
    assert counting.reads == 1 + reads
