"""Which blocks ISS answers to which path. Pure: a tape, a path, parameters and what is known go in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from app.core.entities import SOURCED
from app.simulator import directory, slots
from app.simulator.fault_kinds import Split
from app.simulator.faults import Asked, Fault, Faults
from app.simulator.iss import Block, Column, Value
from app.simulator.listings import Listing
from app.simulator.query import CandleQuery, Query
from app.simulator.tape import PAGE_ROWS, Tape, Window, begin_of, page

CANDLES = (
    Column("open", "double"), Column("close", "double"), Column("high", "double"), Column("low", "double"),
    Column("value", "double"), Column("volume", "double"), Column("begin", "datetime"), Column("end", "datetime"),
)  # fmt: skip
_BORDERS = (Column("begin", "datetime"), Column("end", "datetime"), Column("interval", "int32"))
_GROUP_BORDERS = (*_BORDERS, Column("board_group_id", "int32"))
_SEARCH_ROWS = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """Blocks; and, if they can never change any more, the wall time at which all of them was known and closed."""

    blocks: Sequence[Block]
    settled: datetime | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """Answers from a tape."""

    tape: Tape
    faults: Faults

    def answer(self, asked: Asked, query: Query, known: datetime, faults: Sequence[Fault] = ()) -> Answer | None:
        """Answer what was known at a wall time; None where ISS has no such resource at all.

        A resource that exists answers for whatever unknown tail its path has, as ISS does.
        """
        place = asked.place
        if not (place.engine and place.security):
            blocks = self._directory(asked, query, known.date())
            return None if blocks is None else Answer(blocks)
        listings = [listing for listing in self.tape.find(place.security) if place.holds(listing)]
        if asked.candles:
            return self._candles(listings[:1], asked.candles, faults)
        if place.tail == "candleborders":
            return Answer(self._borders(listings[:1], known, is_group=not place.board))
        return Answer(directory.securities(listings))

    def _directory(self, asked: Asked, query: Query, today: date) -> list[Block] | None:
        place = asked.place
        if place.security:
            return directory.card(self.tape.find(place.security), today)
        if place.engine and place.tail == "securities":
            here = [each for each in self.tape.listings if place.holds(each) and each.is_listed(today)]
            return directory.securities(here)
        if place.engine:
            return directory.engine(place.engine, today)
        return self._root(asked, query, today)

    def _root(self, asked: Asked, query: Query, today: date) -> list[Block] | None:
        match asked.path.lower().removesuffix(".json").strip("/").split("/"):
            case ["iss", "index"]:
                return directory.index()
            case ["iss", "engines"]:
                return [directory.engines()]
            case ["iss", "securities"]:
                return self._search(query, today)
            case ["iss", "statistics", "engines", "stock", "splits", *rest]:
                splits = [rule.fault for rule in self.faults if isinstance(rule.fault, Split)]
                return [directory.splits((split.row for split in splits), "".join(rest))]
            case ["iss", "history", "engines", "stock", "markets", "shares", "securities", "changeover"]:
                return [directory.changeover()]
            case _:
                return None

    def _search(self, query: Query, today: date) -> list[Block]:
        text = query.get("q", block="securities")
        start, limit = (query.integer(n, d, block="securities") for n, d in (("start", 0), ("limit", _SEARCH_ROWS)))
        known = self.tape.find(text)
        listings = [*self.tape.listings, *(each for each in known if each not in self.tape.listings)]
        return directory.search(listings, text, today, start, min(limit, _SEARCH_ROWS))

    def _candles(self, listings: Sequence[Listing], wish: CandleQuery, faults: Sequence[Fault]) -> Answer:
        for fault in faults:
            wish = fault.on_wish(wish)
        rows, settled = self._rows(listings, wish)
        for fault in faults:
            rows = fault.on_rows(rows, wish)
        block = Block("candles", CANDLES, rows)
        for fault in faults:
            block = fault.on_block(block)
        return Answer([block], None if faults else settled)

    def _rows(self, listings: Sequence[Listing], wish: CandleQuery) -> tuple[list[str], datetime | None]:
        timeframe, window = wish.timeframe, wish.window
        if timeframe is None or window is None or not listings:
            return [], None
        chunks = self.tape.chunks(listings[0], timeframe, window, wish.known, reverse=wish.reverse)
        rows = page(chunks, wish.start, reverse=wish.reverse)
        closed = slots.floor(timeframe, wish.known).isoformat(sep=" ")
        is_full = len(rows) == PAGE_ROWS and begin_of(rows[-1]) < closed and not wish.reverse
        return rows, wish.known if is_full or window.high < closed else None

    def _borders(self, listings: Sequence[Listing], known: datetime, *, is_group: bool) -> list[Block]:
        rows: list[Sequence[Value]] = [
            (*row, *([listing.board.group] if is_group else []))
            for listing in listings
            for row in self._border_rows(listing, known)
        ]
        return [Block.of("borders", _GROUP_BORDERS if is_group else _BORDERS, rows), directory.durations()]

    def _border_rows(self, listing: Listing, known: datetime) -> list[tuple[str, str, int]]:
        rows = []
        for timeframe in sorted(SOURCED, key=lambda each: each.interval):
            first, last = (
                page(self.tape.chunks(listing, timeframe, Window(), known, reverse=newest), size=1, reverse=newest)
                for newest in (False, True)
            )
            if first and last:
                rows.append((begin_of(first[0]), begin_of(last[0]), timeframe.interval))
        return rows
