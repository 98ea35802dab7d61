"""Everything that can go wrong, by what the caller can do about it.

CandleServiceError
├── InputError                what was asked makes no sense: names the field and the way out
├── NotFoundError
│   ├── SecurityNotFoundError     the exchange, or the store, does not know this security
│   ├── BoardNotFoundError        the exchange, or the store, does not know this board
│   ├── SeriesNotFoundError       nobody follows this series
│   └── UpdateNotFoundError       nobody asked for that, or it is long over
├── LimitError                more than this installation does for who asks
│   ├── FollowLimitError          so many series are followed already because somebody asked for candles
│   └── LookupLimitError          so many codes that the exchange does not know were asked for
├── SeriesChangedError        candles changed between two reads of one answer: read again
├── SourceError               the exchange failed us
│   ├── SourceUnavailableError    it did not answer, or asked for patience: tried again, may pass
│   │   └── SourcePausedError         after that we leave it alone for a while, and did not ask at all
│   ├── SourceBadAnswerError      it answered something that is no answer (HTML, cut, not JSON): tried again
│   ├── SourceSchemaError         the answer lost a column or a block we need: no sense in trying again
│   ├── SourceSignInError         it does not accept our account or token, or wants one
│   └── SourceRefusedError        it refused this very request (4xx, redirect, bad certificate)
├── QueueUnavailableError     the queue of tasks is away, slow or full: what was to be queued is not
└── StorageError              the store failed us
    ├── StorageUnavailableError   cannot be reached, or went away
    ├── StorageBusyError          another writer held the SQLite file longer than the patience
    ├── SchemaMismatchError       its tables are older or newer than this program
    └── SourceMismatchError       it was filled from another source
"""


class CandleServiceError(Exception):
    """The root: one sentence for people, no traceback needed."""


class InputError(CandleServiceError):
    """What was asked makes no sense. `field` is the name by which the caller gave it."""

    def __init__(self, field: str, message: str) -> None:
        """Name the field, and say what would be right."""
        super().__init__(message)
        self.field = field


class NotFoundError(CandleServiceError):
    """What was asked for is not there."""


class SecurityNotFoundError(NotFoundError):
    """The exchange, or the store, does not know this security."""


class BoardNotFoundError(NotFoundError):
    """The exchange, or the store, does not know this board."""


class SeriesNotFoundError(NotFoundError):
    """Nobody follows this series."""


class UpdateNotFoundError(NotFoundError):
    """Nobody asked for that to be loaded, or it is long over."""


class LimitError(CandleServiceError):
    """What was asked makes sense, and is more than this installation does for who asks."""


class FollowLimitError(LimitError):
    """So many series are followed already because somebody asked for candles."""


class LookupLimitError(LimitError):
    """So many codes that the exchange does not know were asked for that no more are looked up for a while."""


class SeriesChangedError(CandleServiceError):
    """Candles changed between two reads of one answer: what was read is of two histories. Read again."""


class SourceError(CandleServiceError):
    """The exchange failed us."""


class SourceUnavailableError(SourceError):
    """The exchange did not answer, or asked for patience (`retry_after`, seconds)."""

    def __init__(self, message: str, retry_after: float | None = None, *, is_pushback: bool = False) -> None:
        """Say what happened, the patience asked for in seconds, and whether it looks as if we ask too much."""
        super().__init__(message)
        self.retry_after = retry_after
        self.is_pushback = is_pushback


class SourcePausedError(SourceUnavailableError):
    """We leave the exchange alone for `retry_after` seconds, and did not ask."""


class SourceBadAnswerError(SourceError):
    """The exchange answered something that is no answer."""


class SourceShiftError(SourceError):
    """Rows already read changed or vanished before the next page was asked for."""


class SourceSchemaError(SourceError):
    """The answer lost a column or a block we need."""


class SourceSignInError(SourceError):
    """The exchange does not accept our account or token, or wants one. Never holds a secret."""


class SourceRefusedError(SourceError):
    """The exchange refused this very request."""


class QueueUnavailableError(CandleServiceError):
    """The queue of tasks is away, slow or full: what was to be queued is not."""


class StorageError(CandleServiceError):
    """The store failed us."""


class StorageUnavailableError(StorageError):
    """The store cannot be reached, or went away."""


class StorageBusyError(StorageError):
    """Another writer held the store longer than the patience."""


class SchemaMismatchError(StorageError):
    """The store's tables are older or newer than this program."""


class SourceMismatchError(StorageError):
    """The store was filled from another source."""
