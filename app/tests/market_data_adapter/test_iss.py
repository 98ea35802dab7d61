import asyncio
import time
from collections.abc import Callable, Iterator

import pytest
import stamina
from aiohttp import web

from app.core.errors import SourceBadAnswerError, SourceRefusedError, SourceUnavailableError
from app.market_data_adapter.budget import Budget
from app.market_data_adapter.iss import USER_AGENT, IssClient
from app.simulator.fault_kinds import Bomb, Cut, Html, Reset, Slow, Status, WrongDate
from app.simulator.faults import Fault
from app.simulator.server import Simulator
from app.simulator.servers import free_port
from app.tests.market_data_adapter.asking import moments
from app.tests.market_data_adapter.conftest import NOON
from app.tests.meeting import let_meet

PATH = "/iss/securities/SBER.json"
OpenClient = Callable[..., IssClient]


@pytest.fixture(autouse=True)
def _without_pauses() -> Iterator[None]:
    stamina.set_testing(True, attempts=5, cap=True)  # its signature
    yield
    stamina.set_testing(False)


def refuse(body: bytes) -> None:
    raise SourceBadAnswerError(f"no answer: {body[:20]!r}")


async def test_an_answer_comes_with_the_moment_it_was_given(simulator: Simulator, open_client: OpenClient) -> None:
    body, given_at = await open_client(simulator.url).get(PATH, {}, bytes)

    assert b"SBER" in body
    assert given_at == NOON


async def test_s24_the_age_of_a_cached_answer_counts(simulator: Simulator, open_client: OpenClient) -> None:
    simulator.faults.add(WrongDate(age=600))

    _, given_at = await open_client(simulator.url).get(PATH, {}, bytes)

    assert given_at is not None
    assert (NOON - given_at).total_seconds() == 600


@pytest.mark.parametrize(
    "fault",
    [
        Status(code=500),
        Status(code=503),
        Status(code=429),
        Status(code=403),
        Html(),
        Cut(at=100),
        Slow(seconds=60),
    ],
    ids=lambda fault: type(fault).__name__ + str(getattr(fault, "code", "")),
)
async def test_s1_s2_s3_s9_s10_what_may_pass_is_tried_again(
    simulator: Simulator, open_client: OpenClient, fault: Fault
) -> None:
    rule = simulator.faults.add(fault)

    client = open_client(simulator.url, attempts=5, read=2)  # as often as a busy machine may be as slow
    body, _ = await client.get(PATH, {}, bytes)

    assert rule.struck == 1
    assert b"SBER" in body


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Status(code=500, times=None), SourceUnavailableError),
        (Status(code=404, times=None), SourceRefusedError),
        (Html(times=None), SourceBadAnswerError),
        (Reset(times=None), SourceUnavailableError),
        (Slow(bytes_per_second=200, times=None), SourceUnavailableError),  # never silent for long, never done
        (Bomb(megabytes=64, times=None), SourceRefusedError),
    ],
    ids=lambda case: type(case).__name__ if isinstance(case, Fault) else case.__name__,
)
async def test_what_stays_is_an_error_that_says_where(
    simulator: Simulator, open_client: OpenClient, fault: Fault, error: type[Exception]
) -> None:
    simulator.faults.add(fault)
    patience = {"total": 2} if isinstance(fault, Slow) else {}

    with pytest.raises(error, match=r"127\.0\.0\.1"):
        await open_client(simulator.url, attempts=2, **patience).get(PATH, {}, bytes)


async def test_an_answer_the_parser_refuses_is_asked_again(simulator: Simulator, open_client: OpenClient) -> None:
    with pytest.raises(SourceBadAnswerError):
        await open_client(simulator.url, attempts=2).get(PATH, {}, refuse)

    assert len(simulator.requests) == 2


