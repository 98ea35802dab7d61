"""Files of candles over REST: forms, headers, and that what broke off never looks whole."""

import asyncio
import gzip
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message
from structlog.testing import capture_logs

from app.core.storage import IStorage
from app.io.forms import FileForm
from app.io.rest_api.v1 import export
from app.io.serving import listen, serving
from app.repository.memory import MemoryStorage
from app.tests.builders import SBER_M1, T0, a_page, minute
from app.tests.conftest import run_apart
from app.tests.io.rest_client import Client, a_client, store
from app.tests.io.test_exporting import read
from app.tests.io.test_rest import AWKWARD, PROBLEM, conforms
from app.use_cases import export_candles as exporting

PATH = "/v1/candles/export"
SBER_QUERY = {"security": "TQBR:SBER", "timeframe": "M1"}
FORMS = list(FileForm)
MEDIA_TYPES = {
    FileForm.CSV: "text/csv",
    FileForm.NDJSON: "application/x-ndjson",
    FileForm.ARROW: "application/vnd.apache.arrow.stream",
    FileForm.PARQUET: "application/vnd.apache.parquet",
}


class Changing(MemoryStorage):
    """Changes a covered candle's history before a read, so many reads after it was told to."""

    def __init__(self) -> None:
        super().__init__()
        self.after: int | None = None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Any]:
        if self.after is not None:
            self.after -= 1
            if self.after == 0:
                async with self.begin() as uow:
                    state = await uow.series.lock(SBER_M1)
                    await uow.series.add([replace(state, version=99, history_version=99)])
        async with super().read() as uow:
            yield uow


@pytest.fixture
async def client(storage: IStorage) -> Client:
    """An app over twelve candles, of which the ones before minute 10 are covered."""
    await store(storage, a_page(range(12)), (T0, minute(10)), followed_from=T0)
    return a_client(storage)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [4, 20_000])
async def test_a_file_is_everything_that_is_covered(
    client: Client, form: FileForm, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PAGE_ROWS", rows)

    answer = await client.get(PATH, {**SBER_QUERY, "format": form})

    assert answer.status == 200
    assert read(form, answer.body) == a_page(range(10))
    assert answer.headers["content-type"].partition(";")[0] == MEDIA_TYPES[form]
    assert answer.headers["content-disposition"] == f'attachment; filename="TQBR-SBER-M1.{form}"'
    assert answer.headers["candles-complete"] == "true"
    assert answer.headers["cache-control"].startswith("public")


async def test_a_period_may_reach_beyond_what_is_covered(client: Client) -> None:
    answer = await client.get(PATH, {**SBER_QUERY, "from": minute(8).unix, "till": minute(60).unix})

    assert [line.split(b",")[0] for line in answer.body.splitlines()[1:]] == (
        [f"2024-01-03T07:{n:02}:00Z".encode() for n in (8, 9, 10, 11)]
    )
    assert (answer.headers["candles-complete"], answer.headers["cache-control"]) == ("false", "no-cache")


async def test_the_same_candles_as_answered_page_by_page(client: Client) -> None:
    for timeframe in ("M1", "M5"):
        query = {**SBER_QUERY, "timeframe": timeframe, "till": minute(60).unix, "tz": "Europe/Moscow"}
        page = await client.get("/v1/candles", {**query, "format": "csv"})
        assert (await client.get(PATH, query)).body == page.body


async def test_accept_chooses_the_form(client: Client) -> None:
    for form, media_type in MEDIA_TYPES.items():
        answer = await client.get(PATH, SBER_QUERY, accept=f"application/json, {media_type};q=0.5, */*;q=0.1")
        assert answer.headers["content-disposition"].endswith(f'.{form}"')
    assert (await client.get(PATH, SBER_QUERY, accept="text/html, */*")).headers["content-type"].startswith("text/csv")
    refused = await client.get(PATH, SBER_QUERY, accept="application/json")
    assert (refused.status, refused.headers["content-type"]) == (406, PROBLEM)
    assert conforms(client, refused, "get", PATH)


async def test_what_is_at_hand_is_not_sent_again(client: Client) -> None:
    tags = {}
    for name, more in {"csv": {}, "parquet": {"format": "parquet"}, "zone": {"tz": "Asia/Tokyo"}}.items():
        answer = await client.get(PATH, {**SBER_QUERY, **more})
        tags[name] = answer.headers["etag"]
        again = await client.get(PATH, {**SBER_QUERY, **more}, if_none_match=tags[name])
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tags[name])
    packed = await client.get(PATH, SBER_QUERY, accept_encoding="gzip")

    assert len({*tags.values(), packed.headers["etag"]}) == 4
    assert (await client.get(PATH, SBER_QUERY, if_none_match=tags["zone"])).status == 200


