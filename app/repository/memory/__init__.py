"""The store over dicts: the executable definition of the contract, and a store for those who keep nothing."""

from app.repository.memory.storage import MemoryStorage

__all__ = ["MemoryStorage"]
