"""The Moscow Exchange as a source of candles."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

from app.core.date_time import Timestamp
from app.core.entities import Candle, QuarantinedRow, Security, SecurityCard, Series, Timeframe
from app.core.errors import SourceBadAnswerError, SourceShiftError, SourceUnavailableError
from app.core.market_data import IClock, SourcePage
from app.core.pages import CandlePage
from app.core.spans import Period
from app.market_data_adapter.directory import MoexDirectory
from app.market_data_adapter.iss import IssClient
from app.market_data_adapter.parsing import CANDLE_COLUMNS, ParsedPage, parse_borders, parse_candles

PAGE_ROWS = 500
"""Rows on a full page of ISS; it has no cursor and says nothing of a next page."""

_CANDLES = {"iss.meta": "off", "iss.only": "candles", "candles.columns": ",".join(CANDLE_COLUMNS)}


class MoexAdapter:
    """Reads ISS. Pages continue from the last row of the page before, which is read again and must not have moved."""

    def __init__(
        self, client: IssClient, clock: IClock, *, source: str, delay: timedelta, max_skew: timedelta | None = None
    ) -> None:
        """Take the way to ISS, our clock, the source's name for the store, and by how much its answers trail.

        With `max_skew`, answers whose date is further from our clock are refused: one of the two is wrong.
        """
        self.source = source
        self.delay = delay
        self._client = client
        self._directory = MoexDirectory(client)
        self._clock = clock
        self._max_skew = max_skew

    async def card(self, security: Security, /) -> SecurityCard:
        return await self._directory.card(security)

    async def primary_card(self, ticker: str, /) -> SecurityCard:
        return await self._directory.primary_card(ticker)

    async def borders(self, card: SecurityCard, /) -> Mapping[Timeframe, Period]:
        borders, _ = await self._client.get(f"{_path(card)}/candleborders.json", {"iss.meta": "off"}, parse_borders)
        return borders

    async def candles(self, card: SecurityCard, timeframe: Timeframe, period: Period) -> AsyncGenerator[SourcePage]:
        series = Series(card.security, timeframe)
        path = f"{_path(card)}/candles.json"
        till = _wall(period.time_till - timedelta(seconds=1))  # inclusive on the other side
        query = _CANDLES | {"interval": str(timeframe.interval), "till": till}
        started = await self._clock.now()
        as_of: Timestamp | None = None
        edge = _Edge()
        while True:
            asked = Period(edge.moment or period.time_from, period.time_till)
            answer, given_at = await self._ask(path, query | {"from": _wall(asked.time_from)}, series, asked)
            as_of = as_of or self._as_of(started, given_at)
            last = max((*answer.candles.begins[-1:], *(row.begin for row in answer.rejected)), default=None)
            is_short = answer.raw_count < PAGE_ROWS
            is_last = last is None or last == edge.begin or _slot_end(last, timeframe) >= period.time_till
            if (last is None and answer.raw_count) or (last == edge.begin and not is_short):
                raise SourceBadAnswerError(
                    f"{series}: the exchange answers {answer.raw_count} rows, none new of {asked}"
                )
            fresh = edge.continued(answer, period, settled_before=as_of - self.delay)
            held = not (is_last or is_short)
            yield SourcePage(
                fresh[:-1] if held and _ends_at(fresh, last) else fresh,
                as_of,
                _quarantined(answer, series, edge.after(period), as_of),
                is_short=is_short,
                is_last=is_last,
                conflicts=answer.conflicts,
            )
            if is_last or last is None:
                return
            edge = _Edge(last, answer.candles[-1] if _ends_at(answer.candles, last) else None, is_given=not held)

    def _as_of(self, started: Timestamp, given_at: Timestamp) -> Timestamp:
        if self._max_skew is not None and abs(given_at - started) > self._max_skew:
            raise SourceUnavailableError(
                f"the exchange's answer is of {given_at}, our clock says {started}: set this machine's clock right"
            )
        return min(started, given_at)

    async def _ask(
        self, path: str, query: Mapping[str, str], series: Series, period: Period
    ) -> tuple[ParsedPage, Timestamp]:
        """Read one page, less what nobody asked for.

        One that gives two values for a candle is asked for once more, then its later row wins.
        """
        for _ in range(2):
            answer, given_at = await self._client.get(path, query, lambda body: parse_candles(body, series))
            if not answer.conflicts:
                break
        return answer.inside(period), given_at


@dataclass(frozen=True, slots=True)
class _Edge:
    """The last row read so far: where it begins, what it was (None if it was rejected), and whether it was given on."""

    begin: int | None = None
    candle: Candle | None = None
    is_given: bool = False

    @property
    def moment(self) -> Timestamp | None:
        return None if self.begin is None else Timestamp.from_unix(self.begin)

    def after(self, period: Period) -> Period:
        """Return the part of the period behind this row."""
        return period if self.begin is None else Period(Timestamp.from_unix(self.begin + 1), period.time_till)

    def continued(self, answer: ParsedPage, period: Period, *, settled_before: Timestamp) -> CandlePage:
        """Return the candles to give on; SourceShiftError if this row, read again, is gone or has changed.

        A bar that may still form is allowed to change.
        """
        if self.moment is None or self.candle is None:
            return answer.candles.between(self.after(period).time_from, period.time_till)
        again = answer.candles.between(self.moment, period.time_till)
        may_change = self.candle.timeframe.after(self.candle.timestamp) > settled_before
        if not again or (again[0] != self.candle and not (may_change and again[0].timestamp == self.moment)):
            raise SourceShiftError(f"{self.candle.series}: the candle of {self.moment} moved while pages were read")
        return again[1:] if self.is_given else again


def _path(card: SecurityCard) -> str:
    security = card.security
    board = f"/iss/engines/{card.engine}/markets/{card.market}/boards/{security.board}"
    return f"{board}/securities/{quote(card.secid or security.ticker)}"


def _wall(moment: Timestamp) -> str:
    return moment.moscow.replace(tzinfo=None).isoformat(" ", "seconds")


def _slot_end(begin: int, timeframe: Timeframe) -> Timestamp:
    if timeframe is Timeframe.M1:
        return Timestamp.from_unix(begin - begin % 60 + 60)
    return timeframe.after(timeframe.floor(Timestamp.from_unix(begin)))


def _ends_at(page: CandlePage, begin: int | None) -> bool:
    return bool(page) and page.begins[-1] == begin


def _quarantined(answer: ParsedPage, series: Series, period: Period, seen_at: Timestamp) -> list[QuarantinedRow]:
    """One row a slot, of those slots that have no good row either."""
    if not answer.rejected:
        return []
    good = set(answer.candles.begins)
    rows = {row.begin: row for row in answer.rejected if row.begin not in good}
    return [
        QuarantinedRow(series, slot, row.raw, row.reason, seen_at)
        for begin, row in sorted(rows.items())
        if (slot := Timestamp.from_unix(begin)) in period
    ]
