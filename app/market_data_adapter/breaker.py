"""When to leave the exchange alone: a breaker as a value, and what each outcome makes of it. Pure."""

from typing import NamedTuple

import msgspec
from msgspec.structs import replace

_LONGEST = 10
"""Times the first rest."""


class Breaking(NamedTuple):
    """After how many failures in a row nobody asks any more, and for how many seconds at first.

    Twice as long after each probe that fails, up to ten times.
    """

    after: int = 5
    rest: float = 30


class Failure(NamedTuple):
    """What failed, the patience asked for in seconds, and whether the exchange pushed us back.

    `sent_at`: when the request began, by the ledger's time; `is_probe`: it was the one that tried for all.
    """

    what: str
    sent_at: float
    retry_after: float | None = None
    is_pushback: bool = False
    is_probe: bool = False


class Breaker(msgspec.Struct, frozen=True):
    """How we stand with the exchange; moments are seconds of one ledger's time.

    Nobody asks before `until`. `failures` in a row open it at a limit, `openings` counts how often in a row it opened.
    While it is open and `until` is over, one request at a time probes: nobody else before `probed_until`.
    """

    failures: int = 0
    openings: int = 0
    until: float = 0
    paused_at: float = 0
    probed_until: float = 0
    reason: str = ""

    @property
    def is_open(self) -> bool:
        return self.openings > 0

    def is_resting(self, now: float) -> bool:
        """Tell whether asking is out of the question, rather than a matter of a short wait."""
        return self.is_open and self.until > now

    def wait(self, now: float) -> float:
        """Return for how many seconds nobody may ask; zero or less means that one may."""
        return max(self.until, self.probed_until if self.is_open else 0) - now

    def moved(self, seconds: float) -> "Breaker":
        """Return the same by a clock that is so many seconds ahead."""
        until, paused_at, probed_until = (at + seconds for at in (self.until, self.paused_at, self.probed_until))
        return replace(self, until=until, paused_at=paused_at, probed_until=probed_until)

    def entered(self, now: float, lease: float) -> "Breaker":
        """Let one in: the one who probes, if it is open, has so many seconds for it."""
        return replace(self, probed_until=now + lease) if self.is_open else self

    def left(self, *, is_probe: bool) -> "Breaker":
        """Learn nothing from a request: another one may probe."""
        return replace(self, probed_until=0) if is_probe else self

    def after_success(self, *, is_probe: bool) -> "Breaker":
        """Close it, if that was the probe; a pause the exchange asked for stays."""
        if is_probe:
            return Breaker()
        return self if self.is_open or not self.failures else replace(self, failures=0)

    def after_failure(self, failure: Failure, now: float, rules: Breaking) -> "Breaker":
        """Pause, or open. Those sent before the last pause began tell nothing new: they count as one."""
        asked = now + (failure.retry_after or 0)
        if not failure.is_probe and (self.is_open or failure.sent_at < self.paused_at):
            return replace(self, until=max(self.until, asked))
        failures = self.failures + 1
        openings = self.openings + (failure.is_probe or failures >= rules.after)
        pause = _pause(failure, failures, openings, rules)
        return Breaker(
            failures,
            openings,
            until=max(self.until, asked, now + pause),
            paused_at=now if pause else self.paused_at,
            reason=failure.what,
        )


def _pause(failure: Failure, failures: int, openings: int, rules: Breaking) -> float:
    """Return how long nobody should ask: a second, two, four after each push back without a wish of its own."""
    if openings:
        return rules.rest * min(1 << openings - 1, _LONGEST)
    if failure.retry_after is not None:
        return failure.retry_after
    return min(float(1 << failures - 1), rules.rest) if failure.is_pushback else 0.0
