"""Candles over REST: pages, forms, coverage, caching."""

import csv
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.core.entities import Series, Timeframe
from app.core.pages import CandlePage
from app.core.resampling import roll_up
from app.core.spans import Period
from app.core.storage import IStorage
from app.repository.memory import MemoryStorage
from app.tests.builders import SBER, SBER_M1, T0, a_page, a_state, minute
from app.tests.io.rest_client import NOW, Answer, Client, FakeClock, a_client, store

PATH = "/v1/candles"
SBER_QUERY = {"security": "TQBR:SBER", "timeframe": "M1"}
TEN = {**SBER_QUERY, "from": T0.unix, "till": minute(10).unix}


@pytest.fixture
async def client(storage: IStorage) -> Client:
    """An app over ten candles, of which the ones before minute 8 are covered, minute 5 being empty."""
    await store(storage, a_page([0, 1, 2, 3, 4, 6, 7, 8, 9, 10]), (T0, minute(8)), followed_from=T0)
    return a_client(storage)


async def follow_links(client: Client, answer: Answer, most: int = 50) -> list[Answer]:
    answers = [answer]
    while "link" in answer.headers:
        url = urlsplit(answer.headers["link"].partition(">")[0].removeprefix("<"))
        answer = await client.get(url.path, parse_qsl(url.query))
        answers.append(answer)
        assert len(answers) < most, "the cursor goes in circles"
    return answers


