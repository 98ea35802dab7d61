"""Candles drawn with characters, for a terminal."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from app.core.pages import CandlePage, Row

WIDTH, HEIGHT = 72, 14
_BODY, _WICK = 2, 1
_MARKS = {
    (0, 0): " ",
    (0, _WICK): "╷",
    (0, _BODY): "╻",
    (_WICK, 0): "╵",
    (_WICK, _WICK): "│",
    (_WICK, _BODY): "╽",
    (_BODY, 0): "╹",
    (_BODY, _WICK): "╿",
    (_BODY, _BODY): "┃",
}
"""By what fills the upper and the lower half of a cell."""


def draw(page: CandlePage, *, width: int = WIDTH, height: int = HEIGHT) -> Iterator[Text]:
    """Draw the newest candles, one a column: bodies heavy, wicks light, green where the price rose, red where it fell.

    Prices stand at the left, the first and the last beginning (Moscow time) below; a page without candles gives no
    lines.
    """
    rows = list(page[-width:].rows)
    if not rows:
        return
    low, high = min(row[3] for row in rows), max(row[2] for row in rows)
    labels = _labels(low, high, height)
    for line, label in enumerate(labels):
        marks = ((_mark(row, low, high, height - 1 - line, height), _colour(row)) for row in rows)
        yield Text.assemble((label, "dim"), " ", *(mark if mark[0] != " " else " " for mark in marks))
    yield Text(_axis(page, len(rows), len(labels[0]) + 1), "dim")


def _mark(row: Row, low: float, high: float, cell: int, height: int) -> str:
    """Return the character of a candle in the cell so many above the bottom."""
    scale = (2 * height - 1) / (high - low) if high > low else 0.0
    bottom, top, lower, upper = (round((price - low) * scale) for price in (row[3], row[2], *sorted((row[1], row[4]))))

    def half(position: int) -> int:
        if lower <= position <= upper:
            return _BODY
        return _WICK if bottom <= position <= top else 0

    return _MARKS[half(2 * cell + 1), half(2 * cell)]


def _colour(row: Row) -> str:
    return "green" if row[4] >= row[1] else "red"


def _labels(low: float, high: float, height: int) -> Sequence[str]:
    """Write a price on the first, the last and every fourth line."""
    step = (high - low) / (height - 1)
    texts = [f"{high - line * step:,.2f}".replace(",", " ") for line in range(height)]
    width = max(map(len, texts))
    last = height - 1
    return [
        (text if line in {0, last} or (line % 4 == 0 and last - line > 1) else "").rjust(width)
        for line, text in enumerate(texts)
    ]


def _axis(page: CandlePage, columns: int, indent: int) -> str:
    first, last = (f"{page[index].timestamp.moscow:%Y-%m-%d %H:%M}" for index in (-columns, -1))
    return " " * indent + (f"{first}{last:>{columns - len(first)}}" if columns > len(first) + len(last) else last)
