"""Which coding an answer gets."""

import gzip as standard

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from app.io.rest_api.coding import COMPRESS_FROM, Coding, coding_of, gzip
from app.repository.memory import MemoryStorage
from app.tests.io.rest_client import Answer, Client, a_client


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", Coding.IDENTITY),
        ("identity", Coding.IDENTITY),
        ("gzip", Coding.GZIP),
        ("x-gzip", Coding.GZIP),
        ("GZip", Coding.GZIP),
        ("gzip, deflate, br, zstd", Coding.GZIP),
        ("br;q=1.0, gzip;q=0.6, *;q=0.1", Coding.GZIP),
        ("deflate, br", Coding.IDENTITY),
        ("*", Coding.IDENTITY),
        ("gzip;q=0", Coding.IDENTITY),
        ("gzip;q=0.000, br", Coding.IDENTITY),
        ("gzip ; q=0", Coding.IDENTITY),
        ("gzip; q=0 , identity", Coding.IDENTITY),
        ("gzip;q=0.5, identity;q=0.5", Coding.GZIP),
        ("gzip;q=0.5, identity", Coding.IDENTITY),
        ("gzip;q=0.5, identity;q=0.2", Coding.GZIP),
        ("gzip, *;q=0", Coding.REQUIRED_GZIP),
        ("gzip, identity;q=0", Coding.REQUIRED_GZIP),
        ("identity;q=0, *", Coding.REQUIRED_GZIP),
        ("identity, *;q=0", Coding.IDENTITY),
        ("gzip;q=none", Coding.IDENTITY),
        ("gzip;q=7", Coding.IDENTITY),
        ("gzip;q=nan", Coding.IDENTITY),
        (",, ;q=1,", Coding.IDENTITY),
        ("notgzip", Coding.IDENTITY),
    ],
)
def test_weights_decide(accepted: str, coding: Coding) -> None:
    assert coding_of(accepted) is coding


@pytest.mark.parametrize("refused", ["*;q=0", "identity;q=0", "gzip;q=0, identity;q=0", "br, *;q=0"])
def test_who_wants_neither_is_told(refused: str) -> None:
    with pytest.raises(HTTPException) as told:
        coding_of(refused)

    assert told.value.status_code == 406


@given(st.text())
def test_no_text_is_too_strange(accepted: str) -> None:
    try:
        coding = coding_of(accepted)
    except HTTPException:
        return
    assert coding_of(coding.value) is coding


@given(st.binary())
def test_what_is_compressed_reads_back_and_is_the_same_each_time(body: bytes) -> None:
    assert standard.decompress(gzip(body)) == body
    assert gzip(body) == gzip(body)


def test_short_bodies_are_compressed_for_who_wants_nothing_else() -> None:
    assert [coding.packs(COMPRESS_FROM - 1) for coding in Coding] == [False, False, True]
    assert [coding.packs(COMPRESS_FROM) for coding in Coding] == [False, True, True]


async def the_description(**headers: str) -> Answer:
    client: Client = a_client(MemoryStorage())
    return await client.get("/openapi.json", **headers)


@pytest.mark.parametrize("accepted", ["gzip;q=0", "identity", "*;q=0", "gzip;q=0, identity;q=0"])
async def test_every_route_obeys_who_wants_no_gzip(accepted: str) -> None:
    answer = await the_description(accept_encoding=accepted)

    assert "content-encoding" not in answer.headers
    assert answer.json["openapi"]


async def test_every_route_compresses_for_who_wants_it() -> None:
    answer = await the_description(accept_encoding="br, gzip;q=0.1")

    assert answer.headers["content-encoding"] == "gzip"
    assert standard.decompress(answer.body) == (await the_description()).body