async def test_an_answer_has_the_words_of_the_contract(client: Client) -> None:
    answer = await client.get(PATH, {**SBER_QUERY, "from": "2024-01-03T10:07", "till": "2024-01-03T10:09"})

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "security": "TQBR:SBER",
        "timeframe": "M1",
        "from": "2024-01-03T07:07:00Z",
        "till": "2024-01-03T07:09:00Z",
        "timezone": "UTC",
        "count": 2,
        "coverage": {
            "complete": False,
            "gaps": [{"from": "2024-01-03T07:08:00Z", "till": "2024-01-03T07:09:00Z", "reason": "in_progress"}],
        },
        "next_cursor": None,
        "version": 7,
        "candles": [
            {
                "begin": f"2024-01-03T07:0{n}:00Z",
                "open": 1.0,
                "high": 2.0,
                "low": 0.5,
                "close": 1.5,
                "volume": 10.0,
                "value": 15.0,
                "final": True,
            }
            for n in (7, 8)
        ],
    }
    assert list(answer.json) == (
        ["security", "timeframe", "from", "till", "timezone", "count", "coverage", "next_cursor", "version", "candles"]
    )


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 9, 10, 11])
async def test_pages_put_together_equal_one_big_answer(client: Client, order: str, limit: int) -> None:
    whole = await client.get(PATH, {**SBER_QUERY, "from": T0.unix, "till": minute(60).unix, "order": order})
    pages = await follow_links(
        client,
        await client.get(
            PATH, {**SBER_QUERY, "from": T0.unix, "till": minute(60).unix, "order": order, "limit": limit}
        ),
    )

    begins = [candle["begin"] for candle in whole.json["candles"]]
    assert len(begins) == 10
    assert begins == sorted(begins, reverse=order == "desc")
    assert [candle for page in pages for candle in page.json["candles"]] == whole.json["candles"]
    assert len(pages) == -(-10 // limit), "the last page knows that it is the last, even when it is full"
    assert [page.json["count"] for page in pages[:-1]] == [limit] * (len(pages) - 1)
    for page in pages:
        rest = {name: page.json[name] for name in ("from", "till", "coverage", "version")}
        assert rest == {name: whole.json[name] for name in rest}
        assert ("link" in page.headers) == (page.json["next_cursor"] is not None)


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_keep_the_period_of_the_first_while_time_goes_on(order: str) -> None:
    storage, clock = MemoryStorage(), FakeClock(minute(10))
    await store(storage, a_page(range(10)), followed_from=T0)
    client = a_client(storage, clock=clock)

    first = await client.get(PATH, {**SBER_QUERY, "limit": 5, "order": order})
    clock.moment = minute(20)
    async with storage.begin() as uow:
        await uow.candles.add(a_page(range(10, 20)))
    pages = await follow_links(client, first)

    assert [page.json["count"] for page in pages] == [5, 5]
    assert {page.json["till"] for page in pages} == {"2024-01-03T07:10:00Z"}


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 7])
async def test_pages_of_derived_bars_put_together_equal_one_big_answer(order: str, limit: int) -> None:
    storage = MemoryStorage()
    minutes = a_page(n for n in range(100) if n % 7)
    await store(storage, minutes, (T0, minute(93)), followed_from=T0)
    client = a_client(storage)
    query = {**SBER_QUERY, "timeframe": "15m", "from": minute(3).unix, "till": minute(99).unix, "order": order}

    whole = (await client.get(PATH, query)).json
    pages = await follow_links(client, await client.get(PATH, {**query, "limit": limit}))

    bars = roll_up(minutes, Timeframe.M15, [Period(T0, minute(93))]).between(minute(3), minute(105))
    assert [candle["begin"] for candle in whole["candles"][:: 1 if order == "asc" else -1]] == (
        [str(bar.timestamp) for bar in bars]
    )
    assert [candle for page in pages for candle in page.json["candles"]] == whole["candles"]
    assert [page.json["count"] for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert {candle["begin"] for candle in whole["candles"] if not candle["final"]} == {"2024-01-03T08:30:00Z"}
    assert whole["coverage"]["gaps"] == (
        [{"from": "2024-01-03T08:30:00Z", "till": "2024-01-03T08:45:00Z", "reason": "in_progress"}]
    )


async def test_the_newest_derived_bars_are_as_many_as_asked_for() -> None:
    storage = MemoryStorage()
    await store(storage, a_page(range(100)), (T0, minute(100)), followed_from=T0)

    answer = (await a_client(storage).get(PATH, {**SBER_QUERY, "timeframe": "M5", "last": 3})).json

    assert [candle["begin"][11:16] for candle in answer["candles"]] == ["08:25", "08:30", "08:35"]
    assert {candle["volume"] for candle in answer["candles"]} == {50.0}


async def test_without_a_period_everything_until_now_is_meant(client: Client) -> None:
    answer = await client.get(PATH, SBER_QUERY)

    assert answer.json["from"] == "2024-01-03T07:00:00Z"
    assert answer.json["till"] == str(NOW)
    assert answer.json["count"] == 10


async def test_last_gives_the_newest_in_ascending_order(client: Client) -> None:
    answer = await client.get(PATH, {**SBER_QUERY, "last": 2})

    assert [candle["begin"] for candle in answer.json["candles"]] == ["2024-01-03T07:09:00Z", "2024-01-03T07:10:00Z"]
    assert answer.json["next_cursor"] is None


async def test_both_ends_are_rounded_up_and_a_date_in_till_means_through_that_day(client: Client) -> None:
    answer = await client.get(PATH, {**SBER_QUERY, "from": "2024-01-03T10:00:01+03:00", "till": "2024-01-03"})

    assert (answer.json["from"], answer.json["till"]) == ("2024-01-03T07:01:00Z", "2024-01-03T21:00:00Z")


async def test_a_default_never_contradicts_what_was_asked(client: Client) -> None:
    before = await client.get(PATH, {**SBER_QUERY, "till": "2001-01-01"})
    after = await client.get(PATH, {**SBER_QUERY, "from": "2030-01-01"})

    assert (before.status, before.json["count"]) == (after.status, after.json["count"]) == (200, 0)


async def test_times_are_written_in_the_zone_asked_for(client: Client) -> None:
    answer = await client.get(PATH, {**TEN, "tz": "Europe/Moscow"})

    assert answer.json["timezone"] == "Europe/Moscow"
    assert answer.json["from"] == answer.json["candles"][0]["begin"] == "2024-01-03T10:00:00+03:00"
    assert answer.json["coverage"]["gaps"][0]["from"] == "2024-01-03T10:08:00+03:00"


async def test_columns_and_csv_hold_what_objects_hold(client: Client) -> None:
    objects = (await client.get(PATH, TEN)).json
    columns = (await client.get(PATH, {**TEN, "shape": "columns"})).json
    table = await client.get(PATH, {**TEN, "format": "csv"})

    rows = [list(candle.values()) for candle in objects.pop("candles")]
    assert columns.pop("rows") == rows
    assert columns.pop("columns") == ["begin", "open", "high", "low", "close", "volume", "value", "final"]
    assert columns == objects
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert table.headers["candles-complete"] == "false"
    header, *lines = csv.reader(table.body.decode().splitlines())
    assert [[line[0], *map(float, line[1:7]), line[7] == "true"] for line in lines] == rows
    assert header == ["begin", "open", "high", "low", "close", "volume", "value", "final"]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/*;q=0.5", "text/csv; charset=utf-8"),
        ("text/csv, application/json", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
        ("application/xml", "application/problem+json"),
    ],
)
async def test_accept_chooses_the_form(accept: str, form: str) -> None:
    client = await _a_client_with_candles()

    answer = await client.get(PATH, TEN, accept=accept)

    assert answer.headers["content-type"] == form
    assert answer.status == (406 if "problem" in form else 200)


async def test_doubles_come_out_bit_for_bit(storage: IStorage) -> None:
    numbers = [5e-324, 599770205.4000001, 0.1 + 0.2, 1.7976931348623157e308]
    rows = [(minute(n).unix, x, x, x, x, x, x, 1) for n, x in enumerate(numbers)]
    await store(storage, CandlePage.from_rows(SBER_M1, rows), followed_from=T0)

    answer = await a_client(storage).get(PATH, TEN)

    assert [candle["value"] for candle in answer.json["candles"]] == numbers


async def test_a_complete_answer_may_be_kept_and_carries_the_history_version(client: Client) -> None:
    answer = await client.get(PATH, {**SBER_QUERY, "from": T0.unix, "till": minute(8).unix})

    assert answer.json["coverage"] == {"complete": True, "gaps": []}
    assert answer.json["version"] == 5
    assert answer.headers["cache-control"] == "public, max-age=300, stale-while-revalidate=86400"


async def test_an_answer_that_may_change_is_asked_for_again(client: Client) -> None:
    answer = await client.get(PATH, TEN)

    assert answer.headers["cache-control"] == "no-cache"


async def test_what_is_known_is_not_sent_again(client: Client) -> None:
    first = await client.get(PATH, TEN)

    again = await client.get(PATH, TEN, if_none_match=f'"other", W/{first.headers["etag"]}')

    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == "no-cache"


async def test_who_polls_up_to_now_is_told_that_nothing_happened_until_the_next_bar() -> None:
    storage, clock = MemoryStorage(), FakeClock(minute(10) + timedelta(seconds=1))
    await store(storage, a_page(range(10)), (T0, minute(8)), followed_from=T0)
    client = a_client(storage, clock=clock)
    first = await client.get(PATH, SBER_QUERY)

    clock.moment += timedelta(seconds=58)
    same_bar = await client.get(PATH, SBER_QUERY, if_none_match=first.headers["etag"])
    clock.moment += timedelta(seconds=58)
    next_bar = await client.get(PATH, SBER_QUERY, if_none_match=first.headers["etag"])

    assert (same_bar.status, next_bar.status) == (304, 200)


async def test_a_change_makes_another_tag(storage: IStorage, client: Client) -> None:
    first = await client.get(PATH, TEN)
    async with storage.begin() as uow:
        await uow.candles.add(a_page([9], close=1.75))
        await uow.series.add([a_state(version=8)])

    again = await client.get(PATH, TEN, if_none_match=first.headers["etag"])

    assert again.status == 200
    assert again.headers["etag"] != first.headers["etag"]


async def test_a_tag_knows_that_a_gap_was_filled_even_when_the_counters_meet(storage: IStorage) -> None:
    await store(storage, a_page([0, 1]), (T0, minute(1)), followed_from=T0, version=7)
    client = a_client(storage)
    query = {**SBER_QUERY, "from": T0.unix, "till": minute(2).unix}
    open_answer = await client.get(PATH, query)
    await store(storage, a_page([0, 1]), (T0, minute(2)), followed_from=T0, version=9)  # history_version 7

    answer = await client.get(PATH, query, if_none_match=open_answer.headers["etag"])

    assert open_answer.json["version"] == answer.json["version"] == 7
    assert answer.status == 200


async def test_every_form_and_page_has_a_tag_of_its_own() -> None:
    client = await _a_client_with_candles()
    cursor = (await client.get(PATH, {**TEN, "limit": 2})).json["next_cursor"]
    queries = [
        TEN,
        {**TEN, "shape": "columns"},
        {**TEN, "format": "csv"},
        {**TEN, "tz": "Europe/Moscow"},
        {**TEN, "order": "desc"},
        {**TEN, "limit": 2},
        {**TEN, "limit": 2, "cursor": cursor},
        {**TEN, "last": 2},
        {**TEN, "till": minute(9).unix},
    ]
    tags = [(await client.get(PATH, query)).headers["etag"] for query in queries]
    tags.append((await client.get(PATH, TEN, accept_encoding="gzip")).headers["etag"])

    assert len(set(tags)) == len(queries) + 1
    assert all(tag.startswith('"') for tag in tags)


async def test_a_long_answer_is_compressed_for_who_can_read_it() -> None:
    client = await _a_client_with_candles()

    answer = await client.get(PATH, TEN, accept_encoding="gzip")

    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept, Accept-Encoding"


async def test_head_gives_the_headers_alone(client: Client) -> None:
    get = await client.get(PATH, TEN)

    head = await client.ask("HEAD", PATH, TEN)

    assert (head.status, head.body) == (200, b"")
    assert head.headers["etag"] == get.headers["etag"]
    assert head.headers["content-length"] == str(len(get.body))


async def test_a_cursor_of_another_query_is_refused() -> None:
    client = await _a_client_with_candles()
    cursor = (await client.get(PATH, {**TEN, "limit": 2})).json["next_cursor"]

    for other in ({**TEN, "order": "desc"}, {**TEN, "from": minute(1).unix}, {**TEN, "timeframe": "H1"}, SBER_QUERY):
        answer = await client.get(PATH, {**other, "cursor": cursor})
        assert (answer.status, answer.json["errors"][0]["parameter"]) == (400, "cursor")
    for broken in (cursor[:-1], cursor[1:], cursor + "A", "", "!", "ы", "A" * 5000, "\0", cursor.swapcase()):
        assert (await client.get(PATH, {**TEN, "cursor": broken})).status == 400


async def test_the_size_and_form_of_pages_may_change_on_the_way() -> None:
    client = await _a_client_with_candles()
    first = (await client.get(PATH, {**TEN, "limit": 2})).json

    second = await client.get(PATH, {**TEN, "limit": 3, "shape": "columns", "cursor": first["next_cursor"]})

    assert [row[0] for row in second.json["rows"]] == [f"2024-01-03T07:0{n}:00Z" for n in (2, 3, 4)]


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"from": minute(5).unix, "till": T0.unix}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"till": "2024-13-01"}, "till"),
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"last": 0}, "last"),
        ({"last": 5, "limit": 5}, "last"),
        ({"order": "up"}, "order"),
        ({"tz": "Mars/Phobos"}, "tz"),
        ({"shape": "round"}, "shape"),
        ({"format": "xls"}, "format"),
        ({"timeframe": "M7"}, "timeframe"),
        ({"security": "SBER"}, "security"),
        ({"security": ["TQBR:SBER", "TQBR:GAZP"]}, "security"),
        ({"till": ["2024-01-03", "2024-01-04"]}, "till"),
        ({"interval": "60"}, "interval"),
    ],
)
async def test_what_makes_no_sense_is_named(change: dict[str, object], parameter: str) -> None:
    client = await _a_client_with_candles()

    answer = await client.get(PATH, {**TEN, **change})

    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == "urn:moex-candles:problem:invalid-input"
    assert [error["parameter"] for error in answer.json["errors"]] == [parameter]


async def test_what_nobody_follows_is_not_found(client: Client) -> None:
    for query in ({**TEN, "security": "TQBR:GAZP"}, {**TEN, "timeframe": "H1"}, {"security": "A:B", "timeframe": "D1"}):
        answer = await client.get(PATH, query)
        assert (answer.status, answer.json["type"]) == (404, "urn:moex-candles:problem:series-not-found")


async def test_what_was_purged_is_not_found_and_what_was_left_still_is(client: Client) -> None:
    path = "/v1/securities/TQBR/SBER"
    await client.ask("DELETE", path)
    left = await client.get(PATH, TEN)
    await client.ask("DELETE", path, {"purge": "true"})

    assert (left.status, left.json["count"]) == (200, 9)
    assert [(await client.get(PATH, query)).status for query in (TEN, SBER_QUERY)] == [404, 404]


async def test_longer_bars_are_aligned_in_moscow(storage: IStorage) -> None:
    series = Series(SBER, Timeframe.D1)
    days = [T0 - timedelta(hours=10) + timedelta(days=n) for n in range(3)]
    rows = [(day.unix, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1) for day in days]
    await store(storage, CandlePage.from_rows(series, rows), followed_from=days[0])

    answer = await a_client(storage).get(PATH, {"security": "tqbr:sber", "timeframe": "1d", "till": "2024-01-04"})

    assert [candle["begin"] for candle in answer.json["candles"]] == ["2024-01-02T21:00:00Z", "2024-01-03T21:00:00Z"]


async def _a_client_with_candles() -> Client:
    storage = MemoryStorage()
    await store(storage, a_page(range(10)), (T0, minute(8)), followed_from=T0)
    return a_client(storage)
