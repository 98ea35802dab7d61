"""One transaction: a copy of the tables, which are dicts by natural key."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from app.core.entities import Security, Series
from app.core.errors import StorageError
from app.repository import refusals

Key = tuple[Any, ...]
Rows = dict[Key, Any]
_NAMES = (
    "securities", "series", "candles", "spans", "revisions", "quarantine", "boards", "calendar", "splits",
    "listed_splits", "renames", "board_moves", "looks", "updates", "update_parts",
)  # fmt: skip


@dataclass(slots=True)
class Tables:
    """Rows by natural key, table by table, and the source that filled them."""

    rows: dict[str, Rows] = field(default_factory=lambda: {name: {} for name in _NAMES})
    source: str | None = None

    def copy(self) -> Self:
        return type(self)({name: dict(rows) for name, rows in self.rows.items()}, self.source)


@dataclass(slots=True, eq=False)
class Transaction:
    """A copy of the tables that becomes the store when it ends well; readers share what nobody changes any more."""

    tables: Tables
    is_writer: bool
    failed: bool = False

    def require_writer(self) -> None:
        if not self.is_writer:
            raise refusals.read_only()

    def require_series(self, series: Iterable[Series]) -> None:
        for one in sorted(set(series)):
            if series_key(one) not in self.tables.rows["series"]:
                raise refusals.unknown_series(one)

    def require_securities(self, securities: Iterable[Security]) -> None:
        for security in sorted(set(securities)):
            if security_key(security) not in self.tables.rows["securities"]:
                raise refusals.unknown_security(security)

    def fail(self, message: str) -> StorageError:
        """Spoil the transaction, as a refused statement does in a database."""
        self.failed = True
        return StorageError(f"the store in memory refused: {message}")


def security_key(security: Security) -> Key:
    """Return ticker and board."""
    return (security.ticker, security.board)


def series_key(series: Series) -> Key:
    """Return the key of the security and the interval."""
    return (series.security.ticker, series.security.board, series.timeframe.interval)
