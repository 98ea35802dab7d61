"""Bring the tables of a database up to date with this program."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import text

import db_schema
from app.core.errors import SchemaMismatchError
from app.repository.sql.engine import migration_engine, parse, place, require_file
from app.repository.sql.translation import OUTAGES, translating

_REVISION = "SELECT version_num FROM alembic_version"


async def migrate(url: str, revision: str = "head") -> None:
    """Migrate in one transaction; several processes may do so at once. A newer store that serves us stays as it is.

    Raises StorageBusyError if another one migrates for longer than a minute, SchemaMismatchError if the database was
    migrated by a newer program.
    """
    if revision == "head" and await asyncio.to_thread(_needs_nothing, url):
        return
    try:
        await asyncio.to_thread(_upgrade, url, revision)
    except SchemaMismatchError:
        if revision != "head" or not db_schema.serves(await _revision(url)):
            raise


def _needs_nothing(url: str) -> bool:
    """Look into an SQLite file, which each start migrates: alembic takes longer to import than commands to work."""
    parsed = parse(url)
    file = Path(parsed.database or "")
    if parsed.get_backend_name() != "sqlite" or parsed.query or not file.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as store:
            [(revision,)] = store.execute(_REVISION).fetchall()
            return db_schema.serves(revision)
    except (sqlite3.Error, ValueError):  # whatever it is, who migrates says it better
        return False


def _upgrade(url: str, revision: str) -> None:
    from alembic import command  # noqa: PLC0415  # only who migrates pays for importing alembic
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config(attributes={"url": url})
    config.set_main_option("script_location", str(Path(db_schema.__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    where = place(parse(url))
    require_file(parse(url))
    try:
        with translating(where, *OUTAGES):
            command.upgrade(config, revision)
    except CommandError as error:
        raise SchemaMismatchError(f"{where} was migrated by another program: {error}") from error


async def _revision(url: str) -> str:
    engine = migration_engine(url)
    try:
        async with engine.connect() as connection:
            return str((await connection.execute(text(_REVISION))).scalar_one())
    finally:
        await engine.dispose()
