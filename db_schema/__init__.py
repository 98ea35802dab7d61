"""The tables, and how they came to be."""

SCHEMA_REVISION = "0006"
"""The newest revision in `versions/`; revisions are numbered, so that older and newer can be told without alembic."""
