"""S: the way to the exchange fails, all the way into the store. Each row: the fault strikes, then it is gone."""

import asyncio
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import stamina
from aiohttp import web

from app.bootstrap import Service
from app.core.entities import Timeframe
from app.core.errors import SourcePausedError, SourceRefusedError, SourceUnavailableError
from app.market_data_adapter.moex import MoexAdapter
from app.simulator.fault_kinds import Reset, Slow, Status
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.simulator.servers import FaultProxy
from app.tests.certificates import Pair, expired, self_signed
from app.tests.journeys.conftest import environment_of
from app.tests.journeys.healing import H1, M1, follow_two, meet, recover, spans_of
from app.tests.journeys.test_update import SBER, assert_equals_the_tape, follow, update
from app.tests.market_data_adapter.asking import moments, rest

OpenService = Callable[..., Awaitable[Service]]
CANDLES = Match(path="/candles.json")
SOURCE_FAILED = 4
pytestmark = pytest.mark.usefixtures("without_pauses")
IMPATIENT = {"iss_total_timeout": 2, "iss_connect_timeout": 1, "iss_read_timeout": 1}
"""Not so that what is well were given up twice on a busy machine."""


@pytest.fixture
def opened(open_service: OpenService, database_url: str) -> OpenService:
    """Open a service that follows two series before anything goes wrong."""

    async def open_(**more: object) -> Service:
        service = await open_service(database_url, **more)
        await follow_two(service, days=3)
        return service

    return open_


@pytest.mark.parametrize("code", [500, 502, 503])
async def test_s1_an_error_that_passes_is_not_noticed(opened: OpenService, simulator: Simulator, code: int) -> None:
    service = await opened()

    outcome = await meet(service, simulator, Status(match=CANDLES, code=code))

    assert outcome.failures == {}
    await assert_equals_the_tape(service, simulator)


async def test_s1_an_exchange_that_stays_away_is_left_alone_and_read_to_the_end_later(
    opened: OpenService, simulator: Simulator
) -> None:
    service = await opened(iss_break_after=2, iss_break_for=60, iss_concurrency=1)
    simulator.requests.clear()

    outcome = await meet(service, simulator, Status(match=CANDLES, code=503, after=1, times=None))

    status = await service.source_status()
    assert (status.state, "answered 503" in status.reason) == ("open", True)
    assert all(isinstance(failure, SourceUnavailableError) for failure in outcome.failures.values())
    assert outcome.failures
    assert sum(request.path.endswith("candles.json") for request in simulator.requests) == 3
    with pytest.raises(SourcePausedError, match="left alone until"):
        await update(service)
    assert isinstance(service.adapter, MoexAdapter)
    await rest(service.adapter._client._budget)
    await recover(service, simulator)


async def test_s9_one_push_back_in_five_loses_nothing(opened: OpenService, simulator: Simulator) -> None:
    stamina.set_testing(True, attempts=20)
    service = await opened()

    outcome = await meet(
        service, simulator, Status(match=CANDLES, code=429, retry_after="0", times=None, probability=0.2)
    )

    assert outcome.failures == {}
    await assert_equals_the_tape(service, simulator)


@pytest.mark.parametrize("code", [429, 403])
@pytest.mark.parametrize("retry_after", ["1", "Wed, 17 Jan 2024 09:00:01 GMT"])
async def test_s9_the_wish_for_patience_holds_for_all(
    opened: OpenService, simulator: Simulator, code: int, retry_after: str
) -> None:
    service = await opened(iss_concurrency=1)
    simulator.requests.clear()

    outcome = await meet(service, simulator, Status(match=CANDLES, code=code, retry_after=retry_after))

    assert outcome.failures == {}
    assert max(after - before for before, after in pairwise(moments(simulator))) >= 0.95
    await assert_equals_the_tape(service, simulator)


@pytest.mark.parametrize("fault", [Slow(seconds=60), Slow(bytes_per_second=500)], ids=["silent", "trickles"])
async def test_s10_an_answer_that_takes_too_long_is_given_up(
    opened: OpenService, simulator: Simulator, fault: Slow
) -> None:
    service = await opened(**IMPATIENT)
    slow = Slow(match=CANDLES, seconds=fault.seconds, bytes_per_second=fault.bytes_per_second, times=None)

    outcome = await meet(service, simulator, slow)

    assert set(outcome.failures) == {M1, H1}
    assert all("did not answer in time" in str(failure) for failure in outcome.failures.values())
    await recover(service, simulator)


async def test_s10_a_way_that_swallows_everything_is_given_up(
    open_service: OpenService, simulator: Simulator, database_url: str
) -> None:
    address = urlsplit(simulator.url)
    async with FaultProxy(str(address.hostname), address.port or 0) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        service = await open_service(database_url, iss_url=url, **IMPATIENT)
        await follow(service, SBER, timeframes=(Timeframe.M1,), days=3)

        proxy.swallows = True
        with pytest.raises(SourceUnavailableError, match="did not answer in time"):
            await update(service)
        assert await spans_of(service, M1) == []

        proxy.swallows = False
        await recover(service, simulator)


async def test_s10_who_lets_nobody_in_is_given_up(open_named: OpenService, names: list[str], port: int) -> None:
    names[:] = ["127.0.0.2"]
    with black_hole("127.0.0.2", port):
        service = await open_named(**IMPATIENT)
        with pytest.raises(SourceUnavailableError, match="did not answer in time"):
            await update(service)


async def test_s11_a_name_that_is_not_found_is_asked_for_again(
    open_named: OpenService, simulator: Simulator, names: list[str]
) -> None:
    names.clear()
    service = await open_named()

    with pytest.raises(SourceUnavailableError, match=r"cannot reach exchange\.test: .*name resolution"):
        await update(service)

    assert await spans_of(service, M1) == []
    names[:] = ["127.0.0.1"]
    await recover(service, simulator)


