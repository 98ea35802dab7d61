"""Engines: how connections are opened, and what a transaction begins with."""

import asyncio
import os
import sqlite3
import time
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from app.core.errors import StorageError, StorageUnavailableError

_DRIVERS = {"postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}
_CONNECT_SECONDS = 10
_MIGRATION_SECONDS = 60
_IDLE = 1.0
"""A connection that rested longer is tried before use: that takes three round trips."""
_STATEMENT_SECONDS = 300
"""Longer than any statement of ours: what never answers counts as gone."""
_OF_SQLALCHEMY = {"async_fallback", "prepared_statement_cache_size", "prepared_statement_name_func"}
"""What may stand in a URL for the dialect alone."""

_ENCODE = "in a password @ is written %40, / %2F, : %3A and % %25"


def parse(url: str) -> URL:
    """Read a database URL, with or without a driver; StorageError says which databases there are."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StorageError("DATABASE_URL is no URL: postgresql://host/database or sqlite:///file.db") from error
    except ValueError:  # the port; its text is shown nowhere, for it may be a piece of the password
        raise StorageError(f"DATABASE_URL has a port that is no number: {_ENCODE}") from None
    parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
    if parsed.drivername not in _DRIVERS.values():
        raise StorageError(f"DATABASE_URL names {parsed.drivername}: only postgresql and sqlite are supported")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StorageError("DATABASE_URL names no file: sqlite:///candles.db")
    if parsed.get_backend_name() == "postgresql" and "@" in f"{parsed.host}{parsed.database}":
        raise StorageError(f"DATABASE_URL has more than one @: {_ENCODE}")
    if "sslmode" in parsed.query:  # as libpq calls what asyncpg calls ssl
        parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": parsed.query["sslmode"]})
    return parsed


def place(url: URL) -> str:
    """Name the database for people, without user and password."""
    if url.get_backend_name() == "sqlite":
        return f"SQLite file {url.database}"
    port = f":{url.port}" if url.port else ""
    return f"PostgreSQL {url.host or 'localhost'}{port}/{url.database or ''}"


def postgresql_engine(url: URL, *, pool_size: int, patience: float) -> AsyncEngine:
    """Open connections that are tried before use after a pause; nothing about them waits for ever."""
    engine = create_async_engine(
        url,
        connect_args={"timeout": _CONNECT_SECONDS, "command_timeout": _STATEMENT_SECONDS},
        hide_parameters=True,
        max_overflow=0,
        pool_recycle=1800,
        pool_size=pool_size,
        pool_timeout=patience,
    )

    @event.listens_for(engine.sync_engine, "checkin")
    def remember(_: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def try_out(connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
        if time.monotonic() - record.info.get("idle_since", inf) > _IDLE:
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as error:
                raise DisconnectionError from error  # the pool opens another one

    return engine


async def postgresql_connection(url: URL) -> Any:  # noqa: ANN401  # asyncpg is not typed
    """Open a connection of the driver's own, for statements that read and are one snapshot each.

    Nothing is set when it begins: PgBouncer refuses parameters that it does not know.
    """
    _, arguments = create_async_engine(url).dialect.create_connect_args(url)
    return await asyncpg.connect(
        **{name: value for name, value in arguments.items() if name not in _OF_SQLALCHEMY},
        timeout=_CONNECT_SECONDS,
        command_timeout=_STATEMENT_SECONDS,
    )


def sqlite_connection(url: URL, *, patience: float) -> sqlite3.Connection:
    """Open a connection of the driver's own that cannot write and goes from thread to thread."""
    require_file(url)
    (file,), arguments = create_async_engine(url).dialect.create_connect_args(url)
    own = {"timeout": patience, "check_same_thread": False, "isolation_level": None}
    connection: sqlite3.Connection = sqlite3.connect(file, **{**arguments, **own})
    connection.execute("PRAGMA query_only = ON")
    return connection


def sqlite_writer(url: URL, *, patience: float, foreign_keys: bool = True) -> AsyncEngine:
    """Open the one connection that writes; its transactions take the file's write lock at once.

    Migrations rebuild tables and turn `foreign_keys` off, which no transaction can.
    """
    pragmas = (f"foreign_keys = {'ON' if foreign_keys else 'OFF'}", "synchronous = NORMAL")
    engine = _sqlite_engine(url, "BEGIN IMMEDIATE", pragmas, pool_size=1, patience=patience)
    event.listen(engine.sync_engine, "connect", _use_write_ahead_log)
    event.listen(engine.sync_engine, "invalidate", _let_go_of_the_lock)
    return engine


def sqlite_readers(url: URL, *, pool_size: int, patience: float) -> AsyncEngine:
    """Open connections that see one snapshot a transaction and cannot write."""
    return _sqlite_engine(url, "BEGIN", ("query_only = ON",), pool_size=pool_size, patience=patience)


def _sqlite_engine(url: URL, begin: str, pragmas: tuple[str, ...], *, pool_size: int, patience: float) -> AsyncEngine:
    engine = create_async_engine(
        url,
        connect_args={"timeout": patience},
        hide_parameters=True,
        max_overflow=0,
        pool_size=pool_size,
        pool_timeout=patience,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late: only the hook below begins
        cursor = connection.cursor()
        try:
            for pragma in pragmas:
                cursor.execute(f"PRAGMA {pragma}")
        finally:
            cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def take_the_lock(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _use_write_ahead_log(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Let readers and a writer work at once. The file remembers it, and SQLite does not wait for its lock here.

    So when another process holds the lock, it is left to that one, or to the next connection.
    """
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
    finally:
        cursor.close()


def _let_go_of_the_lock(connection: DBAPIConnection, _: ConnectionPoolEntry, __: BaseException | None) -> None:
    """Roll back before a connection is thrown away, as happens when a statement is cancelled.

    SQLite closes a connection only with its last statement, and the cancelled one may live on in a traceback.
    """
    with suppress(asyncio.CancelledError, sqlite3.Error, ValueError):  # the cancellation itself is on its way already
        connection.rollback()


def require_file(url: URL) -> None:
    """Raise StorageUnavailableError where SQLite cannot open or create the file; other databases have none.

    Asked before aiosqlite is: a connection that fails to open leaves it with a thread that complains on its own.
    """
    if url.get_backend_name() != "sqlite" or "uri" in url.query:
        return
    file = Path(url.database or "")
    if reason := _obstacle(file):
        raise StorageUnavailableError(f"{place(url)} cannot be opened: {reason}, or name another file in DATABASE_URL")


def _obstacle(file: Path) -> str | None:
    folder = file.absolute().parent
    if not folder.is_dir():
        return f"there is no folder {folder}: create it"
    if file.is_dir():
        return "it is a folder: name a file in it"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"files may not be created in {folder}: give this user the permission"
    if file.exists() and not os.access(file, os.R_OK | os.W_OK):
        return "this user may not read and write it: give the permission"
    return None


def migration_engine(url: str) -> AsyncEngine:
    """Open one connection for changing tables."""
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite":
        return sqlite_writer(parsed, patience=_MIGRATION_SECONDS, foreign_keys=False)
    return create_async_engine(parsed, connect_args={"timeout": _CONNECT_SECONDS}, hide_parameters=True)
