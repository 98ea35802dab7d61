"""Signed-in users: no delay, one sign-in, a clear error, and no secret anywhere."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta

import pytest
import stamina
import structlog
from aiohttp import encode_basic_auth, web

from app.bootstrap import Service, bootstrap
from app.core.date_time import Timestamp
from app.core.entities import Security, Timeframe
from app.core.errors import SourceError, SourceRefusedError, SourceSignInError, SourceUnavailableError
from app.core.spans import Period
from app.market_data_adapter.iss import IssClient
from app.market_data_adapter.sign_in import Account, Token
from app.settings import Settings
from app.simulator.access import Access
from app.simulator.clock import SimulatedClock
from app.simulator.fault_kinds import Status
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.market_data_adapter.conftest import NOON

PATH = "/iss/securities/SBER.json"
TOKEN, PASSWORD = "t0ken", "p4ssw0rd"
SECRETS = (TOKEN, PASSWORD, encode_basic_auth("user", PASSWORD).split()[1])
OpenClient = Callable[..., IssClient]


@pytest.fixture(autouse=True)
def _without_pauses() -> Iterator[None]:
    stamina.set_testing(True, attempts=2, cap=True)
    yield
    stamina.set_testing(False)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    access = Access({"user": PASSWORD}, frozenset([TOKEN]))
    async with Simulator(clock=SimulatedClock(NOON, stopped=True), access=access).serve() as running:
        yield running


def account(simulator: Simulator, password: str = PASSWORD, again_after: float = 0.0) -> Account:
    return Account(f"{simulator.url}/authenticate", "user", password, again_after=again_after)


def sign_ins(simulator: Simulator) -> int:
    return sum(request.path == "/authenticate" for request in simulator.requests)


async def test_an_account_signs_in_once_for_all_its_requests(simulator: Simulator, open_client: OpenClient) -> None:
    client = open_client(simulator.url, access=account(simulator))

    await asyncio.gather(*(client.get(PATH, {}, bytes) for _ in range(5)))

    assert (sign_ins(simulator), len(simulator.requests)) == (1, 6)


@pytest.mark.parametrize("who", [{"iss_login": "user", "iss_password": PASSWORD}, {"iss_token": TOKEN}, {}], ids=str)
async def test_who_is_signed_in_reads_up_to_now(simulator: Simulator, sqlite_url: str, who: dict[str, str]) -> None:
    async with bootstrap(settings_of(simulator, sqlite_url, **who)) as service:
        last = await last_minute(service)

        late = timedelta() if who else timedelta(minutes=15)
        assert service.adapter.delay == late
        assert late <= NOON - last <= late + timedelta(minutes=2)


async def test_an_expired_sign_in_is_renewed_once(simulator: Simulator, open_client: OpenClient) -> None:
    client = open_client(simulator.url, access=account(simulator))
    await client.get(PATH, {}, bytes)
    simulator.clock.advance(timedelta(hours=13))

    await asyncio.gather(*(client.get(PATH, {}, bytes) for _ in range(5)))

    assert sign_ins(simulator) == 2


async def test_a_sign_in_that_ends_at_once_is_an_error_and_no_loop(
    simulator: Simulator, open_client: OpenClient
) -> None:
    client = open_client(simulator.url, access=account(simulator, again_after=60))
    await client.get(PATH, {}, bytes)
    simulator.access.expire()

    for _ in range(3):
        with pytest.raises(SourceSignInError):
            await client.get(PATH, {}, bytes)

    assert sign_ins(simulator) == 1


async def test_who_is_not_entitled_is_told_so_and_gets_no_late_data(
    simulator: Simulator, open_client: OpenClient
) -> None:
    simulator.access.is_denied = True
    client = open_client(simulator.url, access=account(simulator, again_after=60))

    for _ in range(3):
        with pytest.raises(SourceSignInError, match=r"15 minutes late|does not accept our account"):
            await client.get(PATH, {}, bytes)

    assert sign_ins(simulator) == 1


async def test_a_wrong_password_is_asked_for_once(simulator: Simulator, open_client: OpenClient) -> None:
    client = open_client(simulator.url, access=account(simulator, "wr0ng"))

    for _ in range(3):
        with pytest.raises(SourceSignInError, match="check ISS_LOGIN and ISS_PASSWORD"):
            await client.get(PATH, {}, bytes)

    assert [request.path for request in simulator.requests] == ["/authenticate"]


async def test_a_sign_in_page_that_is_down_is_tried_again(simulator: Simulator, open_client: OpenClient) -> None:
    simulator.faults.add(Status(code=503, match=Match(path="authenticate")))

    await open_client(simulator.url, access=account(simulator), attempts=2).get(PATH, {}, bytes)

    assert sign_ins(simulator) == 2


@pytest.mark.parametrize(("tokens", "is_denied"), [(frozenset(), False), (frozenset([TOKEN]), True)])
async def test_a_token_that_is_refused_is_an_error_and_not_sent_again(
    simulator: Simulator, open_client: OpenClient, tokens: frozenset[str], *, is_denied: bool
) -> None:
    client = open_client(simulator.url, access=Token(TOKEN))
    await client.get(PATH, {}, bytes)
    simulator.access.tokens, simulator.access.is_denied = tokens, is_denied

    for _ in range(3):
        with pytest.raises(SourceSignInError):
            await client.get(PATH, {}, bytes)

    assert len(simulator.requests) == 2


async def test_s9_a_403_without_the_mark_is_a_push_back_though_we_are_signed_in(
    simulator: Simulator, open_client: OpenClient
) -> None:
    client = open_client(simulator.url, access=account(simulator), attempts=2)
    await client.get(PATH, {}, bytes)
    simulator.faults.add(Status(code=403))

    await client.get(PATH, {}, bytes)

    assert (sign_ins(simulator), len(simulator.requests)) == (1, 4)


async def test_s12_nothing_secret_follows_a_redirect(simulator: Simulator, open_client: OpenClient) -> None:
    client = open_client(simulator.url, access=Token(TOKEN))
    async with Simulator().serve() as elsewhere:
        simulator.faults.add(Status(code=302, location=f"{elsewhere.url}/iss/index.json"))

        with pytest.raises(SourceRefusedError, match="redirects are not followed"):
            await client.get(PATH, {}, bytes)

        assert not elsewhere.requests


async def broken(url: str, open_client: OpenClient) -> None:
    """Ask a server that answers what is no HTTP: the library's own errors then hold the request's headers."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n")
        await writer.drain()
        writer.close()

    del url
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await open_client(f"http://127.0.0.1:{port}", access=Token(TOKEN)).get(PATH, {}, bytes)


