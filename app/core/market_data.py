"""What the core asks of the exchange, of time, and of the loader between exchange and store."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol

from app.core.corporate_actions import Split
from app.core.date_time import Timestamp
from app.core.entities import QuarantinedRow, Security, SecurityCard, Series, Timeframe
from app.core.pages import CandlePage
from app.core.spans import Period


class IClock(Protocol):
    """The time by which sessions, watermarks and schedules are decided. Timeouts are monotonic and not its business."""

    async def now(self) -> Timestamp: ...


@dataclass(frozen=True, slots=True)
class SourcePage:
    """One checked page of an answer.

    `candles` continue the page before and lie inside the asked period; none is final yet.
    `as_of`: when the source knew this, the earlier of our clock before the first request and the answer's own date.
    `rejected`: rows that failed their checks, one a slot. `is_last`: the source showed that nothing follows.
    `is_short`: fewer rows than the source puts on a full page, so that probably nothing follows.
    `conflicts`: how many candles came with two different values; the later row is in the page. `is_followed`: the same
    answer has later candles.
    """

    candles: CandlePage
    as_of: Timestamp
    rejected: Sequence[QuarantinedRow] = ()
    is_short: bool = False
    is_last: bool = False
    conflicts: int = 0
    is_followed: bool = False


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How we stand with the exchange, as far as we know without asking it.

    `state`: `ok`; `paused`: it asked for patience, requests wait; `open`: it failed too often, requests fail at once;
    `half_open`: the next request tries for all. `until`: nobody asks before; `reason`: what it said last.
    `is_shared`: all processes know and count together.
    """

    state: Literal["ok", "paused", "open", "half_open"] = "ok"
    until: Timestamp | None = None
    reason: str = ""
    is_shared: bool = False


class IMarketDataAdapter(Protocol):
    """The exchange. Any failure of it is raised as SourceError."""

    @property
    def source(self) -> str:
        """The name by which a store remembers who filled it."""

    @property
    def delay(self) -> timedelta:
        """By how much its answers trail the market."""

    async def card(self, security: Security, /) -> SecurityCard:
        """Look a security up; SecurityNotFoundError says on which boards the ticker trades instead.

        Of a ticker nobody knows it names the nearest ones.
        """

    async def primary_card(self, ticker: str, /) -> SecurityCard:
        """Look a ticker up on its primary board; SecurityNotFoundError names the nearest tickers."""

    async def borders(self, card: SecurityCard, /) -> Mapping[Timeframe, Period]:
        """Return from the first candle to the end of the last one's slot, for each timeframe that has any."""

    def candles(self, card: SecurityCard, timeframe: Timeframe, period: Period) -> AsyncGenerator[SourcePage]:
        """Read the candles that begin in the period, oldest first, page by page; at least one page comes.

        Each page costs a request when it is asked for: who has enough stops iterating. Leaving off before `is_last`
        means that more may follow.
        """


@dataclass(frozen=True, slots=True)
class Wish:
    """A period of a series that should be stored, both ends aligned to the timeframe.

    `is_inner`: there is coverage where it ends. `again`: read it although it is covered. `covered_since`: where the
    coverage begins that ends where this period begins; None without any.
    """

    series: Series
    period: Period
    is_inner: bool = False
    again: bool = False
    covered_since: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class LoadStep:
    """One committed batch: the period it covered, and how many candles were in it."""

    series: Series
    period: Period
    rows: int


class ILoadProgress(Protocol):
    """Who wants to watch a load."""

    def begin(self, missing: Sequence[Wish], /) -> None:
        """Take what is missing, before the first request."""

    def advance(self, step: LoadStep, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Rescaling:
    """Covered prices up to a candle were multiplied by one factor: the exchange rewrote them for a split.

    `last` is where that candle begins, `as_of` when the answer was given that showed it.
    """

    factor: float
    last: Timestamp
    as_of: Timestamp


@dataclass(slots=True)
class LoadOutcome:
    """What an update did, as counts of candles. `failures` names what ended the load of a series.

    `rows` were written, `revised` had other values before, `withdrawn` were taken back by the exchange; `quarantined`
    are bad rows, and candles that an answer lacked for the first time. `compared`: series of which an answer, newer
    than all before, was compared with what is stored. `rescaled`: series whose stored prices show a split. `splits`:
    what was recorded of them; before those days the next update reads again.
    """

    rows: dict[Series, int] = field(default_factory=dict)
    revised: dict[Series, int] = field(default_factory=dict)
    withdrawn: dict[Series, int] = field(default_factory=dict)
    quarantined: dict[Series, int] = field(default_factory=dict)
    conflicts: dict[Series, int] = field(default_factory=dict)
    failures: dict[Series, Exception] = field(default_factory=dict)
    compared: set[Series] = field(default_factory=set)
    rescaled: dict[Series, Rescaling] = field(default_factory=dict)
    splits: list[Split] = field(default_factory=list)


class IMarketDataLoader(Protocol):
    """Turns gaps into candles and spans."""

    async def missing(self, wishes: Iterable[Wish], /) -> Sequence[Wish]:
        """Return the parts of the wishes that no span covers, and the whole of those to be read again."""

    async def load(self, wishes: Iterable[Wish], /, *, progress: ILoadProgress | None = None) -> LoadOutcome:
        """Load what is missing of the wishes. A series that fails is named in the outcome and stops nobody else."""
