"""Securities, their coverage and timeframes over REST."""

from dataclasses import replace
from datetime import date

import pytest

from app.core.corporate_actions import BoardMove, Rename
from app.core.entities import Security, Series, Timeframe
from app.core.errors import SourceRefusedError, SourceUnavailableError
from app.core.markets import Board, Listed
from app.core.storage import IStorage
from app.io.chains import chain_words
from app.repository.memory import MemoryStorage
from app.tests.builders import T0, a_card, a_page, minute
from app.tests.io.rest_client import Client, FakeAdapter, FakeDirectory, a_client, store
from app.use_cases.list_securities import get_security

PATH = "/v1/securities"
SBER_PATH = f"{PATH}/TQBR/SBER"
NEW = {"ticker": "SBER", "board": "TQBR", "timeframes": ["H1", "1m"], "since": "2024-01-03"}


class Away(FakeDirectory):
    async def renames(self) -> Listed[Rename]:
        raise SourceUnavailableError("away")


@pytest.fixture
def client(storage: IStorage) -> Client:
    return a_client(storage)


async def test_a_new_security_is_created_and_then_found(client: Client) -> None:
    created = await client.post(PATH, NEW)
    found = await client.get(SBER_PATH)

    assert (created.status, created.headers["location"]) == (201, SBER_PATH)
    assert created.json == found.json
    assert (created.json["security"], created.json["name"]) == ("TQBR:SBER", "Сбербанк России ПАО ао")
    assert created.json["series"] == [
        {
            "timeframe": timeframe,
            "verdict": "behind",
            "lag_seconds": 830 * 60,
            "owed_since": owed_since,
            "current_till": None,
            "checked_at": None,
            "changed_at": None,
            "failed_at": None,
            "failure": None,
            "failures": 0,
            "retry_at": None,
            "followed_from": "2024-01-02T21:00:00Z",
            "as_of": None,
            "watermark": None,
            "version": 0,
            "history_version": 0,
        }
        for timeframe, owed_since in (("M1", "2024-01-03T07:07:00Z"), ("H1", "2024-01-03T07:16:00Z"))
    ]


async def test_followed_twice_is_no_error_and_adds_what_is_new(client: Client) -> None:
    await client.post(PATH, NEW)

    again = await client.post(PATH, {**NEW, "timeframes": ["D1"], "since": "all"})

    assert again.status == 200
    assert [series["timeframe"] for series in again.json["series"]] == ["M1", "H1", "D1"]
    assert again.json["series"][-1]["followed_from"] == "2024-01-01T21:00:00Z"


async def test_the_chain_of_names_and_boards_is_told(storage: IStorage) -> None:
    old = replace(a_card(Security("TCSG", "TQBR")), is_traded=False, history_till=date(2024, 11, 27))
    await store(storage, a_page([0], Series(old.security, Timeframe.M1)), followed_from=T0)
    async with storage.begin() as uow:
        await uow.securities.add([old])
        await uow.renames.add([Rename("TCSG", "T", date(2024, 11, 28)), Rename("TCS", "TCSG", date(2020, 1, 9))])
        await uow.board_moves.add([BoardMove("TCSG", "TQTF", "TQBR", date(2021, 2, 1))])

    found = (await a_client(storage).get(f"{PATH}/TQBR/TCSG")).json

    assert found["formerly"] == [{"ticker": "TCS", "until": "2020-01-09"}]
    assert found["continues_as"] == {"security": "TQBR:T", "since": "2024-11-28"}
    assert found["moves"] == [{"from_board": "TQTF", "to_board": "TQBR", "since": "2021-02-01"}]
    assert chain_words(await get_security(storage, old.security)) == [
        "formerly TCS until 2020-01-09",
        "continues as TQBR:T since 2024-11-28",
        "moved from TQTF to TQBR on 2021-02-01",
    ]


async def test_a_new_security_says_what_it_was_before_also_when_the_list_is_away(storage: IStorage) -> None:
    created = await a_client(storage).post(PATH, NEW)
    away = await a_client(MemoryStorage(), directory=Away()).post(PATH, NEW)

    assert created.json["formerly"] == [{"ticker": "SBER03", "until": "2011-11-21"}]
    assert (away.status, away.json["formerly"]) == (201, [])


async def test_what_is_left_open_is_taken_from_the_settings() -> None:
    created = await a_client(MemoryStorage()).post(PATH, {"ticker": "sber", "board": "tqbr"})

    assert created.status == 201
    assert [series["timeframe"] for series in created.json["series"]] == ["M1", "M10", "H1", "D1"]