@pytest.mark.parametrize("error", [OverflowError, RecursionError, KeyError, TypeError, ValueError])
async def test_whatever_an_answer_does_to_its_reader_is_a_bad_answer(
    simulator: Simulator, open_client: OpenClient, error: type[Exception]
) -> None:
    def stumble(_: bytes) -> None:
        raise error

    with pytest.raises(SourceBadAnswerError, match="cannot be understood"):
        await open_client(simulator.url, attempts=2).get(PATH, {}, stumble)


@pytest.mark.parametrize("fault", [WrongDate(text="soon", times=None), WrongDate(age=10**15, times=None)])
async def test_an_answer_that_does_not_say_when_it_was_given_is_a_bad_one(
    simulator: Simulator, open_client: OpenClient, fault: Fault
) -> None:
    simulator.faults.add(fault)

    with pytest.raises(SourceBadAnswerError):
        await open_client(simulator.url).get(PATH, {}, bytes)


async def test_s12_a_redirect_is_refused_and_its_target_named(simulator: Simulator, open_client: OpenClient) -> None:
    simulator.faults.add(Status(code=302, location="https://passport.example/login"))

    with pytest.raises(SourceRefusedError, match=r"points to https://passport\.example/login"):
        await open_client(simulator.url).get(PATH, {}, bytes)


async def test_s11_nobody_there_is_said_so(open_client: OpenClient) -> None:
    with pytest.raises(SourceUnavailableError, match=r"cannot reach 127\.0\.0\.1: Connection refused; check"):
        await open_client(f"http://127.0.0.1:{free_port()}").get(PATH, {}, bytes)


async def test_s25_a_connection_that_went_away_while_idle_is_opened_again(
    simulator: Simulator, open_client: OpenClient
) -> None:
    client = open_client(simulator.url)
    await client.get(PATH, {}, bytes)
    simulator.faults.add(Reset(times=1))

    body, _ = await client.get(PATH, {}, bytes)

    assert b"SBER" in body


async def test_we_say_who_we_are(open_client: OpenClient) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers["User-Agent"])
        return web.json_response({})

    server = web.Application()
    server.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await open_client(f"http://127.0.0.1:{runner.addresses[0][1]}").get(PATH, {}, bytes)
    finally:
        await runner.cleanup()

    assert seen == [USER_AGENT]
    assert USER_AGENT.startswith("moex-candles/")


async def test_no_more_requests_at_once_than_allowed(simulator: Simulator, open_client: OpenClient) -> None:
    simulator.faults.add(Slow(seconds=0.1, times=None))
    client = open_client(simulator.url, Budget(2, None))

    started = time.monotonic()
    await asyncio.gather(*(client.get(PATH, {}, bytes) for _ in range(6)))

    assert time.monotonic() - started >= 0.3


async def test_no_more_requests_a_second_than_allowed(simulator: Simulator, open_client: OpenClient) -> None:
    client = open_client(simulator.url, Budget(16, 20))

    began = time.time()  # the first request may be long on its way
    await asyncio.gather(*(client.get(PATH, {}, bytes) for _ in range(9)))

    assert moments(simulator)[-1] - began >= 8 * 0.05 * 0.9


async def test_others_go_on_between_answers_that_came_together(
    simulator: Simulator, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_meet(monkeypatch, 8)
    client = open_client(simulator.url)
    turns, parsed_in = 0, []

    async def go_on() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    going_on = asyncio.create_task(go_on())
    await asyncio.gather(*(client.get(PATH, {}, lambda _: parsed_in.append(turns)) for _ in range(8)))
    going_on.cancel()

    assert len(parsed_in) == len(set(parsed_in)) == 8


async def test_a_reason_that_is_no_text_can_be_kept_and_told(open_client: OpenClient) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write("HTTP/1.1 404 Нет\r\nContent-Length: 0\r\n\r\n".encode("cp1251"))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        client = open_client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(SourceRefusedError, match="answered 404") as refusal:
            await client.get(PATH, {}, bytes)

    assert str(refusal.value).encode()
