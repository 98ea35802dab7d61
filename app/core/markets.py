"""What the exchange calls things: engines, their markets, the boards of a market, and the groups of boards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from app.core.corporate_actions import ListedSplit, Rename
from app.core.date_time import Timestamp
from app.core.entities import SecurityCard

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Board:
    """A trading mode, known by its code (`TQBR`). Most boards of a market belong to one group of equals.

    `is_default_group`: what the exchange means by a market without a board. `seen_at`: when the exchange last listed
    it; None for one that only this program tells of.
    """

    code: str
    engine: str
    market: str
    title: str = ""
    engine_title: str = ""
    market_title: str = ""
    group: int = 0
    group_name: str = ""
    group_title: str = ""
    is_default_group: bool = False
    is_traded: bool = True
    has_candles: bool = True
    is_primary: bool = True
    seen_at: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class FoundSecurity:
    """What a search of the exchange tells of a security; `primary_board` is where it mainly trades or traded."""

    ticker: str
    name: str = ""
    short_name: str = ""
    isin: str | None = None
    kind: str | None = None
    primary_board: str | None = None
    is_traded: bool = True


@dataclass(frozen=True, slots=True)
class Listed(Generic[Row]):
    """A list of the exchange, and when it gave it, by its own clock.

    `skipped` says of each row that makes no sense what is wrong with it.
    """

    rows: Sequence[Row]
    skipped: Sequence[str] = ()
    given_at: Timestamp | None = None


class IDirectory(Protocol):
    """What the exchange tells of itself. Any failure of it is raised as SourceError."""

    async def boards(self) -> Sequence[Board]:
        """Return every board there is, traded or not."""

    async def find(self, text: str, /, *, limit: int) -> Sequence[FoundSecurity]:
        """Search by any part of ticker, names or ISIN, in the exchange's own order."""

    async def listed(self, board: Board, /) -> Sequence[SecurityCard]:
        """Return what is listed on a board now; these cards tell no more than a list does."""

    async def splits(self) -> Listed[ListedSplit]:
        """Return the splits of shares and funds, those to come too; of one ticker and day one."""

    async def renames(self) -> Listed[Rename]:
        """Return which tickers of shares were replaced."""


WELL_KNOWN = {
    board.code: board
    for board in (
        Board("TQBR", "stock", "shares", "Т+: Акции и ДР - безадрес.", group=57),
        Board("TQTF", "stock", "shares", "Т+: ETF - безадрес.", group=57),
        Board("TQIF", "stock", "shares", "Т+: Паи - безадрес.", group=57),
        Board("TQPI", "stock", "shares", "Т+: Акции ПИР - безадрес.", group=57),
        Board("TQTD", "stock", "shares", "Т+: ETF (USD) - безадрес.", group=156, is_primary=False),
        Board("SMAL", "stock", "shares", "Т+: Неполные лоты (акции) - безадрес.", group=21, is_primary=False),
        Board("FQBR", "stock", "foreignshares", "Т+ Ин.Акции и ДР - безадрес.", group=265),
        Board("TQOB", "stock", "bonds", "Т+: Гособлигации - безадрес.", group=58, is_primary=False),
        Board("TQCB", "stock", "bonds", "Т+: Облигации - безадрес.", group=58, is_primary=False),
        Board("TQIR", "stock", "bonds", "Т+ Облигации ПИР - безадрес.", group=58, is_primary=False),
        Board("TQRD", "stock", "bonds", "Т+: Облигации Д - безадрес.", group=58, is_primary=False),
        Board("TQOD", "stock", "bonds", "Т+: Облигации (USD) - безадрес.", group=193, is_primary=False),
        Board("SNDX", "stock", "index", "Индексы фондового рынка", group=9),
        Board("RTSI", "stock", "index", "Индексы РТС", group=9),
        Board("INAV", "stock", "index", "INAV", group=104, is_primary=False),
        Board("MMIX", "stock", "index", "Money Market IndeX", group=155, is_primary=False),
        Board("CETS", "currency", "selt", "Системные сделки - безадрес.", group=13),
        Board("RFUD", "futures", "forts", "Фьючерсы", group=45),
        Board("ROPD", "futures", "options", "Опционы", group=35),
    )
}
"""The boards people ask for, for as long as the exchange's own list was never read."""
