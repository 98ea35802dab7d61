"""How alembic reaches the database: one transaction for the whole way, and one migrating process at a time.

`alembic upgrade head` takes the database from the settings; the program hands its own `url`, or a `connection` inside
a transaction, in `config.attributes`.
"""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from app.repository.sql.engine import migration_engine
from db_schema.models import Base

_LOCK = 0x6D6F6578  # "moex": the number by which replicas know each other on PostgreSQL
_PATIENCE = "60s"  # for the migration of another replica
_TABLE_PATIENCE = "5s"  # a migration that waits for a table makes everybody behind it wait


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        _set(connection, "lock_timeout", _PATIENCE)
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        _set(connection, "lock_timeout", _TABLE_PATIENCE)
    context.configure(
        connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    if connection.dialect.name == "sqlite" and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
        raise IntegrityError("PRAGMA foreign_key_check", None, ValueError(f"rows without their parents: {broken[:5]}"))


def _set(connection: Connection, name: str, value: str) -> None:
    connection.execute(text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value})


async def _connect(url: str) -> None:
    engine = migration_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


def _configured_url() -> str:
    from app.settings import Settings  # noqa: PLC0415  # only the command line of alembic needs the environment

    return Settings().database_url


if connection := context.config.attributes.get("connection"):
    _migrate(connection)
else:
    asyncio.run(_connect(context.config.attributes.get("url") or _configured_url()))
