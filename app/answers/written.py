"""A whole answer as it is sent."""

import sys

import msgspec


class Written(msgspec.Struct, frozen=True):
    """The body, and what is said of it elsewhere. `tag` names all that it depends on; `is_packed`: by gzip."""

    tag: str
    is_covered: bool
    is_complete: bool
    next_cursor: str | None
    is_packed: bool
    body: bytes

    @property
    def size(self) -> int:
        return sys.getsizeof(self.body)
