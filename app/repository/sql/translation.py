"""The one place where foreign errors become ours."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.core.errors import SchemaMismatchError, StorageBusyError, StorageError, StorageUnavailableError

DATABASE_ERRORS = (
    DBAPIError,
    PendingRollbackError,
    PoolTimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    sqlite3.Error,
)
"""Nobody but a database raises these."""
OUTAGES = (OSError, asyncpg.InternalClientError)
"""Refused and broken connections, unknown hosts and timeouts (a TimeoutError is an OSError)."""

_BUSY = {
    "40P01": "two writers waited for each other; this one gave way",
    "40001": "another writer changed the same rows meanwhile",
    "55P03": "another writer held its lock longer than the patience",
    "SQLITE_BUSY": "another writer held the file longer than the patience",
    "SQLITE_LOCKED": "another writer held the file longer than the patience",
}
_GONE = ("08", "57P", "53300", "28", "3D000", "25P03", "SQLITE_CANTOPEN")
_NO_TABLES = ("42P01", "42703")
MIGRATE = "bring its tables up to date with `python -m app.io.cli migrate`"


@contextmanager
def translating(place: str, *foreign: type[Exception]) -> Iterator[None]:
    """Raise what the database raises as StorageError; `place` names it and holds no password."""
    try:
        yield
    except (*DATABASE_ERRORS, *foreign) as error:
        raise translate(error, place) from error


def translate(error: Exception, place: str) -> StorageError:
    """Find the error of ours that says what to do."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    code = str(getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", ""))
    for busy, meaning in _BUSY.items():
        if code.startswith(busy):
            return StorageBusyError(f"{place} is busy: {meaning}; try again")
    if code in _NO_TABLES or "no such table" in str(cause) or "no such column" in str(cause):
        return SchemaMismatchError(f"{place} lacks tables or columns of this program: {MIGRATE}")
    if isinstance(error, PoolTimeoutError):
        return StorageUnavailableError(f"{place}: no connection became free in time")
    if _is_outage(error, code):
        reason = f"cannot be reached, or went away: {_first_line(cause)}"
        return StorageUnavailableError(f"{place} {reason}; check that it runs, and DATABASE_URL")
    return StorageError(f"{place} refused: {_first_line(cause)}")


def _is_outage(error: Exception, code: str) -> bool:
    if code:
        return code.startswith(_GONE)
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, (*OUTAGES, asyncpg.InterfaceError)) or "connection" in str(error).lower()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].removeprefix("<class 'asyncpg.exceptions.").replace("'>:", ":") if lines else type(error).__name__