async def test_without_a_board_the_answer_says_which_is_primary(client: Client) -> None:
    created = await client.post(PATH, {"ticker": "sber"})

    assert (created.status, created.headers["location"]) == (201, SBER_PATH)
    assert created.json["security"] == "TQBR:SBER"


async def test_search_asks_the_exchange(client: Client) -> None:
    found = await client.get("/v1/search", {"q": "gaz"})
    empty = await client.get("/v1/search", {"q": " "})

    assert (found.status, found.json["count"]) == (200, 1)
    assert found.json["securities"][0] == {
        "ticker": "GAZP",
        "name": "",
        "short_name": "",
        "isin": None,
        "kind": None,
        "primary_board": "TQBR",
        "is_traded": True,
    }
    assert [error["parameter"] for error in empty.json["errors"]] == ["q"]


async def test_boards_are_those_stored_or_well_known(client: Client, storage: IStorage) -> None:
    known = await client.get("/v1/boards")
    async with storage.begin() as writer:
        await writer.boards.add([Board("TQNW", "stock", "shares", seen_at=T0)])
    stored = await client.get("/v1/boards")

    assert "TQBR" in [board["code"] for board in known.json["boards"]]
    assert [(board["code"], board["seen_at"]) for board in stored.json["boards"]] == [("TQNW", "2024-01-03T07:00:00Z")]


async def test_an_unknown_security_is_not_found(client: Client) -> None:
    created = await client.post(PATH, {**NEW, "ticker": "NOSUCH"})

    assert (created.status, created.json["type"]) == (404, "urn:moex-candles:problem:security-not-found")
    assert (await client.get(f"{PATH}/TQBR/NOSUCH")).status == 404
    assert (await client.ask("DELETE", f"{PATH}/TQBR/NOSUCH")).status == 404
    assert (await client.get(f"{PATH}/TQBR/NOSUCH/spans")).status == 404


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"owner": "me"}, "owner"),
        ({"ticker": "СБЕР"}, "ticker"),
        ({"ticker": 5}, "ticker"),
        ({"board": "TQ BR"}, "board"),
        ({"timeframes": []}, "timeframes"),
        ({"timeframes": ["M7"]}, "timeframes"),
        ({"timeframes": "H1"}, "timeframes"),
        ({"since": "long ago"}, "since"),
        ({"since": "2030-01-01"}, "since"),
        ({"\ud800": 1}, "body"),
    ],
)
async def test_a_body_that_makes_no_sense_is_refused(change: dict[str, object], parameter: str) -> None:
    answer = await a_client(MemoryStorage()).post(PATH, {**NEW, **change})

    assert answer.status == 422
    assert [error["parameter"] for error in answer.json["errors"]] == [parameter]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"\xff"', b"[" * 60_000, b'{"ticker": NaN}'])
async def test_a_body_that_is_none_is_refused(body: bytes) -> None:
    client = a_client(MemoryStorage())

    answer = await client.ask("POST", PATH, body=body, headers={"content_type": "application/json"})

    assert answer.status in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_huge_body_is_refused_unread() -> None:
    client = a_client(MemoryStorage())

    answer = await client.ask("POST", PATH, body=b" " * 70_000, headers={"content_type": "application/json"})

    assert (answer.status, answer.json["status"]) == (413, 413)


@pytest.mark.parametrize(
    ("error", "status", "patience"),
    [
        (SourceUnavailableError("http://inside refused"), 503, "30"),
        (SourceUnavailableError("http://inside asked", retry_after=1.2), 503, "2"),
        (SourceRefusedError("http://inside said 403"), 502, None),
    ],
)
async def test_failures_of_the_exchange_are_told_apart(error: Exception, status: int, patience: str | None) -> None:
    answer = await a_client(MemoryStorage(), adapter=FakeAdapter(error)).post(PATH, NEW)

    assert (answer.status, answer.headers.get("retry-after")) == (status, patience)
    assert b"inside" not in answer.body


@pytest.mark.parametrize(
    ("since", "begin"),
    [("all", "2024-01-02T07:00:00Z"), ("2024-01-03T11:59", "2024-01-03T05:00:00Z"), (None, "2024-01-02T07:00:00Z")],
)
async def test_to_follow_a_derived_timeframe_is_to_follow_its_minutes(since: str | None, begin: str) -> None:
    client = a_client(MemoryStorage())

    created = await client.post(PATH, {**NEW, "timeframes": ["4h"], "since": since})

    [series] = created.json["series"]
    assert (created.status, series["timeframe"], series["followed_from"]) == (201, "M1", begin)
    [spans] = (await client.get(f"{SBER_PATH}/spans", {"timeframe": "M5"})).json["series"]
    assert (spans["timeframe"], spans["spans"]) == ("M5", [])