async def test_s11_a_wrong_address_is_an_error(open_named: OpenService, simulator: Simulator, names: list[str]) -> None:
    names[:] = ["127.0.0.2"]
    with pytest.raises(SourceUnavailableError, match=r"cannot reach exchange\.test: Connection refused; check"):
        await update(await open_named())

    names[:] = ["127.0.0.1"]
    await recover(await open_named(), simulator)


async def test_s11_one_address_of_two_that_swallows_everything_is_passed_by(
    open_named: OpenService, simulator: Simulator, names: list[str], port: int
) -> None:
    names[:] = ["127.0.0.2", "127.0.0.1"]
    with black_hole("127.0.0.2", port):
        await recover(await open_named(), simulator)


async def test_s12_nobody_follows_a_redirect(opened: OpenService, simulator: Simulator) -> None:
    service = await opened()
    async with Simulator().serve() as elsewhere:
        redirect = Status(match=CANDLES, code=302, location=f"{elsewhere.url}/iss/login", times=None)

        outcome = await meet(service, simulator, redirect)

        assert set(outcome.failures) == {M1, H1}
        assert all(isinstance(failure, SourceRefusedError) for failure in outcome.failures.values())
        assert "redirects are not followed" in str(outcome.failures[M1])
        assert not elsewhere.requests
    await recover(service, simulator)


async def test_s13_a_bad_certificate_is_an_error_at_once_and_a_good_one_is_enough(
    opened: OpenService, simulator: Simulator, database_url: str, tmp_path: Path
) -> None:
    service = await opened()
    good, strange, past = self_signed(tmp_path), self_signed(tmp_path, "elsewhere.test"), expired(tmp_path)

    said = await asyncio.gather(
        update_encrypted(simulator, database_url, good, trusted=strange[0]),
        update_encrypted(simulator, database_url, strange, trusted=strange[0]),
        update_encrypted(simulator, database_url, past, trusted=past[0]),
    )

    assert [code for code, _ in said] == [SOURCE_FAILED] * 3
    for (_, text), reason in zip(said, ("self-signed", "Hostname mismatch", "expired"), strict=True):
        assert "shows a bad certificate" in text
        assert reason in text
    assert await spans_of(service, M1) == []
    assert (await update_encrypted(simulator, database_url, good, trusted=good[0]))[0] == 0
    await assert_equals_the_tape(service, simulator)


async def test_s22_a_security_that_is_not_there_fails_alone_and_is_no_failure_of_the_exchange(
    opened: OpenService, simulator: Simulator
) -> None:
    service = await opened(iss_break_after=1)

    outcome = await meet(service, simulator, Status(match=Match(path="SBER/candles"), code=404, times=None))

    assert list(outcome.failures) == [M1]
    assert isinstance(outcome.failures[M1], SourceRefusedError)
    assert (await service.source_status()).state == "ok"
    await recover(service, simulator)


async def test_s25_a_connection_closed_while_idle_costs_no_attempt(opened: OpenService, simulator: Simulator) -> None:
    stamina.set_testing(True, attempts=1)
    service = await opened(iss_concurrency=1)
    rule = simulator.faults.add(Reset(match=CANDLES))

    outcome = await update(service)

    assert (rule.struck, outcome.failures) == (1, {})
    await assert_equals_the_tape(service, simulator)


async def test_s25_a_server_that_resets_every_connection_is_an_error(opened: OpenService, simulator: Simulator) -> None:
    service = await opened()

    outcome = await meet(service, simulator, Reset(match=CANDLES, times=None))

    assert all(isinstance(failure, SourceUnavailableError) for failure in outcome.failures.values())
    assert set(outcome.failures) == {M1, H1}
    await recover(service, simulator)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `exchange.test` resolves to; with no address the resolver fails."""
    addresses, resolve = ["127.0.0.1"], socket.getaddrinfo

    def getaddrinfo(host: str, *more: Any, **options: Any) -> list[Any]:  # noqa: ANN401  # handed through
        if host != "exchange.test":
            return resolve(host, *more, **options)
        if not addresses:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [entry for address in addresses for entry in resolve(address, *more, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return addresses


@pytest.fixture
def port(simulator: Simulator) -> int:
    return urlsplit(simulator.url).port or 0


@pytest.fixture
async def open_named(opened: OpenService, open_service: OpenService, database_url: str, port: int) -> OpenService:
    """Open services that know the exchange by its name, as processes do that start only now."""
    await opened()

    async def open_(**more: object) -> Service:
        return await open_service(database_url, iss_url=f"http://exchange.test:{port}", **more)

    return open_


@contextmanager
def black_hole(address: str, port: int) -> Iterator[None]:
    """Listen and never accept, with a full queue: who connects is not even refused."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((address, port), backlog=0))
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003  # its signature
            waiting.connect_ex(listener.getsockname())
        yield


async def update_encrypted(
    simulator: Simulator, database_url: str, pair: Pair, *, trusted: Path
) -> tuple[int | None, str]:
    """Update in a process that trusts this certificate, over TLS with that one; return its exit code and its words."""
    app, context = web.Application(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    app.router.add_route("*", "/{path:.*}", simulator._handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        url = f"https://localhost:{runner.addresses[0][1]}"
        environment = {**environment_of(simulator, database_url), "ISS_URL": url, "SSL_CERT_FILE": str(trusted)}
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app.io.cli", "update-candles",
            env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await child.communicate()
        return child.returncode, said.decode()
    finally:
        await runner.cleanup()
