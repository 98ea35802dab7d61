"""What the Moscow Exchange tells of itself: securities, where they trade, and what is there at all."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from urllib.parse import quote

from app.core.corporate_actions import ListedSplit, Rename
from app.core.entities import Security, SecurityCard
from app.core.errors import SecurityNotFoundError
from app.core.markets import Board, FoundSecurity, Listed
from app.market_data_adapter.iss import IssClient
from app.market_data_adapter.parsing_actions import parse_renames, parse_splits
from app.market_data_adapter.parsing_reference import (
    parse_boards,
    parse_cards,
    parse_found,
    parse_listed,
    parse_spelling,
)

SEARCH_ROWS = 100
"""Rows on a full page of a search."""

_INDEX = {"iss.meta": "off", "iss.only": "engines,markets,boards,boardgroups"}
_LIST = {"iss.meta": "off", "iss.only": "securities"}
_NO_META = {"iss.meta": "off"}
_SPLITS = "/iss/statistics/engines/stock/splits.json"
_RENAMES = "/iss/history/engines/stock/markets/shares/securities/changeover.json"
_NEAREST = 5
_SHORTEST_SEARCH = 3  # what shorter texts find has nothing to do with them


class MoexDirectory:
    """Reads the reference part of ISS."""

    def __init__(self, client: IssClient) -> None:
        """Take the way to ISS."""
        self._client = client

    async def boards(self) -> Sequence[Board]:
        boards, _ = await self._client.get("/iss/index.json", _INDEX, parse_boards)
        return boards

    async def find(self, text: str, /, *, limit: int) -> Sequence[FoundSecurity]:
        found: dict[tuple[str, str | None], FoundSecurity] = {}
        start = 0
        while len(found) < limit:
            page, _ = await self._client.get("/iss/securities.json", _search(text, start), parse_found)
            known = len(found)
            found |= {(each.ticker, each.primary_board): each for each in page}
            start += len(page)
            if len(page) < SEARCH_ROWS or len(found) == known:  # a source that ignores `start` ends here
                break
        return list(found.values())[:limit]

    async def listed(self, board: Board, /) -> Sequence[SecurityCard]:
        path = f"/iss/engines/{board.engine}/markets/{board.market}/boards/{board.code}/securities.json"
        cards, _ = await self._client.get(path, _LIST, lambda body: parse_listed(body, board))
        return cards

    async def splits(self) -> Listed[ListedSplit]:
        splits, given_at = await self._client.get(_SPLITS, _NO_META, parse_splits)
        return replace(splits, given_at=given_at)

    async def renames(self) -> Listed[Rename]:
        renames, given_at = await self._client.get(_RENAMES, _NO_META, parse_renames)
        return replace(renames, given_at=given_at)

    async def card(self, security: Security, /) -> SecurityCard:
        """Look a security up; SecurityNotFoundError names its other boards, or the nearest tickers."""
        cards = await self._cards(security.ticker)
        for card in cards:
            if card.security == security:
                return await self._with_lot(card)
        boards = ", ".join(card.security.board for card in cards if card.is_traded) or "no board any more"
        raise SecurityNotFoundError(f"{security.ticker} is not on board {security.board}: it trades on {boards}")

    async def primary_card(self, ticker: str, /) -> SecurityCard:
        """Look a ticker up on the board the exchange calls primary; without one, on the first that trades it."""
        cards = await self._cards(ticker)
        return await self._with_lot(min(cards, key=lambda card: (not card.is_primary, not card.is_traded)))

    async def _cards(self, ticker: str) -> list[SecurityCard]:
        """Read a ticker's cards, one a board; if it has none, as the exchange's search spells it."""
        if cards := await self._described(ticker, ticker):
            return cards
        spelled, _ = await self._client.get(
            "/iss/securities.json", _search(ticker), lambda body: parse_spelling(body, ticker)
        )
        if spelled and spelled != ticker and (cards := await self._described(ticker, spelled)):
            return cards
        raise SecurityNotFoundError(await self._unknown(ticker))

    async def _described(self, ticker: str, secid: str) -> list[SecurityCard]:
        cards, _ = await self._client.get(
            f"/iss/securities/{quote(secid)}.json", _NO_META, lambda body: parse_cards(body, ticker)
        )
        return cards

    async def _with_lot(self, card: SecurityCard) -> SecurityCard:
        """Ask the board for the lot, where the description has none, as it has none of shares."""
        if card.lot is not None:
            return card
        board = Board(card.security.board, card.engine, card.market)
        path = f"/iss/engines/{card.engine}/markets/{card.market}/boards/{board.code}/securities/{quote(card.secid)}"
        listed, _ = await self._client.get(f"{path}.json", _LIST, lambda body: parse_listed(body, board))
        own = next((each for each in listed if each.security == card.security), card)
        return replace(card, lot=own.lot, currency=card.currency or own.currency)

    async def _unknown(self, ticker: str) -> str:
        """Say that nobody knows the ticker, and which ones look like it."""
        for text in (ticker, ticker[:-1], ticker[:-2]):
            if len(text) >= _SHORTEST_SEARCH and (found := await self.find(text, limit=SEARCH_ROWS)):
                nearest = sorted(found, key=lambda each: _distance(each, ticker))[:_NEAREST]
                names = ", ".join(f"{each.ticker} ({each.short_name or each.name})" for each in nearest)
                return f"the exchange knows no {ticker}: did you mean {names}?"
        return f"the exchange knows no {ticker}: check the ticker"


def _search(text: str, start: int = 0) -> dict[str, str]:
    return {**_LIST, "q": text, "start": str(start), "limit": str(SEARCH_ROWS)}


def _distance(found: FoundSecurity, ticker: str) -> tuple[bool, float]:
    """Order: what trades first, then what looks most alike."""
    return not found.is_traded, -SequenceMatcher(None, found.ticker, ticker).ratio()
