"""What every store refuses in the same words."""

from app.core.entities import Security, Series
from app.core.errors import (
    BoardNotFoundError,
    SecurityNotFoundError,
    SeriesNotFoundError,
    SourceMismatchError,
    StorageError,
    UpdateNotFoundError,
)


def unknown_security(security: Security) -> SecurityNotFoundError:
    """Say that it has no card."""
    return SecurityNotFoundError(f"the store does not know {security}")


def unknown_board(code: str) -> BoardNotFoundError:
    """Say that nobody listed it."""
    return BoardNotFoundError(f"the store does not know the board {code}")


def unknown_series(series: Series) -> SeriesNotFoundError:
    """Say that it has no state, so that nothing can hang below it."""
    return SeriesNotFoundError(f"the store has no series {series}")


def unknown_update(update_id: str) -> UpdateNotFoundError:
    """Say that nobody asked for it, or too long ago."""
    return UpdateNotFoundError(f"there is no update {update_id}: it may be long over")


def read_only() -> StorageError:
    """Refuse to write in a reader's snapshot."""
    return StorageError("this unit of work only reads: write inside begin()")


def spoiled() -> StorageError:
    """Refuse to commit what is left when the error of a statement was swallowed."""
    return StorageError("a statement of this unit of work failed before: nothing of it was stored")


def other_source(stored: str, asked: str) -> SourceMismatchError:
    """Refuse to mix what two sources say."""
    return SourceMismatchError(
        f"this store was filled from {stored}, not from {asked}: use another DATABASE_URL, the ISS_URL of before, or "
        f"SOURCE_NAME={stored} if the same exchange has another address now"
    )
