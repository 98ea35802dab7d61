"""The truth for tests: what the exchange held at an instant, as candles of the core."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from app.core.date_time import Timestamp
from app.core.entities import Series
from app.core.pages import CandlePage, Row
from app.core.spans import Period
from app.simulator import slots
from app.simulator.fault_kinds import Revision
from app.simulator.faults import Asked, Rule
from app.simulator.halts import halted
from app.simulator.iss import Value, row_values
from app.simulator.listings import Listing
from app.simulator.query import CandleQuery, Place
from app.simulator.tape import Tape, Window


def read_truth(tape: Tape, series: Series, period: Period, known: datetime, rules: Iterable[Rule]) -> CandlePage:
    """Read the candles that begin in the period, as known at a wall time and revised by the rules in force.

    Those are final whose bar had ended by then. Of equal beginnings the last row counts. LookupError if the tape has
    no such security.
    """
    rules = list(rules)
    listing = halted(_find(tape, series), rules)
    ends = (period.time_from, period.time_till - timedelta(seconds=1))
    window = Window(*(f"{moment.moscow:%Y-%m-%d %H:%M:%S}" for moment in ends))
    wish = CandleQuery(known, series.timeframe, window)
    rows = [row for chunk in tape.chunks(listing, series.timeframe, window, known) for row in chunk.rows()]
    for revision in _revisions(listing, wish, rules):
        rows = revision.on_rows(rows, wish)
    closed = slots.floor(series.timeframe, known)
    found = {row[0]: row for row in (_candle_row(row, closed) for row in rows)}
    return CandlePage.from_rows(series, [found[begin] for begin in sorted(found)])


def _find(tape: Tape, series: Series) -> Listing:
    for listing in tape.find(series.security.ticker):
        if listing.board.code == series.security.board:
            return listing
    raise LookupError(f"the tape has no {series.security}")


def _revisions(listing: Listing, wish: CandleQuery, rules: Iterable[Rule]) -> list[Revision]:
    market = listing.board.market
    path = (
        f"/iss/engines/{market.engine.name}/markets/{market.name}/boards/{listing.board.code}"
        f"/securities/{listing.ticker}/candles.json"
    )
    asked = Asked("GET", path, Place.of(path), wish)
    faults = (rule.fault for rule in rules)
    return [fault for fault in faults if isinstance(fault, Revision) and fault.concerns(asked)]


def _candle_row(row: str, closed: datetime) -> Row:
    opened, close, high, low, value, volume, begin, _ = row_values(row)
    wall = datetime.fromisoformat(str(begin))
    return (
        Timestamp.from_moscow(wall).unix,
        _double(opened),
        _double(high),
        _double(low),
        _double(close),
        _double(volume),
        _double(value),
        int(wall < closed),
    )


def _double(value: Value) -> float:
    return float(value or 0)
