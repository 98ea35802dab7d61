"""Faults on demand: what may go wrong between a client and ISS, as rules that a test or a person sets.

Every fault has, besides its own options: `match` (which requests it concerns), `times` (how often it strikes; null or
None for ever), `after` (how many requests that it concerns pass first) and `probability`. Several may strike one
answer, in the order in which they were added. In JSON `kind` names the class: `{"kind": "status", "code": 502}`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import shake_128
from itertools import count

import msgspec

from app.simulator.iss import Block
from app.simulator.query import CandleQuery, Place


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rule may look at."""

    method: str
    path: str
    place: Place
    candles: CandleQuery | None = None
    query: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer on its way out.

    It waits `pause` seconds first; then the connection is reset, or the body goes out, at most so many bytes a second,
    and only `cut_at` bytes of it before the connection closes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    pause: float = 0.0
    bytes_per_second: float | None = None
    cut_at: int | None = None
    is_reset: bool = False


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests a fault concerns; None fits all.

    `path` and `query` are regular expressions found anywhere in the path and in the query string as it was sent.
    """

    path: str | None = None
    query: str | None = None
    method: str | None = None
    ticker: str | None = None
    board: str | None = None
    interval: int | None = None

    def fits(self, asked: Asked) -> bool:
        timeframe = asked.candles.timeframe if asked.candles else None
        return (
            (self.path is None or re.search(self.path, asked.path) is not None)
            and (self.query is None or re.search(self.query, asked.query) is not None)
            and self.method in (None, asked.method)
            and (self.ticker is None or self.ticker.lower() == asked.place.security)
            and (self.board is None or self.board.lower() == asked.place.board)
            and (self.interval is None or (timeframe is not None and timeframe.interval == self.interval))
        )


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """A rule; each kind overrides the moment at which it interferes."""

    match: Match = Match()
    times: int | None = 1
    after: int = 0
    probability: float = 1.0

    def concerns(self, asked: Asked) -> bool:
        return self.match.fits(asked)

    def on_wish(self, wish: CandleQuery) -> CandleQuery:
        """Change what is looked up."""
        return wish

    def on_rows(self, rows: list[str], wish: CandleQuery) -> list[str]:
        """Change the rows of a page of candles."""
        del wish
        return rows

    def on_block(self, block: Block) -> Block:
        """Change the block of candles."""
        return block

    def on_reply(self, reply: Reply) -> Reply:
        """Change what goes over the wire."""
        return reply


@dataclass(slots=True)
class Rule:
    """A fault that was set, how many requests concerned it, and how many it struck."""

    id: int
    fault: Fault
    seen: int = 0
    struck: int = 0

    def strikes(self, asked: Asked) -> bool:
        """Tell whether it strikes this request, and count."""
        fault = self.fault
        if not fault.concerns(asked) or (fault.times is not None and self.struck >= fault.times):
            return False
        self.seen += 1
        if self.seen <= fault.after or not self._chance() < fault.probability:
            return False
        self.struck += 1
        return True

    def _chance(self) -> float:
        """Return an even number from 0 to below 1 that is the same in every run."""
        return int.from_bytes(shake_128(f"{self.id}/{self.seen}".encode()).digest(4), "big") / 2**32


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        """Begin with none."""
        self._rules: dict[int, Rule] = {}
        self._ids = count(1)

    def add(self, fault: Fault) -> Rule:
        rule = Rule(next(self._ids), fault)
        self._rules[rule.id] = rule
        return rule

    def remove(self, rule_id: int) -> None:
        self._rules.pop(rule_id, None)

    def clear(self) -> None:
        self._rules.clear()

    def __iter__(self) -> Iterator[Rule]:
        return iter(list(self._rules.values()))

    def striking(self, asked: Asked) -> list[Fault]:
        """Return the faults that strike this request, each counted."""
        return [rule.fault for rule in self if rule.strikes(asked)] if self._rules else []
