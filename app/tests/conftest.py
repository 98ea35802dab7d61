"""Real servers and fresh, migrated databases. Never skipped: a missing server fails with the command that helps."""

import asyncio
import os
import shutil
import signal
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest
from hypothesis import settings
from redis import Redis as RedisClient
from sqlalchemy import make_url

from app.core.storage import IStorage
from app.repository.memory import MemoryStorage
from app.repository.migrate import migrate
from app.repository.sql import SqlStorage
from app.simulator.servers import Postgresql, Redis

Answer = TypeVar("Answer")

settings.register_profile("soak", max_examples=2_000, stateful_step_count=100, deadline=None, print_blob=True)
settings.register_profile("suite", deadline=None, derandomize=True)  # a change is judged by itself; soak looks further
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as scripts start what they do not wait for
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a child would be deaf to Ctrl-C, too


def run_apart(work: Coroutine[object, object, Answer]) -> Answer:
    """Run in a loop of its own, whether or not the test's loop is running."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server's own database: TEST_DATABASE_URL, else of a server for this session."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    with Postgresql() as server:
        yield server.url


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[str]:
    if url := os.environ.get("TEST_REDIS_URL"):
        yield url
        return
    with Redis() as server:
        yield server.url


@pytest.fixture
def redis_url(_redis_server: str) -> str:
    """The URL of an empty Redis database."""
    with RedisClient.from_url(_redis_server) as client:
        client.flushdb()
    return _redis_server


@pytest.fixture
def patient_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a cache that is well, however busy the machine is."""
    monkeypatch.setattr("app.redis_cache.PATIENCE", 60)


@pytest.fixture(scope="session")
def _postgresql_template(postgresql: str) -> Iterator[str]:
    name = f"template_{uuid.uuid4().hex}"
    run_apart(_on_server(postgresql, f"CREATE DATABASE {name}"))
    run_apart(migrate(_sibling(postgresql, name)))
    yield name
    run_apart(_on_server(postgresql, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def empty_postgresql_url(postgresql: str) -> Iterator[str]:
    """The URL of a new PostgreSQL database without tables."""
    name = f"test_{uuid.uuid4().hex}"
    run_apart(_on_server(postgresql, f"CREATE DATABASE {name}"))
    yield _sibling(postgresql, name)
    run_apart(_on_server(postgresql, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def postgresql_url(postgresql: str, _postgresql_template: str) -> Iterator[str]:
    """The URL of a new PostgreSQL database with our tables."""
    name = f"test_{uuid.uuid4().hex}"
    run_apart(_on_server(postgresql, f"CREATE DATABASE {name} TEMPLATE {_postgresql_template}"))
    yield _sibling(postgresql, name)
    run_apart(_on_server(postgresql, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "candles.db"
    run_apart(migrate(f"sqlite+aiosqlite:///{file}"))
    return file


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a new SQLite file with our tables."""
    file = shutil.copy(_sqlite_template, tmp_path / "candles.db")
    return f"sqlite+aiosqlite:///{file}"


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that is not there yet."""
    return f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A new database with our tables, one test run for each kind; parametrize indirectly to get one kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """A new database without tables."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


@pytest.fixture
async def sql_storage(database_url: str) -> AsyncIterator[SqlStorage]:
    """The SQL store on each kind of database."""
    async with AsyncExitStack() as stack:
        yield await _open(stack, database_url)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[IStorage]:
    """Every implementation of the storage port, one test run each."""
    if request.param == "memory":
        yield MemoryStorage()
        return
    async with AsyncExitStack() as stack:
        yield await _open(stack, request.getfixturevalue(f"{request.param}_url"))


async def _open(stack: AsyncExitStack, url: str) -> SqlStorage:
    """Open a store that, when the test is over, has given every connection back."""
    storage = SqlStorage.open(url)
    stack.push_async_callback(storage.close)
    stack.callback(_assert_nothing_leaked, storage)
    return storage


def _assert_nothing_leaked(storage: SqlStorage) -> None:
    assert storage.connections_in_use == 0


async def _on_server(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _sibling(url: str, database: str) -> str:
    """Return the URL of another database of the same server."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)
