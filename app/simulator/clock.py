"""The simulated clock: it can be stopped, set, and made to run faster than time does."""

import time
from datetime import UTC, datetime, timedelta

from app.core.date_time import Timestamp


class SimulatedClock:
    """Runs `speed` simulated seconds to a real one, unless stopped."""

    def __init__(self, start: Timestamp | None = None, *, speed: float = 1.0, stopped: bool = False) -> None:
        """Start at an instant, by default the present."""
        self._base = start or Timestamp(datetime.now(UTC))
        self._since = time.monotonic()
        self.speed = speed
        self.stopped = stopped

    def now(self) -> Timestamp:
        if self.stopped:
            return self._base
        return self._base + timedelta(seconds=(time.monotonic() - self._since) * self.speed)

    def change(self, *, now: Timestamp | None = None, speed: float | None = None, stopped: bool | None = None) -> None:
        """Change what is given, all at one moment."""
        self._base, self._since = now or self.now(), time.monotonic()
        self.speed = self.speed if speed is None else speed
        self.stopped = self.stopped if stopped is None else stopped

    def set(self, moment: Timestamp) -> None:
        """Jump to a moment, forward or back; the clock goes on as it went."""
        self.change(now=moment)

    def advance(self, delta: timedelta) -> None:
        self.change(now=self.now() + delta)

    def stop(self) -> None:
        self.change(stopped=True)

    def run(self, *, speed: float = 1.0) -> None:
        """Go on from here at this speed."""
        self.change(speed=speed, stopped=False)


def read_moment(text: str) -> Timestamp:
    """Read an ISO moment; one without a zone is Moscow wall time. ValueError if it is none."""
    moment = datetime.fromisoformat(text)
    return Timestamp(moment) if moment.tzinfo else Timestamp.from_moscow(moment)