@pytest.mark.parametrize("form", FORMS)
async def test_text_is_packed_on_wish_and_tables_never(client: Client, form: FileForm) -> None:
    answer = await client.get(PATH, {**SBER_QUERY, "format": form}, accept_encoding="gzip")

    assert answer.headers.get("content-encoding") == ("gzip" if form.is_text else None)
    assert read(form, gzip.decompress(answer.body) if form.is_text else answer.body) == a_page(range(10))


async def test_head_tells_of_a_file_without_writing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Changing()
    await store(storage, a_page(range(12)), (T0, minute(10)), followed_from=T0)
    client = a_client(storage)
    monkeypatch.setattr(exporting, "PAGE_ROWS", 1)
    monkeypatch.setattr(export, "_PIECE", 20)  # a page is sent in several, one right after the other
    whole = await client.get(PATH, SBER_QUERY)
    storage.after = 10  # the pages behind would break off

    answer = await client.ask("HEAD", PATH, SBER_QUERY)

    assert (answer.status, answer.body, answer.headers["etag"]) == (200, b"", whole.headers["etag"])


@pytest.mark.parametrize(
    ("change", "status", "problem"),
    [
        ({"security": "TQBR:GAZP"}, 404, "series-not-found"),
        ({"timeframe": "D1"}, 404, "series-not-found"),
        ({"security": "SBER"}, 422, "invalid-input"),
        ({"from": minute(5).unix, "till": T0.unix}, 422, "invalid-input"),
        ({"format": "xls"}, 422, "invalid-input"),
        ({"tz": "Mars"}, 422, "invalid-input"),
        ({"limit": "5"}, 422, "invalid-input"),
        ({"from": [T0.unix, minute(1).unix]}, 422, "invalid-input"),
    ],
)
async def test_errors_are_problems(client: Client, change: dict[str, object], status: int, problem: str) -> None:
    answer = await client.get(PATH, {**SBER_QUERY, **change})

    assert (answer.status, answer.json["type"]) == (status, f"urn:moex-candles:problem:{problem}")
    assert conforms(client, answer, "get", PATH)


async def test_a_change_before_the_first_byte_is_a_problem() -> None:
    storage = Changing()
    await store(storage, a_page(range(12)), (T0, minute(10)), followed_from=T0)
    client = a_client(storage)
    storage.after = 5  # where the series begins, where it is covered, its history, its coverage, the first page

    answer = await client.get(PATH, SBER_QUERY)

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.json["type"] == "urn:moex-candles:problem:series-changed"


async def test_without_pyarrow_tables_are_not_implemented(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    answers = {form: await client.get(PATH, {**SBER_QUERY, "format": form}) for form in FORMS}

    assert {form: answer.status for form, answer in answers.items()} == (
        {FileForm.CSV: 200, FileForm.NDJSON: 200, FileForm.ARROW: 501, FileForm.PARQUET: 501}
    )
    for form in (FileForm.ARROW, FileForm.PARQUET):
        assert "pip install 'moex-candles[arrow]'" in answers[form].json["detail"]
        assert conforms(client, answers[form], "get", PATH)


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("form", FORMS)
async def test_a_file_that_breaks_off_never_looks_whole(
    form: FileForm, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Changing()
    await store(storage, a_page(range(1000)), (T0, minute(1000)), followed_from=T0)
    monkeypatch.setattr(exporting, "PAGE_ROWS", 100)
    service = a_client(storage).app.state.service

    with capture_logs(), listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        async with asyncio.timeout(60), serving(service, listener), aiohttp.ClientSession() as http:
            url, headers = f"http://127.0.0.1:{port}{PATH}", {"Accept-Encoding": coding}
            async with http.get(url, params={**SBER_QUERY, "format": form}, headers=headers) as whole:
                assert read(form, await whole.read()) == a_page(range(1000))
            storage.after = 8
            async with http.get(url, params={**SBER_QUERY, "format": form}, headers=headers) as broken:
                assert broken.status == 200
                with pytest.raises(aiohttp.ClientPayloadError):
                    await broken.read()


async def test_who_takes_nothing_is_let_go(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_PATIENCE", 0.01)
    scope = client.scope("GET", PATH, SBER_QUERY)

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    with capture_logs() as logs, pytest.raises(TimeoutError):
        await client.app(scope, receive, send)

    assert logs[0]["event"] == "request crashed"


@pytest.fixture(scope="module")
def settled() -> Client:
    storage = MemoryStorage()
    run_apart(store(storage, a_page(range(10)), (T0, minute(8)), followed_from=T0))
    return a_client(storage)


NAMES = ["security", "timeframe", "from", "till", "tz", "format", "else"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(changes=st.dictionaries(st.sampled_from(NAMES), AWKWARD, min_size=1, max_size=4))
def test_no_query_breaks_the_export(settled: Client, changes: dict[str, str]) -> None:
    answer = run_apart(settled.get(PATH, {**SBER_QUERY, **changes}))

    assert answer.status in {200, 404, 422}
    assert answer.status == 200 or answer.headers["content-type"] == PROBLEM
