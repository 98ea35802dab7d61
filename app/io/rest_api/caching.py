"""Conditional requests."""

from hashlib import blake2b

CLOSED = "public, max-age=300, stale-while-revalidate=86400"
"""Nothing of the answer can change but by a correction of the past."""
OPEN = "no-cache"
"""It may change any minute: keep it, and ask whether it still holds."""


def strong_etag(*parts: object) -> str:
    """Tag what is made of these parts, which differ when their `repr` does."""
    return f'"{blake2b(repr(parts).encode(), digest_size=16).hexdigest()}"'


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Tell whether a caller has it already, by the weak comparison that RFC 9110 asks for here."""
    tags = (part.strip().removeprefix("W/") for part in (if_none_match or "").split(","))
    return any(tag in {etag, "*"} for tag in tags)
