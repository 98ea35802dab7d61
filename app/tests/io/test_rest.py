"""What holds for the whole API: errors, ids, health, its description, and that nothing a caller sends breaks it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]  # its types are a package more
from structlog.testing import capture_logs

from app.core.errors import (
    SchemaMismatchError,
    SourceMismatchError,
    StorageBusyError,
    StorageError,
    StorageUnavailableError,
)
from app.io.rest_api.main import create_app
from app.repository.memory import MemoryStorage
from app.repository.sql import SqlStorage
from app.settings import Settings
from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.server import Simulator
from app.tests.builders import T0, a_page, minute
from app.tests.conftest import run_apart
from app.tests.io.rest_client import Answer, Client, a_client, store

PROBLEM = "application/problem+json"
CANDLES = "/v1/candles"
FRESHNESS = "/health/freshness"
TEN = {"security": "TQBR:SBER", "timeframe": "M1", "from": str(T0.unix), "till": str(minute(10).unix)}
NEW = {"ticker": "SBER", "board": "TQBR"}


class BrokenStorage(MemoryStorage):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def read(self) -> Any:  # noqa: ANN401  # it returns nothing
        raise self._error

    async def check(self, _source: str, /) -> None:
        raise self._error


@pytest.fixture
async def client() -> Client:
    storage = MemoryStorage()
    await store(storage, a_page(range(10)), (T0, minute(8)), followed_from=T0)
    return a_client(storage)


def conforms(client: Client, answer: Answer, method: str, path: str) -> bool:
    """Check an answer against what OpenAPI says of it."""
    api = client.app.openapi()
    described = api["paths"][path][method]["responses"][str(answer.status)]
    schema = described["content"][answer.headers["content-type"]]["schema"]
    Draft202012Validator({**schema, "components": api["components"]}, format_checker=FormatChecker()).validate(
        answer.json
    )
    return True


async def test_an_unknown_path_is_a_problem(client: Client) -> None:
    answer = await client.get("/v2/ъ\0")

    assert answer.headers["content-type"] == PROBLEM
    assert answer.json == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "Not Found",
        "instance": "/v2/%D1%8A%00",
        "request_id": answer.headers["x-request-id"],
    }


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/securities", {"GET", "HEAD", "POST"}),
        ("POST", "/v1/securities/TQBR/SBER", {"GET", "HEAD", "DELETE"}),
        ("TRACE", CANDLES, {"GET", "HEAD"}),
    ],
)
async def test_another_method_is_a_problem_that_names_the_right_ones(
    client: Client, method: str, path: str, allowed: set[str]
) -> None:
    answer = await client.ask(method, path)

    assert (answer.status, answer.headers["content-type"]) == (405, PROBLEM)
    assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    ("error", "status", "patience"),
    [
        (StorageUnavailableError("db.inside:5432 is away"), 503, "5"),
        (StorageBusyError("db.inside:5432 is busy"), 503, "1"),
        (SchemaMismatchError("db.inside:5432 is old"), 503, "60"),
        (SourceMismatchError("db.inside:5432 is another's"), 503, "60"),
        (StorageError("db.inside:5432 refused"), 500, None),
        (ZeroDivisionError("db.inside:5432"), 500, None),
    ],
)
async def test_failures_of_ours_are_problems_that_tell_nothing_of_the_inside(
    error: Exception, status: int, patience: str | None
) -> None:
    client = a_client(BrokenStorage(error))

    with capture_logs() as logs:
        answer = await client.get(CANDLES, TEN)

    assert (answer.status, answer.headers["content-type"]) == (status, PROBLEM)
    assert answer.headers.get("retry-after") == patience
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert b"inside" not in answer.body
    assert conforms(client, answer, "get", CANDLES)
    assert [log["event"] for log in logs] in (["request failed", "request"], ["request crashed", "request"])


async def test_a_request_keeps_its_id_or_gets_one(client: Client) -> None:
    given = await client.get("/health/live", x_request_id="a-1.B_2")
    first, second = [await client.get("/health/live", x_request_id=bad) for bad in ("no\tid", "x" * 129)]

    assert given.headers["x-request-id"] == "a-1.B_2"
    assert len({first.headers["x-request-id"], second.headers["x-request-id"], "no\tid", "x" * 129}) == 4


async def test_a_request_is_one_line_of_the_log_without_its_query(client: Client) -> None:
    with capture_logs() as logs:
        await client.get(CANDLES, {**TEN, "token": "secret"})

    [line] = logs
    assert (line["event"], line["method"], line["path"], line["status"]) == ("request", "GET", CANDLES, 422)
    assert line["ms"] >= 0
    assert "secret" not in str(line)


async def test_readiness_is_the_databases(client: Client) -> None:
    answer = await client.get("/health/ready")

    assert (answer.status, answer.json) == (200, {"status": "ok"})
    assert conforms(client, answer, "get", "/health/ready")


@pytest.mark.parametrize(
    "url", ["sqlite+aiosqlite:////no/such/folder/candles.db", "postgresql+asyncpg://nobody@127.0.0.1:1/candles"]
)
async def test_without_its_database_the_service_lives_but_is_not_ready(url: str) -> None:
    storage = SqlStorage.open(url)
    client = a_client(storage)

    ready, live = await client.get("/health/ready"), await client.get("/health/live")
    await storage.close()

    assert (ready.status, ready.headers["content-type"], live.status) == (503, PROBLEM, 200)
    assert conforms(client, ready, "get", "/health/ready")


async def test_how_current_the_service_is_names_as_many_as_are_wanted(client: Client) -> None:
    await client.post("/v1/securities", {"ticker": "SBER", "board": "TQBR", "timeframes": ["M1", "H1", "D1"]})

    few, strange = await client.get(FRESHNESS, {"limit": "2"}), await client.get(FRESHNESS, {"limits": "2"})
    alarm = await client.get(FRESHNESS, {"alarm": "true"})

    assert (few.status, few.json["counts"]["behind"], len(few.json["worst"])) == (200, 3, 2)
    assert (strange.status, alarm.status, alarm.headers["content-type"]) == (422, 503, PROBLEM)
    for answer in (few, strange, alarm):
        assert conforms(client, answer, "get", FRESHNESS)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (CANDLES, TEN),
        (CANDLES, {**TEN, "shape": "columns", "tz": "Asia/Kathmandu"}),
        (CANDLES, {**TEN, "limit": "2"}),
        (CANDLES, {**TEN, "limit": "0"}),
        (CANDLES, {**TEN, "cursor": "no"}),
        (CANDLES, {**TEN, "timeframe": "D1"}),
        ("/v1/securities", {}),
        ("/v1/timeframes", {}),
        ("/health/live", {}),
    ],
)
async def test_answers_are_as_they_are_described(client: Client, path: str, query: dict[str, str]) -> None:
    assert conforms(client, await client.get(path, query), "get", path)


async def test_answers_about_a_security_are_as_they_are_described(client: Client) -> None:
    one = "/v1/securities/{board}/{ticker}"

    for body in (NEW, {**NEW, "ticker": "GAZP"}, {**NEW, "ticker": "NOSUCH"}, {**NEW, "more": 1}):
        assert conforms(client, await client.post("/v1/securities", body), "post", "/v1/securities")
    for path in (one, f"{one}/spans"):
        for ticker in ("SBER", "NOSUCH", "?"):
            answer = await client.get(path.format(board="TQBR", ticker=ticker))
            assert conforms(client, answer, "get", path)


async def test_the_description_covers_every_error_as_a_problem(client: Client) -> None:
    api = client.app.openapi()
    operations = [operation for path in api["paths"].values() for operation in path.values()]

    assert "HTTPValidationError" not in api["components"]["schemas"]
    for operation in operations:
        errors = {status: one for status, one in operation["responses"].items() if status >= "400"}
        assert {"500", "503"} <= set(errors)
        assert all(list(one["content"]) == [PROBLEM] for one in errors.values())
    parameters = [parameter for operation in operations for parameter in operation.get("parameters", [])]
    assert all(parameter.get("description") or "examples" in parameter["schema"] for parameter in parameters)
    assert (await client.get("/docs")).status == 200


AWKWARD = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "",
            "\0",
            "0000-01-01",
            "9999-12-31",
            "2100-12-31",
            "1990-01-01",
            "-1",
            "99999999999999999999",
            "1e400",
            "NaN",
            "2014-10-26T01:30",
            "2010-03-28T02:30",
            "'; DROP TABLE candle; --",
            "TQBR:SBER' OR '1'='1",
            "../../etc/passwd",
            "..%2f",
            "Europe",
            "localtime",
            "🙂",
            "\u202eREBS",
            "%00",
            "٣",
            "x" * 10_000,
        ]
    ),
)
NAMES = ["security", "timeframe", "from", "till", "limit", "cursor", "order", "last", "tz", "shape", "format", "else"]


@pytest.fixture(scope="module")
def settled() -> Client:
    storage = MemoryStorage()
    run_apart(store(storage, a_page(range(10)), (T0, minute(8)), followed_from=T0))
    return a_client(storage)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(changes=st.dictionaries(st.sampled_from(NAMES), AWKWARD, min_size=1, max_size=4))
def test_no_query_breaks_the_candles(settled: Client, changes: dict[str, str]) -> None:
    answer = run_apart(settled.get(CANDLES, {**TEN, **changes}))

    assert answer.status in {200, 400, 404, 422}
    assert answer.status == 200 or answer.headers["content-type"] == PROBLEM


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(values=st.tuples(AWKWARD, AWKWARD, AWKWARD), method=st.sampled_from(["GET", "HEAD", "DELETE"]))
def test_no_path_breaks_the_securities(settled: Client, values: tuple[str, str, str], method: str) -> None:
    board, ticker, query = values

    answer = run_apart(settled.ask(method, f"/v1/securities/{board}/{ticker}", {"timeframe": query, "purge": query}))

    assert answer.status in {204, 404, 405, 422}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(query=st.dictionaries(st.sampled_from(["q", "board", "market", "limit", "cursor", "else"]), AWKWARD))
def test_no_query_breaks_the_list(settled: Client, query: dict[str, str]) -> None:
    answer = run_apart(settled.get("/v1/securities", query))

    assert answer.status in {200, 400, 422}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(
    body=st.dictionaries(
        st.sampled_from(["ticker", "board", "timeframes", "since"]), st.one_of(AWKWARD, st.lists(AWKWARD), st.floats())
    )
)
def test_no_body_breaks_the_securities(settled: Client, body: dict[str, object]) -> None:
    answer = run_apart(settled.post("/v1/securities", {**NEW, **body}))

    assert answer.status in {200, 201, 400, 404, 422}


class Server(uvicorn.Server):
    """Says where it listens once it does."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(uvicorn.Config(app, port=0, lifespan="on", log_config=None, access_log=False))
        self.url: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()
        self.url.set_result(f"http://{host}:{port}")


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[aiohttp.ClientSession]:
    server = Server(app)
    async with asyncio.timeout(120):
        serving = asyncio.create_task(server.serve())
        try:
            async with aiohttp.ClientSession(await server.url) as session:
                yield session
        finally:
            server.should_exit = True
            await serving


