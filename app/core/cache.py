"""What processes may share, and can do without."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class ICache(Protocol):
    """Bytes under keys, for some time. It may forget any of them at any moment.

    It never raises, never makes anybody wait long, and gives nothing but what was put there under that very key:
    whatever else happens is a miss.
    """

    @property
    def is_away(self) -> bool:
        """Whether it is left alone for now: everything is a miss, at no cost."""

    async def get(self, keys: Sequence[str], /) -> Sequence[bytes | None]:
        """Return what is kept under each of these keys."""

    async def put(self, values: Mapping[str, bytes], /) -> None:
        """Keep these values."""
