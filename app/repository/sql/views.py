"""Series and their candles read as one moment had them, in as few questions as can be: what answers stand on.

Beside the repositories, which are for whoever asks many things of one snapshot: here one statement is one snapshot, in
the driver's own words, and views that are asked for at the same time share a statement.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from app.core.entities import SecurityCard, Series, SeriesState
from app.core.pages import CandlePage
from app.core.spans import Period
from app.core.storage import Circumstances, SeriesView
from app.repository import refusals
from app.repository.sql.gathering import Gathering

STATE = ", ".join(
    f"s.{name}"
    for name in (
        "followed_from",
        "watermark",
        "as_of",
        "version",
        "history_version",
        "first_candle",
        "failed_at",
        "failure",
        "reread_at",
        "stale_before",
        "checked_at",
        "failures",
        "asked_at",
        "is_grown",
    )
)
"""The columns of a state in the order of its fields."""

CARD = "c.engine, c.market, c.is_traded, c.listed_till, c.history_till, c.expires"
"""What a card tells of the end of trading."""

DAY = ("engine", "day", "is_traded", "trade_date", "reason", "opens", "closes", "seen_at")
"""The columns of a day of the calendar, in the order of its fields."""

AT_ONCE = 1
"""Batches of views on their way: of more, each would hold fewer questions, and PostgreSQL would work more."""
_MORE_AT_ONCE = 4
"""Batches of circumstances: one statement for each question that differs, so they gain little by waiting."""

Looked = tuple[Series, Period]
Missing = tuple[Series, tuple[Period, ...]]
Found = tuple[SeriesView, CandlePage]


class ISnapshots(Protocol):
    """What a database does for the views; a series without a row is not among the answers."""

    @property
    def in_use(self) -> int: ...

    async def views(self, asked: Sequence[Looked], /) -> Sequence[Sequence[SeriesView]]:
        """Return for each either its view, or nothing."""

    async def candles(self, asked: Looked, window: Period, /, *, limit: int, newest_first: bool) -> Found | None:
        """Return the view and the candles as of one moment."""

    async def circumstances(self, series: Series, missing: Sequence[Period], /) -> Circumstances | None:
        """Return what tells why these periods are missing."""

    async def close(self) -> None: ...


class SqlViews:
    """The views of a store."""

    def __init__(self, snapshots: ISnapshots) -> None:
        """Take the database's part."""
        self.snapshots = snapshots
        self._views = Gathering(self._ask_views, at_once=AT_ONCE)
        self._circumstances = Gathering(self._ask_circumstances, at_once=_MORE_AT_ONCE)

    async def view(self, series: Series, period: Period) -> SeriesView:
        for found in await self._views((series, period)):
            return found
        raise refusals.unknown_series(series)

    async def view_candles(
        self, series: Series, period: Period, window: Period, *, limit: int, newest_first: bool
    ) -> Found:
        found = await self.snapshots.candles((series, period), window, limit=limit, newest_first=newest_first)
        if found is None:
            raise refusals.unknown_series(series)
        return found

    async def circumstances(self, series: Series, missing: Sequence[Period]) -> Circumstances:
        for found in await self._circumstances((series, tuple(missing))):
            return found
        raise refusals.unknown_series(series)

    async def _ask_views(self, asked: Sequence[Looked]) -> Sequence[Sequence[SeriesView]]:
        """Ask once what many want to know."""
        distinct = list(dict.fromkeys(asked))
        found = dict(zip(distinct, await self.snapshots.views(distinct), strict=True))
        return [found[one] for one in asked]

    async def _ask_circumstances(self, asked: Sequence[Missing]) -> Sequence[Sequence[Circumstances]]:
        distinct = list(dict.fromkeys(asked))
        answers = [await self.snapshots.circumstances(series, missing) for series, missing in distinct]
        found = {one: [] if answer is None else [answer] for one, answer in zip(distinct, answers, strict=True)}
        return [found[one] for one in asked]


def card_of(series: Series, values: Sequence[Any]) -> SecurityCard:
    """Make what a card tells of the end of trading of the values of `CARD`."""
    engine, market, is_traded, listed_till, history_till, expires = values
    return SecurityCard(
        series.security,
        engine,
        market,
        is_traded=bool(is_traded),
        listed_till=listed_till,
        history_till=history_till,
        expires=expires,
    )


def state_of(series: Series, values: Sequence[object]) -> SeriesState:
    """Make a state of the values of `STATE`, instants as `Timestamp`."""
    return SeriesState(series, *values)  # type: ignore[arg-type]  # a row of that table
