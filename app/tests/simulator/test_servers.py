"""The throw-away servers start, crash, come back and go; the proxy breaks what it is told to."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
import redis

from app.simulator import servers
from app.simulator.servers import FaultProxy, Postgresql, Redis, ServerError


async def ask(url: str, question: str) -> object:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=60)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def test_postgresql_keeps_what_was_committed_over_a_crash() -> None:
    with Postgresql(durable=True) as server:
        assert await ask(server.url, "SHOW fsync") == "on"
        await ask(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        server.kill()
        server.start()
        assert await ask(server.url, "SELECT answer FROM kept") == 42
        folder = server.folder

    assert not folder.exists()


async def test_postgresql_is_quick_unless_told_otherwise() -> None:
    with Postgresql() as server:
        assert await ask(server.url, "SHOW fsync") == "off"
        server.restart()
        assert await ask(server.url_of("template1"), "SELECT 1") == 1


@pytest.mark.parametrize(("append_only", "kept"), [(True, b"42"), (False, None)])
def test_redis_keeps_what_it_should_over_a_crash(*, append_only: bool, kept: bytes | None) -> None:
    with Redis(append_only=append_only) as server, redis.Redis.from_url(server.url) as client:
        client.set("answer", "42")
        server.kill()
        server.start()

        assert client.get("answer") == kept


def test_a_server_dies_with_the_process_that_started_it() -> None:
    program = (
        "import os; from app.simulator.servers import Postgresql; server = Postgresql();"
        " print(server._process.pid, server.folder, flush=True); os.kill(os.getpid(), 9)"
    )
    root = Path(servers.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, check=False)
    pid, folder = done.stdout.split()
    deadline = time.monotonic() + 90
    while _lives(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.02)

    assert done.returncode == -signal.SIGKILL
    assert not _lives(int(pid))
    subprocess.run(["rm", "-r", folder.decode()], check=True)  # noqa: S607


def test_a_missing_server_names_the_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_redis_binaries", list)
    monkeypatch.setattr(servers, "_postgresql_binaries", list)

    with pytest.raises(ServerError, match=r"apt-get install redis-server.*TEST_REDIS_URL"):
        Redis()
    with pytest.raises(ServerError, match=r"apt-get install postgresql.*TEST_DATABASE_URL"):
        Postgresql()


def test_a_server_that_does_not_start_shows_its_log() -> None:
    with Postgresql() as server:
        server.halt()
        (server.folder / "data" / "PG_VERSION").write_text("1\n")
        with pytest.raises(ServerError, match="PostgreSQL version 1"):
            server.start()


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """The port of a server that says what it hears."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while heard := await reader.read(100):
            writer.write(heard)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def say(port: int, words: bytes, *, within: float = 60) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(words)
        return await asyncio.wait_for(reader.readexactly(len(words)), within)
    finally:
        writer.close()


async def test_the_proxy_passes_what_is_well(echo: int) -> None:
    async with FaultProxy("127.0.0.1", echo) as proxy:
        assert await say(proxy.port, b"hello" * 50) == b"hello" * 50


async def test_the_proxy_adds_latency_both_ways(echo: int) -> None:
    async with FaultProxy("127.0.0.1", echo) as proxy:
        proxy.latency = 0.05
        started = time.monotonic()
        await say(proxy.port, b"hello")

        assert time.monotonic() - started >= 0.1


async def test_the_proxy_refuses(echo: int) -> None:
    async with FaultProxy("127.0.0.1", echo) as proxy:
        proxy.refuses = True

        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await say(proxy.port, b"hello")


async def test_the_proxy_swallows(echo: int) -> None:
    async with FaultProxy("127.0.0.1", echo) as proxy:
        proxy.swallows = True

        with pytest.raises(TimeoutError):
            await say(proxy.port, b"hello", within=0.1)


@pytest.mark.parametrize("budget", [0, 3, 5, 7])
async def test_the_proxy_cuts_after_so_many_bytes(echo: int, budget: int) -> None:
    async with FaultProxy("127.0.0.1", echo) as proxy:
        proxy.cut_after = budget

        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await say(proxy.port, b"hello")


async def test_the_proxy_cuts_now(echo: int) -> None:
    async with FaultProxy("127.0.0.1", echo) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        proxy.cut()

        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


@pytest.mark.parametrize("turns", range(4))
async def test_the_proxy_that_ends_lets_go_of_who_just_came(echo: int, turns: int) -> None:
    async with FaultProxy("127.0.0.1", echo) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        for _ in range(turns):
            await asyncio.sleep(0)

    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()


async def test_the_proxy_resets_when_nobody_listens_behind() -> None:
    async with FaultProxy("127.0.0.1", servers.free_port()) as proxy:
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await say(proxy.port, b"hello")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
