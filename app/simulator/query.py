"""What a client asks of ISS: parameters bare or prefixed by a block, their names in any case."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time

from app.core.entities import Timeframe
from app.simulator.iss import Style
from app.simulator.listings import Listing
from app.simulator.slots import BY_INTERVAL
from app.simulator.tape import Window

_DATEONLY = re.compile(r"\d{4}-\d{2}-\d{2}")
_PARTS = {"engines": "engine", "markets": "market", "boards": "board", "boardgroups": "group", "securities": "security"}
_USUAL_INTERVAL = 10

ON = frozenset({"true", "1", "on", "yes"})
"""What a switch is set to by any of these, in lower case."""


class Query:
    """The parameters of a request; unknown ones are nobody's business."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take names in any case; of a repeated one the last counts."""
        self._values = {name.lower(): value for name, value in pairs}

    def get(self, name: str, default: str = "", *, block: str = "candles") -> str:
        """Return the value for a block, which may name it with its prefix."""
        return self._values.get(f"{block}.{name}", self._values.get(name, default)).strip()

    def integer(self, name: str, default: int, *, block: str = "candles") -> int:
        """Return a number of zero or more; the default stands for whatever is none."""
        text = self.get(name, block=block)
        return int(text) if text.isdecimal() and len(text) < 10 else default  # noqa: PLR2004  # row numbers are smaller

    @property
    def style(self) -> Style:
        only = self._values.get("iss.only", "")
        suffix = ".columns"
        columns = {name.removesuffix(suffix): text for name, text in self._values.items() if name.endswith(suffix)}
        return Style(
            meta=self._values.get("iss.meta", "on").lower() != "off",
            data=self._values.get("iss.data", "on").lower() != "off",
            extended=self._values.get("iss.json", "").lower() == "extended",
            only=frozenset(name.strip().lower() for name in only.split(",") if name.strip()),
            columns={block: [name.strip() for name in text.split(",")] for block, text in columns.items() if text},
        )


@dataclass(frozen=True, slots=True)
class Place:
    """What `/iss/engines/E/markets/M/boards/B/securities/S/TAIL` names, in lower case; absent parts are empty."""

    engine: str = ""
    market: str = ""
    board: str = ""
    group: str = ""
    security: str = ""
    tail: str = ""

    @classmethod
    def of(cls, path: str) -> "Place":
        rest = path.lower().removesuffix(".json").strip("/").split("/")[1:]
        parts: dict[str, str] = {}
        while len(rest) > 1 and rest[0] in _PARTS:
            parts[_PARTS[rest[0]]] = rest[1]
            rest = rest[2:]
        return cls(**parts, tail=rest[0] if rest else "")

    @property
    def is_candles(self) -> bool:
        return bool(self.engine and self.security) and self.tail == "candles"

    def holds(self, listing: Listing, today: date) -> bool:
        """Tell whether the listing trades here; on a market without a board, the primary boards of a day are meant."""
        board = listing.board
        if self.engine not in ("", board.market.engine.name) or self.market not in ("", board.market.name):
            return False
        if self.board:
            return self.board == board.code.lower()
        return listing.is_primary_on(today) and self.group in ("", str(board.group))


@dataclass(frozen=True, slots=True)
class CandleQuery:
    """A wish for candles, and what is known by then; `timeframe` or `window` is None where it makes no sense."""

    known: datetime
    timeframe: Timeframe | None
    window: Window | None
    start: int = 0
    reverse: bool = False

    @classmethod
    def of(cls, query: Query, known: datetime) -> "CandleQuery":
        timeframe = BY_INTERVAL.get(query.integer("interval", 0 if query.get("interval") else _USUAL_INTERVAL))
        reverse = query.get("iss.reverse").lower() in ON or query.get("reverse").lower() in ON
        window = _window(query.get("from"), query.get("till"))
        return cls(known, timeframe, window, query.integer("start", 0), reverse)


def _window(low: str, high: str) -> Window | None:
    try:
        return Window(
            _moment(low, time()) if low else Window().low, _moment(high, time(23, 59, 59)) if high else Window().high
        )
    except ValueError:
        return None


def _moment(text: str, time_of_date: time) -> str:
    moment = datetime.fromisoformat(text).replace(tzinfo=None)
    if _DATEONLY.fullmatch(text):
        moment = datetime.combine(moment, time_of_date)
    return moment.isoformat(sep=" ", timespec="seconds")