async def test_the_app_opens_its_service_from_settings_and_serves(sqlite_url: str) -> None:
    clock = SimulatedClock(read_moment("2024-01-17T12:00"), stopped=True)
    async with Simulator(clock=clock).serve() as exchange:
        urls = {"database_url": sqlite_url, "iss_url": exchange.url}
        given = Settings.model_validate({"_env_file": None, **urls, "iss_rate": 1000, "clock": "source"})
        async with served(create_app(given)) as http:
            async with http.post(
                "/v1/securities", json={**NEW, "timeframes": ["D1"], "since": "2024-01-03"}
            ) as created:
                assert created.status == 201
            async with http.get(CANDLES, params={"security": "TQBR:SBER", "timeframe": "D1"}) as candles:
                assert (candles.status, candles.content_type) == (200, "application/json")
            async with http.head(CANDLES, params={"security": "TQBR:SBER", "timeframe": "D1", "till": "x"}) as bad:
                assert (bad.status, await bad.read()) == (422, b"")
            async with http.get("/health/ready") as ready:
                assert ready.status == 200


async def test_without_settings_the_environment_is_read_when_the_app_starts(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str
) -> None:
    app = create_app(with_schedule=False)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setattr("app.io.rest_api.main.configure_logging", lambda _level: None)

    async with app.router.lifespan_context(app):
        assert app.state.service.settings.database_url == sqlite_url
