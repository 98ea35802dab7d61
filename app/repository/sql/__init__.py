"""The store over SQLAlchemy Core: PostgreSQL and SQLite."""

from app.repository.sql.storage import SqlStorage

__all__ = ["SqlStorage"]
