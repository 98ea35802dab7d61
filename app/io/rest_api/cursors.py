"""Opaque cursors: where a page ended, sealed with the query it belongs to."""

import binascii
from base64 import b64decode, urlsafe_b64encode
from hashlib import blake2b

from app.core.errors import InputError

_SEAL = 8


class BadCursorError(InputError):
    """The cursor is damaged, or was given for another query."""

    def __init__(self) -> None:
        """Say the way out, the same whatever is wrong."""
        super().__init__("cursor", "this cursor belongs to another query: repeat the one that gave it, or begin anew")


def seal(position: bytes, *query: object) -> str:
    """Write a position that only the same query (compared by `repr`) can read."""
    return urlsafe_b64encode(_digest(position, query) + position).rstrip(b"=").decode()


def unseal(cursor: str, *query: object) -> bytes:
    """Read a position back, or raise BadCursorError."""
    try:
        sealed = b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadCursorError from error
    digest, position = sealed[:_SEAL], sealed[_SEAL:]
    if digest != _digest(position, query):
        raise BadCursorError
    return position


def _digest(position: bytes, query: tuple[object, ...]) -> bytes:
    return blake2b(repr((position, query)).encode(), digest_size=_SEAL).digest()
