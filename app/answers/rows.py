"""The candles of an answer as bytes, and which of them are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.answers.writing import Writing
from app.core.pages import CandlePage
from app.core.spans import Period


@dataclass(frozen=True, slots=True)
class Rows:
    """Candles as they are written, in parts none of which is empty.

    `edge`: the beginning (unix seconds) of the candle behind which the next page goes on, None without candles.
    `has_more`: the limit left some out.
    """

    parts: Sequence[bytes | memoryview]
    count: int
    edge: int | None
    has_more: bool

    @classmethod
    def of(cls, page: CandlePage, writing: Writing, *, newest_first: bool, has_more: bool) -> "Rows":
        """Write an ascending page."""
        edge = page.begins[0 if newest_first else -1] if page else None
        return cls(writing.parts(page), len(page), edge, has_more)


@dataclass(frozen=True, slots=True)
class Cut:
    """Which candles: those that begin in `window`, at most `limit` of them, the oldest or the newest.

    `goes_on`: a page came before this one. Such pages are read once.
    """

    window: Period
    limit: int
    newest_first: bool
    writing: Writing
    goes_on: bool

    def rows(self, page: CandlePage) -> Rows:
        """Write what was read of the window with a limit of one more."""
        has_more = len(page) > self.limit
        if has_more:
            page = page[-self.limit :] if self.newest_first else page[: self.limit]
        return Rows.of(page, self.writing, newest_first=self.newest_first, has_more=has_more)