async def test_the_followed_are_listed_by_board_and_ticker(client: Client) -> None:
    await client.post(PATH, NEW)
    await client.post(PATH, {**NEW, "ticker": "GAZP"})

    answer = (await client.get(PATH)).json

    assert [security["security"] for security in answer["securities"]] == ["TQBR:GAZP", "TQBR:SBER"]
    assert (answer["count"], answer["next_cursor"]) == (2, None)


@pytest.mark.parametrize(
    ("query", "tickers"),
    [
        ({"q": "сбер"}, ["SBER"]),
        ({"q": "gaz"}, ["GAZP"]),
        ({"q": "nothing"}, []),
        ({"board": "tqbr"}, ["GAZP", "SBER"]),
        ({"board": "SMAL"}, []),
        ({"market": "shares"}, ["GAZP", "SBER"]),
        ({"market": "bonds"}, []),
    ],
)
async def test_the_list_is_filtered(query: dict[str, str], tickers: list[str]) -> None:
    client = a_client(MemoryStorage())
    for ticker in ("SBER", "GAZP"):
        await client.post(PATH, {**NEW, "ticker": ticker})

    answer = (await client.get(PATH, query)).json

    assert [security["ticker"] for security in answer["securities"]] == tickers


async def test_the_list_goes_page_by_page() -> None:
    client = a_client(MemoryStorage())
    for ticker in ("SBER", "GAZP"):
        await client.post(PATH, {**NEW, "ticker": ticker})

    first = (await client.get(PATH, {"limit": 1})).json
    second = (await client.get(PATH, {"limit": 1, "cursor": first["next_cursor"]})).json

    assert [page["securities"][0]["ticker"] for page in (first, second)] == ["GAZP", "SBER"]
    assert second["next_cursor"] is None
    assert (await client.get(PATH, {"q": "SBER", "cursor": first["next_cursor"]})).status == 400


async def test_the_followed_no_more_are_not_listed(client: Client) -> None:
    await client.post(PATH, NEW)

    removed = await client.ask("DELETE", SBER_PATH)

    assert (removed.status, removed.body) == (204, b"")
    assert (await client.get(PATH)).json["securities"] == []
    assert (await client.get(SBER_PATH)).status == 404
    assert (await client.ask("DELETE", SBER_PATH, {"purge": "perhaps"})).status == 422


async def test_spans_tell_what_is_covered_and_what_is_missing(storage: IStorage, client: Client) -> None:
    await store(storage, a_page([0, 1]), (T0, minute(2)), (minute(4), minute(5)), followed_from=T0)

    answer = await client.get(f"{SBER_PATH}/spans", {"timeframe": "1min"})

    [series] = answer.json["series"]
    assert (answer.json["security"], series["timeframe"], series["version"]) == ("TQBR:SBER", "M1", 7)
    assert series["spans"] == [
        {"from": "2024-01-03T07:00:00Z", "till": "2024-01-03T07:02:00Z"},
        {"from": "2024-01-03T07:04:00Z", "till": "2024-01-03T07:05:00Z"},
    ]
    assert series["gaps"] == [
        {"from": "2024-01-03T07:02:00Z", "till": "2024-01-03T07:04:00Z", "reason": "not_loaded"},
        {"from": "2024-01-03T07:05:00Z", "till": "2024-01-04T07:00:00Z", "reason": "in_progress"},
    ]
    assert (await client.get(f"{SBER_PATH}/spans", {"timeframe": "H1"})).status == 404
    assert (await client.get(f"{SBER_PATH}/spans", {"timeframe": "H9"})).status == 422


async def test_all_timeframes_are_listed() -> None:
    answer = (await a_client(MemoryStorage()).get("/v1/timeframes")).json

    assert [timeframe["name"] for timeframe in answer["timeframes"]] == list(Timeframe)
    assert {timeframe["name"]: timeframe["seconds"] for timeframe in answer["timeframes"] if timeframe["seconds"]} == (
        {"M1": 60, "M5": 300, "M10": 600, "M15": 900, "M30": 1800, "H1": 3600, "H2": 7200, "H4": 14400}
    )
    derived = {timeframe["name"] for timeframe in answer["timeframes"] if timeframe["derived_from"] == "M1"}
    assert derived == {"M5", "M15", "M30", "H2", "H4"}
