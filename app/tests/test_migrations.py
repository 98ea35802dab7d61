"""The tables as migrations leave them: up, down, up on both databases, and equal to the models."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

import db_schema
from app.core.entities import SecurityCard
from app.core.errors import SchemaMismatchError, StorageError, StorageUnavailableError
from app.repository.migrate import migrate
from app.repository.sql import SqlStorage
from app.repository.sql.engine import migration_engine
from app.tests.builders import SBER
from db_schema.models import Base

ROOT = Path(db_schema.__file__).parents[1]


@pytest.fixture
async def engine(empty_database_url: str) -> AsyncEngine:
    return migration_engine(empty_database_url)


async def tables(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        found = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    await engine.dispose()
    return set(found) - {"alembic_version"}


async def test_up_down_up(empty_database_url: str, engine: AsyncEngine) -> None:
    await migrate(empty_database_url)
    up = await tables(engine)
    await _downgrade(empty_database_url)
    down = await tables(engine)
    await migrate(empty_database_url)

    assert up == await tables(engine) == set(Base.metadata.tables)
    assert down == set()


async def test_the_models_are_what_the_migrations_made(empty_database_url: str, engine: AsyncEngine) -> None:
    await migrate(empty_database_url)
    async with engine.connect() as connection:
        differences = await connection.run_sync(_differences)
    await engine.dispose()

    assert differences == []


async def test_the_checks_of_the_models_are_there_by_name(empty_database_url: str, engine: AsyncEngine) -> None:
    await migrate(empty_database_url)
    async with engine.connect() as connection:
        found = await connection.run_sync(_checks)
    await engine.dispose()

    checks = {c.name for t in Base.metadata.tables.values() for c in t.constraints if isinstance(c, CheckConstraint)}
    assert found == checks
    assert len(checks) == 15


async def test_overlapping_spans_are_excluded_by_name(empty_postgresql_url: str) -> None:
    await migrate(empty_postgresql_url)
    engine = migration_engine(empty_postgresql_url)
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT conname FROM pg_constraint WHERE contype = 'x'"))
        names = found.scalars().all()
    await engine.dispose()

    assert names == ["ex_candle_span_overlap"]


def test_there_is_one_head_and_the_program_knows_it() -> None:
    scripts = ScriptDirectory.from_config(Config(ROOT / "alembic.ini"))

    assert scripts.get_heads() == [db_schema.SCHEMA_REVISION]


def test_revisions_are_numbered_in_order() -> None:
    scripts = ScriptDirectory.from_config(Config(ROOT / "alembic.ini"))
    revisions = [script.revision for script in reversed(list(scripts.walk_revisions()))]

    assert [revision[:4] for revision in revisions] == [f"{n:04}" for n in range(1, len(revisions) + 1)]
    assert [revision for revision in revisions if not re.fullmatch(r"000[1-7]|\d{4}_for_\d{4}", revision)] == []


async def test_d10_processes_that_migrate_at_once_take_turns(empty_database_url: str, engine: AsyncEngine) -> None:
    program = (
        f"import asyncio; from app.repository.migrate import migrate; asyncio.run(migrate({empty_database_url!r}))"
    )
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=ROOT, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    ends = await asyncio.gather(*(process.communicate() for process in processes))

    assert [(process.returncode, stderr) for process, (_, stderr) in zip(processes, ends, strict=True)] == [
        (0, b"")
    ] * 3
    assert await tables(engine) == set(Base.metadata.tables)


def test_alembic_works_from_the_root(empty_sqlite_url: str) -> None:
    environment = {"DATABASE_URL": empty_sqlite_url, "PATH": ""}
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr
    asyncio.run(_check(empty_sqlite_url))


async def test_a_connection_can_be_handed_in(empty_database_url: str, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade_over)

    assert await tables(engine) == set(Base.metadata.tables)


async def test_cards_of_the_first_revision_are_read_by_this_program(
    empty_database_url: str, engine: AsyncEngine
) -> None:
    config = Config(ROOT / "alembic.ini", attributes={"url": empty_database_url})
    await asyncio.to_thread(_upgrade_to, config, "0001")
    columns = "ticker, board, engine, market, name, short_name, is_traded, is_primary"
    async with engine.begin() as connection:
        await connection.execute(
            text(f"INSERT INTO security ({columns}) VALUES ('SBER', 'TQBR', 'stock', 'shares', '', '', true, false)")  # noqa: S608
        )
    await engine.dispose()
    await migrate(empty_database_url)

    storage = SqlStorage.open(empty_database_url)
    async with storage.read() as reader:
        assert await reader.securities.get(SBER) == SecurityCard(SBER, "stock", "shares")
    await storage.close()


async def test_a_failed_migration_leaves_nothing(empty_database_url: str, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE source (x INTEGER)"))
    with pytest.raises(StorageError, match="source"):
        await migrate(empty_database_url)

    assert await tables(engine) == {"source"}


async def test_a_database_without_tables_asks_for_migration(empty_database_url: str) -> None:
    with pytest.raises(SchemaMismatchError, match=r"python -m app\.io\.cli migrate"):
        await _check(empty_database_url)


@pytest.mark.parametrize(
    ("revision", "message"),
    [("0000", r"python -m app\.io\.cli migrate"), ("9999", "this program is older than the database")],
)
async def test_another_revision_is_told_from_ours(
    empty_database_url: str, engine: AsyncEngine, revision: str, message: str
) -> None:
    await migrate(empty_database_url)
    async with engine.begin() as connection:
        await connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))  # noqa: S608
    await engine.dispose()

    with pytest.raises(SchemaMismatchError, match=message):
        await _check(empty_database_url)
    with pytest.raises(SchemaMismatchError, match="another program"):
        await migrate(empty_database_url)


async def test_an_unreachable_database_is_named_without_its_password() -> None:
    url = "postgresql+asyncpg://me:geheim@127.0.0.1:1/candles"
    with pytest.raises(StorageUnavailableError, match=r"127\.0\.0\.1:1/candles") as caught:
        await migrate(url)

    assert "geheim" not in str(caught.value)


async def _check(url: str) -> None:
    storage = SqlStorage.open(url)
    try:
        await storage.check("moex")
    finally:
        await storage.close()


async def _downgrade(url: str) -> None:
    from alembic import command  # noqa: PLC0415  # beside its only use

    config = Config(ROOT / "alembic.ini", attributes={"url": url})
    await asyncio.to_thread(command.downgrade, config, "base")


def _upgrade_to(config: Config, revision: str) -> None:
    from alembic import command  # noqa: PLC0415  # beside its only use

    command.upgrade(config, revision)


def _upgrade_over(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415  # beside its only use

    command.upgrade(Config(ROOT / "alembic.ini", attributes={"connection": connection}), "head")


def _differences(connection: Connection) -> list[object]:
    has_identities = connection.dialect.name == "postgresql"  # SQLite numbers rows by itself, whatever the model says
    options = {"compare_type": True, "compare_server_default": has_identities}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, Base.metadata))


def _checks(connection: Connection) -> set[str | None]:
    inspector = inspect(connection)
    return {check["name"] for table in Base.metadata.tables for check in inspector.get_check_constraints(table)}


@pytest.mark.parametrize(
    ("file", "way_out"),
    [("absent/candles.db", "there is no folder .*absent: create it"), (".", "it is a folder: name a file in it")],
)
async def test_a_file_that_cannot_be_opened_is_named_with_the_way_out(tmp_path: Path, file: str, way_out: str) -> None:
    with pytest.raises(StorageUnavailableError, match=way_out):
        await migrate(f"sqlite:///{tmp_path / file}")
