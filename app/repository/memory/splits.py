"""Splits that the store took notice of."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from app.core.corporate_actions import Split
from app.core.entities import Security
from app.repository.memory.collection import MemoryCollection
from app.repository.memory.transaction import Key, security_key


@dataclass(frozen=True)
class MemorySplitRepository(MemoryCollection[Split]):
    """Splits by security and day."""

    table = "splits"

    def _key(self, item: Split) -> Key:
        return (*security_key(item.security), item.day)

    def filter_by_security(self, security: Security, /) -> Self:
        return self._where(lambda split: split.security == security)

    def _require_parents(self, items: Iterable[Split]) -> None:
        self._transaction.require_securities(split.security for split in items)
