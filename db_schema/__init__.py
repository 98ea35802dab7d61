"""The tables, and how they came to be."""

SCHEMA_REVISION = "0008_for_0007"
"""The newest revision in `versions/`; revisions are numbered, so that older and newer can be told without alembic.

From 0008 on each also names the oldest program that its tables still serve: `0009_for_0007`
(`docs/adr/0026-one-program-follows-another.md`).
"""


def serves(revision: str) -> bool:
    """Tell whether tables of this revision, ours or a later one, serve this program."""
    number, _, oldest = revision.partition("_for_")
    return number >= SCHEMA_REVISION[:4] >= (oldest or number)
