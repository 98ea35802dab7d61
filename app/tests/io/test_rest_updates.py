"""Updates over REST: asked for, told, refused."""

from collections.abc import Mapping

import pytest

from app.core.storage import IStorage
from app.tests.builders import GAZP_M1, T0, a_page, minute
from app.tests.io.rest_client import Client, FakeClock, a_client, store
from app.tests.io.test_rest import conforms

PATH = "/v1/updates"
ONE = "/v1/updates/{update_id}"


@pytest.fixture
async def client(storage: IStorage) -> Client:
    """An app over ten minutes of a share, and one more share, an hour after the first of them."""
    await store(storage, a_page(range(10)), (T0, minute(10)), followed_from=T0)
    await store(storage, a_page([], GAZP_M1), followed_from=T0)
    return a_client(storage, clock=FakeClock(minute(60)))


async def test_what_is_asked_for_is_accepted_and_told(client: Client) -> None:
    asked = await client.post(PATH, {"securities": ["tqbr:sber"], "till": "2024-01-03T10:30"})
    told = await client.get(asked.headers["location"])

    assert (asked.status, told.status) == (202, 200)
    assert (
        asked.json
        == told.json
        == {
            "id": asked.headers["location"].rpartition("/")[2],
            "asked_at": "2024-01-03T08:00:00Z",
            "state": "waiting",
            "requested": 30,
            "covered": 10,
            "rows": 10,
            "rate": None,
            "expected_end": None,
            "done_at": None,
            "parts": [
                {
                    "security": "TQBR:SBER",
                    "timeframe": "M1",
                    "from": "2024-01-03T07:00:00Z",
                    "till": "2024-01-03T07:30:00Z",
                    "again": False,
                    "state": "waiting",
                    "requested": 30,
                    "covered": 10,
                    "rows": 10,
                    "failed_at": None,
                    "failure": None,
                }
            ],
        }
    )


async def test_without_a_word_all_that_is_followed_is_meant(client: Client) -> None:
    asked = await client.post(PATH, {})
    again = await client.post(PATH, {"again": True, "from": "2024-01-03", "timeframes": ["M5"]})

    assert [part["security"] for part in asked.json["parts"]] == ["TQBR:GAZP", "TQBR:SBER"]
    assert [part["again"] for part in again.json["parts"]] == [True, True]


async def test_the_newest_come_first(client: Client) -> None:
    ids = [(await client.post(PATH, {})).json["id"] for _ in range(3)]
    listed = await client.get(PATH)
    two = await client.get(PATH, {"limit": 2})

    assert {each["id"] for each in listed.json["updates"]} == set(ids)
    assert two.json["updates"] == listed.json["updates"][:2]


@pytest.mark.parametrize(
    ("body", "status", "parameter"),
    [
        ({"securities": ["SBER"]}, 422, "securities"),
        ({"timeframes": ["M7"]}, 422, "timeframes"),
        ({"from": "soon"}, 422, "from"),
        ({"from": "2024-01-05", "till": "2024-01-03"}, 422, "till"),
        ({"again": True}, 422, "from"),
        ({"since": "2024-01-05"}, 422, "since"),
        ({"securities": ["TQBR:LKOH"]}, 404, None),
        ({"timeframes": ["D1"]}, 404, None),
    ],
)
async def test_what_makes_no_sense_is_named(
    client: Client, body: Mapping[str, object], status: int, parameter: str | None
) -> None:
    answer = await client.post(PATH, body)

    assert answer.status == status
    assert [error["parameter"] for error in answer.json.get("errors", ())] == ([parameter] if parameter else [])
    assert (await client.get(PATH)).json["updates"] == []
    assert conforms(client, answer, "post", PATH)


@pytest.mark.parametrize(("update_id", "status"), [("0", 404), ("9f86d081884c7d65", 404), ("\0", 422), ("ж" * 40, 422)])
async def test_an_unknown_update_is_not_found(client: Client, update_id: str, status: int) -> None:
    answer = await client.get(f"{PATH}/{update_id}")

    assert answer.status == status
    assert conforms(client, answer, "get", ONE)


async def test_answers_are_as_they_are_described(client: Client) -> None:
    asked = await client.post(PATH, {})

    assert conforms(client, asked, "post", PATH)
    assert conforms(client, await client.get(asked.headers["location"]), "get", ONE)
    assert conforms(client, await client.get(PATH), "get", PATH)


async def test_a_new_security_says_where_its_load_is_told(client: Client) -> None:
    created = await client.post("/v1/securities", {"ticker": "SBER", "board": "TQBR", "timeframes": ["M1", "D1"]})
    link = created.headers["link"]
    told = await client.get(link.partition(">")[0].removeprefix("<"))

    assert link.endswith('; rel="monitor"')
    assert [(part["security"], part["timeframe"]) for part in told.json["parts"]] == [
        ("TQBR:SBER", "M1"),
        ("TQBR:SBER", "D1"),
    ]
