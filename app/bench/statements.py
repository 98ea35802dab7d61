"""How much the SQL store is asked, and how much it answers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from sqlalchemy import Executable, Row

from app.repository.sql.transaction import Transaction


@dataclass(slots=True)
class Counts:
    """Statements, COPY among them, and rows of small tables."""

    statements: int = 0
    rows: int = 0


@contextmanager
def counted() -> Iterator[Counts]:
    """Count what all transactions ask while the block runs."""
    counts = Counts()
    guarded, rows = Transaction._guarded, Transaction.rows  # noqa: SLF001  # everything asked of the database passes there

    @contextmanager
    def counting(transaction: Transaction) -> Iterator[None]:
        counts.statements += 1
        with guarded(transaction):
            yield

    async def reading(
        transaction: Transaction, statement: Executable, values: Mapping[str, object] | None = None
    ) -> Sequence[Row[Any]]:
        found = await rows(transaction, statement, values)
        counts.rows += len(found)
        return found

    with patch.object(Transaction, "_guarded", counting), patch.object(Transaction, "rows", reading):
        yield counts
