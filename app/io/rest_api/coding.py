"""Which content coding an answer gets: RFC 9110, 12.5.3. We know gzip, and none."""

import zlib
from collections.abc import Iterator
from enum import StrEnum

from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Receive, Scope, Send

from app.io.rest_api.remembering import remembering

LEVEL = 1
"""A level above costs more time than it saves bytes of numbers."""
COMPRESS_FROM = 1024
"""Bytes of a body that is worth compressing."""

_HEADER = b"accept-encoding"
_NONE = b"identity;q=0"
_GZIP_FORMAT = 16 + zlib.MAX_WBITS


class Coding(StrEnum):
    """How a body is wanted, as `Accept-Encoding` puts it. `REQUIRED_GZIP`: compressed however short it is."""

    IDENTITY = "identity"
    GZIP = "gzip"
    REQUIRED_GZIP = "gzip, identity;q=0"

    def packs(self, size: int) -> bool:
        """Tell whether a body of so many bytes is compressed."""
        return self is Coding.REQUIRED_GZIP or (self is Coding.GZIP and size >= COMPRESS_FROM)


@remembering
def coding_of(accept_encoding: str) -> Coding:
    """Choose by the weights of `Accept-Encoding`; HTTPException 406 where neither form is wanted.

    Who names both and prefers neither gets gzip; who does not name gzip gets it only if nothing else is left.
    """
    weights = dict(_weights(accept_encoding))
    rest = weights.get("*")
    gzip = weights.get("gzip", weights.get("x-gzip"))
    if weights.get("identity", rest) == 0:
        if not (rest if gzip is None else gzip):
            raise HTTPException(406, "an answer is sent as it is, or compressed by gzip")
        return Coding.REQUIRED_GZIP
    return Coding.GZIP if gzip and gzip >= weights.get("identity", 0) else Coding.IDENTITY


def gzip(body: bytes) -> bytes:
    """Compress: the same bytes for the same body."""
    return zlib.compress(body, LEVEL, _GZIP_FORMAT)


class Compression(GZipMiddleware):
    """Compresses what is not yet, for who wants it by the weights of `Accept-Encoding`, not by the word alone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell what is inside which coding was chosen."""
        if scope["type"] == "http":
            headers = [(name, _chosen(value) if name == _HEADER else value) for name, value in scope["headers"]]
            scope["headers"] = headers
        await super().__call__(scope, receive, send)


def _chosen(value: bytes) -> bytes:
    try:
        return coding_of(value.decode("latin-1")).encode()
    except HTTPException:
        return _NONE


def _weights(accept_encoding: str) -> Iterator[tuple[str, float]]:
    """Read names and weights; an element whose weight is no number between 0 and 1 counts as not there."""
    for element in accept_encoding.lower().split(","):
        name, _, weight = element.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if name.strip() and 0 <= quality <= 1:
            yield name.strip(), quality
