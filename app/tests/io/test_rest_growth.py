"""Questions for candles that nobody follows, where nobody loads: what is said, recorded, and refused."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg
import pytest

from app.core.entities import Security, SecurityCard, Series, SeriesState, Timeframe
from app.core.errors import SourceUnavailableError
from app.core.spans import Period
from app.core.storage import IStorage
from app.repository.memory import MemoryStorage
from app.repository.sql import SqlStorage
from app.tests.builders import GAZP, SBER, SBER_M1, T0, a_page, minute
from app.tests.io.rest_client import NOW, Answer, Client, FakeAdapter, FakeClock, a_client, store
from app.tests.tasks.waiting import eventually

PATH = "/v1/candles"
SBER_QUERY = {"security": "TQBR:SBER", "timeframe": "M1"}
HOUR = timedelta(hours=1)


@dataclass
class Exchange(FakeAdapter):
    """Counts what it is asked for."""

    asked: list[str] = field(default_factory=list)

    async def card(self, security: Security, /) -> SecurityCard:
        self.asked.append(str(security))
        await asyncio.sleep(0.01)
        return await super().card(security)

    async def borders(self, card: SecurityCard, /) -> Mapping[Timeframe, Period]:
        self.asked.append(f"borders of {card.security}")
        return await super().borders(card)


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def client(storage: IStorage, exchange: Exchange, clock: FakeClock) -> AsyncIterator[Client]:
    client = a_client(storage, adapter=exchange, clock=clock, follow_on_query=True)
    yield client
    await client.app.state.desk.close()


async def states(storage: IStorage) -> list[SeriesState]:
    async with storage.read() as uow:
        return [state async for state in uow.series]


async def updates(storage: IStorage) -> int:
    async with storage.read() as uow:
        return await uow.updates.count()


def monitor(answer: Answer) -> str | None:
    links = answer.headers.get("link", "").split(", ")
    return next((link[1:].partition(">")[0] for link in links if link.endswith('; rel="monitor"')), None)


def gaps(answer: Answer) -> list[tuple[str, str, str]]:
    return [(gap["from"], gap["till"], gap["reason"]) for gap in answer.json["coverage"]["gaps"]]


async def test_what_is_stored_is_given_out_though_no_wish_can_be_written(postgresql_url: str) -> None:
    filling = SqlStorage.open(postgresql_url)
    await store(filling, a_page(range(10)), (minute(0), minute(10)), followed_from=T0)
    await filling.close()
    connection = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    database = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only TO on")
    await connection.close()
    storage = SqlStorage.open(postgresql_url)
    client = a_client(storage, adapter=Exchange(), clock=FakeClock(), follow_on_query=True)

    answer = await client.get(PATH, {**SBER_QUERY, "from": T0.unix})
    await client.app.state.desk.close()
    await storage.close()

    assert (answer.status, answer.json["count"], answer.headers["candles-complete"]) == (200, 10, "false")


async def test_what_nobody_follows_is_followed_and_said_to_be_in_progress(storage: IStorage, client: Client) -> None:
    answer = await client.get(PATH, {**SBER_QUERY, "from": T0.unix})

    assert answer.status == 200
    assert (answer.json["count"], answer.headers["candles-complete"]) == (0, "false")
    assert gaps(answer) == [("2024-01-03T07:00:00Z", "2024-01-04T07:00:00Z", "in_progress")]
    assert answer.headers["cache-control"] == "no-cache"
    assert [(state.series, state.followed_from, state.is_grown) for state in await states(storage)] == [
        (SBER_M1, T0, True)
    ]
    progress = await client.get(str(monitor(answer)))
    assert (progress.status, progress.json["state"]) == (200, "waiting")
    assert progress.json["parts"][0]["from"] == "2024-01-03T07:00:00Z"


@pytest.mark.parametrize(
    ("timeframe", "series", "days"), [("M15", SBER_M1, 30), ("D1", Series(SBER, Timeframe.D1), 365)]
)
async def test_without_a_beginning_it_is_followed_since_the_default(
    client: Client, exchange: Exchange, timeframe: str, series: Series, days: int
) -> None:
    storage = client.app.state.service.storage
    long_ago = Period(NOW - timedelta(days=3000), NOW)

    async def borders(_card: SecurityCard) -> Mapping[Timeframe, Period]:
        return {series.timeframe: long_ago}

    exchange.borders = borders  # type: ignore[method-assign]  # an exchange with a longer history
    answer = await client.get(PATH, {"security": "TQBR:SBER", "timeframe": timeframe})

    [state] = await states(storage)
    assert (state.series, state.followed_from) == (series, series.timeframe.floor(NOW - timedelta(days=days)))
    assert (answer.status, answer.json["timeframe"]) == (200, timeframe)
    assert {reason for _, _, reason in gaps(answer)} == {"in_progress"}


async def test_who_asks_again_finds_the_same_load(storage: IStorage, client: Client, exchange: Exchange) -> None:
    first = await client.get(PATH, {**SBER_QUERY, "from": T0.unix})
    again = [await client.get(PATH, {**SBER_QUERY, "from": T0.unix, "last": 5}) for _ in range(3)]

    assert {monitor(answer) for answer in again} == {monitor(first)}
    assert await updates(storage) == 1
    assert exchange.asked == ["TQBR:SBER", "borders of TQBR:SBER"]


async def test_an_etag_tells_what_is_in_progress_from_what_is_not(client: Client) -> None:
    query = {**SBER_QUERY, "from": T0.unix, "till": minute(60).unix}
    first = await client.get(PATH, query)
    same = await client.get(PATH, query, if_none_match=first.headers["etag"])

    assert (same.status, same.body) == (304, b"")


async def test_the_framework_answers_as_the_short_way_does(client: Client) -> None:
    query = {**SBER_QUERY, "from": T0.unix, "till": minute(60).unix}
    short = await client.get(PATH, query)
    long = await client.get(PATH, query, accept_encoding="gzip")

    assert (short.json, monitor(short)) == (long.json, monitor(long))


async def test_a_period_before_what_is_followed_is_added(storage: IStorage, client: Client, exchange: Exchange) -> None:
    await store(storage, a_page(range(10)), (T0, minute(10)), followed_from=T0)

    answer = await client.get(PATH, {**SBER_QUERY, "from": minute(-60).unix, "till": minute(10).unix})

    assert gaps(answer) == [
        ("2024-01-03T06:00:00Z", "2024-01-03T06:20:00Z", "closed"),
        ("2024-01-03T06:20:00Z", "2024-01-03T07:00:00Z", "in_progress"),
    ]
    assert (answer.json["count"], monitor(answer) is None) == (10, False)
    [state] = await states(storage)
    assert (state.followed_from, state.is_grown) == (minute(-60), False)
    assert exchange.asked == ["borders of TQBR:SBER"]


async def test_before_the_first_candle_nothing_is_added(storage: IStorage, client: Client) -> None:
    await store(storage, a_page(range(10)), (T0, minute(10)), followed_from=minute(-24 * 60))
    query = {**SBER_QUERY, "from": minute(-48 * 60).unix, "till": minute(-24 * 60).unix}

    answer = await client.get(PATH, query)

    assert (answer.status, monitor(answer), await updates(storage)) == (200, None, 0)
    assert (await states(storage))[0].followed_from == minute(-24 * 60)


async def test_what_is_covered_or_waits_for_its_time_is_no_wish(storage: IStorage, client: Client) -> None:
    await store(storage, a_page(range(10)), (T0, minute(8)), followed_from=T0)

    for query in ({"from": T0.unix, "till": minute(8).unix}, {"from": T0.unix}, {}, {"last": 3}):
        answer = await client.get(PATH, {**SBER_QUERY, **query})
        assert (answer.status, monitor(answer)) == (200, None)

    assert await updates(storage) == 0


async def test_a_page_that_is_whole_asks_for_nothing(storage: IStorage, client: Client) -> None:
    page = a_page([*range(5), *range(20, 30)])
    await store(storage, page, (T0, minute(5)), (minute(20), minute(30)), followed_from=T0)
    period = {"from": T0.unix, "till": minute(30).unix}

    wholes = [
        await client.get(PATH, {**SBER_QUERY, **period, **query})
        for query in ({"limit": 5}, {"last": 10}, {"limit": 1})
    ]
    assert await updates(storage) == 0
    behind = await client.get(PATH, {**SBER_QUERY, **period, "limit": 6})

    assert [monitor(answer) for answer in wholes] == [None] * 3
    assert gaps(wholes[0]) == [("2024-01-03T07:05:00Z", "2024-01-03T07:20:00Z", "not_loaded")]
    assert gaps(behind) == [("2024-01-03T07:05:00Z", "2024-01-03T07:20:00Z", "in_progress")]
    assert ['rel="next"' in part for part in behind.headers["link"].split(", ")] == [True, False]


async def test_what_nobody_follows_any_more_is_followed_again(storage: IStorage, client: Client) -> None:
    await store(storage, a_page(range(10)), (T0, minute(10)), followed_from=None)

    covered = await client.get(PATH, {**SBER_QUERY, "from": T0.unix, "till": minute(10).unix})
    assert await updates(storage) == 0
    behind = await client.get(PATH, {**SBER_QUERY, "from": T0.unix})

    assert (covered.json["count"], monitor(covered)) == (10, None)
    assert (behind.json["count"], monitor(behind) is None) == (10, False)
    assert (await states(storage))[0].followed_from == minute(10)


async def test_a_day_to_come_makes_nothing_followed(storage: IStorage, client: Client, exchange: Exchange) -> None:
    answer = await client.get(PATH, {**SBER_QUERY, "from": (NOW + HOUR).unix})

    assert (answer.status, answer.json["type"]) == (404, "urn:moex-candles:problem:series-not-found")
    assert (exchange.asked, await states(storage)) == ([], [])


async def test_unknown_codes_are_named_and_remembered(client: Client, exchange: Exchange) -> None:
    answers = [await client.get(PATH, {"security": "TQBR:XXXX", "timeframe": "M1"}) for _ in range(3)]

    assert {(answer.status, answer.json["type"]) for answer in answers} == {
        (404, "urn:moex-candles:problem:security-not-found")
    }
    assert exchange.asked == ["TQBR:XXXX"]


async def test_the_limits_are_problems_of_their_own(storage: IStorage, clock: FakeClock, exchange: Exchange) -> None:
    client = a_client(storage, adapter=exchange, clock=clock, follow_on_query=True, follow_limit=0)

    full = await client.get(PATH, SBER_QUERY)
    unknown = [await client.get(PATH, {"security": f"TQBR:X{n}", "timeframe": "M1"}) for n in range(2)]

    assert (full.status, full.json["type"]) == (409, "urn:moex-candles:problem:follow-limit")
    assert "FOLLOW_LIMIT" in full.json["detail"]
    assert [answer.status for answer in unknown] == [409, 409]
    assert exchange.asked == []


async def test_a_flood_of_unknown_codes_is_stopped(exchange: Exchange) -> None:
    client = a_client(MemoryStorage(), adapter=exchange, follow_on_query=True)
    codes = [f"TQBR:X{n}" for n in range(102)]

    answers = [await client.get(PATH, {"security": code, "timeframe": "M1"}) for code in codes]

    assert [answer.status for answer in answers] == [404] * 100 + [429] * 2
    assert answers[-1].headers["retry-after"] == "600"
    assert len(exchange.asked) == 100


async def test_many_at_once_mean_one_lookup(storage: IStorage, client: Client, exchange: Exchange) -> None:
    queries = [{**SBER_QUERY, "from": T0.unix, "limit": n} for n in range(1, 21)]
    answers = await asyncio.gather(*(client.get(PATH, query) for query in queries))

    assert {answer.status for answer in answers} == {200}
    assert len({monitor(answer) for answer in answers}) == 1
    assert exchange.asked == ["TQBR:SBER", "borders of TQBR:SBER"]


async def test_an_exchange_that_fails_is_asked_once_for_all_that_wait(exchange: Exchange) -> None:
    client = a_client(MemoryStorage(), adapter=exchange, follow_on_query=True)
    exchange.error = SourceUnavailableError("it is away")

    answers = await asyncio.gather(*(client.get(PATH, SBER_QUERY) for _ in range(5)))
    exchange.error = None
    after = await client.get(PATH, SBER_QUERY)

    assert {(answer.status, answer.json["type"]) for answer in answers} == {
        (503, "urn:moex-candles:problem:source-unavailable")
    }
    assert exchange.asked.count("TQBR:SBER") == 2
    assert after.status == 200


async def test_where_nobody_loads_waiting_ends_with_what_there_is(client: Client) -> None:
    answer = await client.get(PATH, {**SBER_QUERY, "from": T0.unix, "wait": "0.2"})

    assert (answer.status, answer.json["count"]) == (200, 0)
    assert monitor(answer) is not None


async def test_a_process_that_ends_answers_who_waits(storage: IStorage, client: Client) -> None:
    waiting = asyncio.create_task(client.get(PATH, {**SBER_QUERY, "from": T0.unix, "wait": "30"}))
    await eventually(lambda: updates(storage))

    client.app.state.desk.end_waits()

    async with asyncio.timeout(20):
        assert monitor(await waiting) is not None


@pytest.mark.parametrize("wait", ["-1", "31", "nan", "inf", "soon"])
async def test_a_wait_that_makes_no_sense_is_named(client: Client, wait: str) -> None:
    answer = await client.get(PATH, {**SBER_QUERY, "wait": wait})

    assert (answer.status, [error["parameter"] for error in answer.json["errors"]]) == (422, ["wait"])


async def test_strictly_nothing_is_followed_asked_or_written(
    storage: IStorage, clock: FakeClock, exchange: Exchange
) -> None:
    client = a_client(storage, adapter=exchange, clock=clock, follow_on_query=False)
    await store(storage, a_page(range(10)), (T0, minute(8)), followed_from=T0)
    before = await states(storage)

    earlier = await client.get(PATH, {**SBER_QUERY, "from": minute(-40).unix, "till": minute(8).unix, "wait": "1"})
    unknown = await client.get(PATH, {"security": str(GAZP), "timeframe": "M1"})

    assert gaps(earlier) == [("2024-01-03T06:20:00Z", "2024-01-03T07:00:00Z", "not_loaded")]
    assert (unknown.status, unknown.json["type"]) == (404, "urn:moex-candles:problem:series-not-found")
    assert (await states(storage), exchange.asked) == (before, [])


async def test_that_somebody_asked_is_noted_once_an_hour(storage: IStorage, clock: FakeClock, client: Client) -> None:
    await store(storage, a_page(range(10)), (T0, minute(8)), followed_from=T0)
    for now in (NOW, NOW + 2 * HOUR):
        clock.moment = now
        await client.get(PATH, {**SBER_QUERY, "timeframe": "M5", "from": T0.unix, "till": minute(5).unix})
        await client.app.state.desk.close()

    assert [state.asked_at for state in await states(storage)] == [NOW]  # the process itself has seen no hour pass


async def test_a_file_makes_nothing_followed_but_is_a_question(
    storage: IStorage, client: Client, exchange: Exchange
) -> None:
    unknown = await client.get(f"{PATH}/export", SBER_QUERY)
    await store(storage, a_page(range(10)), (T0, minute(8)), followed_from=T0)
    known = await client.get(f"{PATH}/export", SBER_QUERY)
    await client.app.state.desk.close()

    assert (unknown.status, unknown.json["type"]) == (404, "urn:moex-candles:problem:series-not-found")
    assert known.status == 200
    assert exchange.asked == []
    assert [state.asked_at for state in await states(storage)] == [NOW]


async def test_what_is_stored_is_given_out_where_no_more_may_grow(storage: IStorage, exchange: Exchange) -> None:
    client = a_client(storage, adapter=exchange, follow_on_query=True, follow_limit=0)
    await store(storage, a_page(range(5)), (T0, minute(5)), followed_from=None)

    answer = await client.get(PATH, SBER_QUERY)

    assert answer.status == 200
    assert answer.json["count"] > 0
    assert monitor(answer) is None
    assert (await client.get(PATH, {**SBER_QUERY, "security": "TQBR:GAZP"})).status == 409
    await client.app.state.desk.close()