async def refused_token(url: str, open_client: OpenClient) -> None:
    await open_client(url, access=Token(f"{TOKEN}-of-nobody")).get(PATH, {}, bytes)


async def refused_password(url: str, open_client: OpenClient) -> None:
    access = Account(f"{url}/authenticate", "user", f"not {PASSWORD}")
    await open_client(url, access=access).get(PATH, {}, bytes)


async def nobody_there(url: str, open_client: OpenClient) -> None:
    del url
    access = Account("http://127.0.0.1:1/authenticate", "user", PASSWORD)
    await open_client("http://127.0.0.1:1", access=access).get(PATH, {}, bytes)


@pytest.mark.parametrize("way", [broken, refused_token, refused_password, nobody_there])
async def test_nothing_secret_is_in_an_error_or_a_log(
    simulator: Simulator,
    open_client: OpenClient,
    caplog: pytest.LogCaptureFixture,
    way: Callable[[str, OpenClient], Awaitable[None]],
) -> None:
    caplog.set_level(logging.DEBUG)

    with structlog.testing.capture_logs() as logs, pytest.raises(SourceError) as raised:
        await way(simulator.url, open_client)

    told = f"{raised.value!r} {''.join(traceback.format_exception(raised.value))} {caplog.text} {logs}"
    assert not [secret for secret in SECRETS if secret in told]


async def test_anybody_who_meets_a_closed_door_is_told_what_to_set(open_client: OpenClient) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=401)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with pytest.raises(SourceSignInError, match="set ISS_LOGIN and ISS_PASSWORD, or ISS_TOKEN"):
            await open_client(f"http://127.0.0.1:{runner.addresses[0][1]}").get(PATH, {}, bytes)
    finally:
        await runner.cleanup()


async def test_a_sign_in_page_that_is_away_is_no_refusal(simulator: Simulator, open_client: OpenClient) -> None:
    access = Account("http://127.0.0.1:1/authenticate", "user", PASSWORD)

    with pytest.raises(SourceUnavailableError):
        await open_client(simulator.url, access=access).get(PATH, {}, bytes)

    assert not simulator.requests


def settings_of(simulator: Simulator, database_url: str, **more: str) -> Settings:
    values = {
        "iss_url": simulator.url,
        "iss_passport_url": f"{simulator.url}/authenticate",
        "iss_rate": None,
        "redis_url": None,
        "clock": "source",
        "database_url": database_url,
    }
    return Settings.model_validate({**values, **more})


async def last_minute(service: Service) -> Timestamp:
    """When the last candle begins that the exchange tells of the last hour."""
    card = await service.adapter.card(Security("SBER", "TQBR"))
    period = Period(NOON - timedelta(hours=1), NOON + timedelta(hours=1))
    pages = [page async for page in service.adapter.candles(card, Timeframe.M1, period)]
    return max(candle.timestamp for page in pages for candle in page.candles)
