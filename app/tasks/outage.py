"""When Redis is away, slow or full: told once, not with every attempt."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from redis.exceptions import RedisError

from app.core.errors import QueueUnavailableError

_log = structlog.stdlib.get_logger(__name__)


class Outage:
    """Whether `what` fails for now."""

    def __init__(self, what: str) -> None:
        """Name what is done, as in `no task can be queued`; it works until it fails."""
        self._what = what
        self._lasts = False

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Do one thing within: QueueUnavailableError when Redis fails it."""
        try:
            yield
        except (RedisError, TimeoutError) as error:
            self.begin(error)
            raise QueueUnavailableError(f"{self._what}: {reason_of(error)}") from error
        self.end()

    def begin(self, error: Exception) -> None:
        """Note that it failed."""
        if not self._lasts:
            _log.warning(self._what, error=reason_of(error))
        self._lasts = True

    def end(self) -> None:
        """Note that it worked."""
        if self._lasts:
            _log.info("Redis is back", after=self._what)
        self._lasts = False


def reason_of(error: Exception) -> str:
    """Say what Redis said, or that it said nothing."""
    return str(error) or "Redis does not answer"
