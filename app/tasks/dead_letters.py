"""Messages that no worker finished, or that nobody could read."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from taskiq import BrokerMessage
from taskiq.abc.formatter import TaskiqFormatter

from app.core.date_time import Timestamp
from app.tasks.outage import Outage


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead stream, under its id there; `message` is None where nobody can read it."""

    letter_id: str
    buried_at: Timestamp
    reason: str
    message: BrokerMessage | None


class DeadLetters:
    """The stream of the dead. QueueUnavailableError when Redis is away."""

    def __init__(self, redis: Redis, stream: str, formatter: TaskiqFormatter) -> None:
        """Take the name of the stream, and what reads messages."""
        self.stream = stream
        self._redis = redis
        self._formatter = formatter
        self._looking = Outage("dead tasks cannot be read")

    async def read(self) -> list[DeadLetter]:
        """Return all, oldest first."""
        with self._looking.watch():
            entries: Any = await self._redis.xrange(self.stream)
        return [self._letter(entry_id.decode(), fields) for entry_id, fields in entries]

    async def drop(self, letters: Iterable[DeadLetter]) -> None:
        """Delete these for good."""
        if ids := [letter.letter_id for letter in letters]:
            with self._looking.watch():
                await self._redis.xdel(self.stream, *ids)

    def _letter(self, letter_id: str, fields: dict[bytes, bytes]) -> DeadLetter:
        buried_at = Timestamp.from_microseconds(int(letter_id.partition("-")[0]) * 1000)
        reason = fields.get(b"reason", b"").decode(errors="replace")
        return DeadLetter(letter_id, buried_at, reason, self._message(fields.get(b"data", b"")))

    def _message(self, data: bytes) -> BrokerMessage | None:
        try:
            read = self._formatter.loads(data)
        except Exception:  # noqa: BLE001  # it may hold anything, so anything may be raised
            return None
        return BrokerMessage(task_id=read.task_id, task_name=read.task_name, message=data, labels=read.labels)
