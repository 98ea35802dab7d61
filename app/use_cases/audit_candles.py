"""Compare the exchange with itself: its longer bars with what its minutes add up to."""

import json
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from math import isclose

from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, QuarantinedRow, Security, Series, SeriesState, Timeframe
from app.core.errors import InputError
from app.core.market_data import IClock
from app.core.pages import CandlePage
from app.core.spans import Period, merge
from app.core.storage import IStorage, IUnitOfWork
from app.use_cases.roll_up_candles import key_pages, rolled_pages, whole_bars
from app.use_cases.verify import Violation

AUDITED = (Timeframe.M10, Timeframe.H1, Timeframe.D1)

FEW = 1_000
"""More differing bars of a series than that are no slips, but something we do not know: they are only reported."""

_MINUTES_BEGIN = Timestamp.midnight(date(2011, 12, 15))  # of no security does the exchange have earlier ones
_VALUE_TOLERANCE = 1e-9  # a sum of doubles depends on the order in which the exchange added
_COLUMNS = ("open", "high", "low", "close", "volume", "value")
_PAGE_BARS = 5_000

_Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Difference:
    """A longer bar and what its minutes add up to, one of them None where there is none."""

    begin: Timestamp
    stored: _Numbers | None
    rolled: _Numbers | None

    @property
    def names(self) -> str:
        if self.stored is None or self.rolled is None:
            return "the bar"
        pairs = zip(_COLUMNS, self.stored, self.rolled, strict=True)
        return ", ".join(name for name, stored, rolled in pairs if not _agree(name, stored, rolled))

    def __str__(self) -> str:
        return f"{self.names}: {_written(self.stored)}, its minutes say {_written(self.rolled)}"


@dataclass(slots=True)
class _Audit:
    """What was found of one longer series: the first differences, and how many there are."""

    series: Series
    differences: list[_Difference] = field(default_factory=list)
    times: int = 0

    def add(self, difference: _Difference) -> None:
        self.times += 1
        if self.times <= FEW:
            self.differences.append(difference)

    @property
    def is_few(self) -> bool:
        return self.times <= FEW

    @property
    def violation(self) -> Violation:
        what = f"a bar is not what its minutes add up to ({self.differences[0]})"
        if not self.is_few:
            what += "; so many are reported only, not quarantined"
        return Violation("audit", self.series, what, self.differences[0].begin, self.times)


async def audit_candles(
    storage: IStorage,
    clock: IClock,
    *,
    securities: Collection[Security] = (),
    timeframes: Collection[Timeframe] = (),
    since: Timestamp = _MINUTES_BEGIN,
) -> list[Violation]:
    """Roll the minutes of each followed security up to its M10, H1 and D1, and name every series that differs.

    Bars that begin at `since` or later are compared where both sides are covered: prices and volumes exactly, values to
    1e-9. A bar that differs goes to quarantine; it and its minutes are not covered any more, so that both are asked
    again. Flat memory: read by pages of the key. Raises InputError for timeframes none of which can be audited.
    """
    wanted = [timeframe for timeframe in AUDITED if not timeframes or timeframe in timeframes]
    if not wanted:
        raise InputError("timeframe", f"minutes are compared with {', '.join(AUDITED)}: name one of them")
    violations = []
    for followed in await _audited(storage, securities, wanted):
        async with storage.read() as uow:
            states = {series.timeframe: await uow.series.get(series) for series in followed}
            longer = [states[each] for each in wanted if each in states]
            audits = [await _compare(uow, states[Timeframe.M1], each, since) for each in longer]
        found = [audit for audit in audits if audit.times]
        if few := [audit for audit in found if audit.is_few]:
            await _quarantine(storage, await clock.now(), states, few)
        violations += [audit.violation for audit in found]
    return violations


async def _audited(
    storage: IStorage, securities: Collection[Security], timeframes: Collection[Timeframe]
) -> list[list[Series]]:
    """Return the followed series of each security that has minutes and something to compare them with."""
    found: dict[Security, list[Series]] = {}
    async with storage.read() as uow:
        async for state in uow.series.filter_followed():
            series = state.series
            if series.timeframe in {Timeframe.M1, *timeframes} and series.security in (securities or {series.security}):
                found.setdefault(series.security, []).append(series)
    return [
        every for security, every in sorted(found.items()) if len(every) > 1 and Series(security, Timeframe.M1) in every
    ]


async def _compare(uow: IUnitOfWork, minutes: SeriesState, longer: SeriesState, since: Timestamp) -> _Audit:
    audit = _Audit(longer.series)
    for window in await _covered_by_both(uow, minutes, longer, since):
        async for part, stored in _parts(uow, longer.series, window):
            pages = [page async for page in rolled_pages(uow, longer.series, part)]
            for difference in _differences(stored, CandlePage.join(longer.series, pages)):
                audit.add(difference)
    return audit


async def _covered_by_both(
    uow: IUnitOfWork, minutes: SeriesState, longer: SeriesState, since: Timestamp
) -> list[Period]:
    timeframe = longer.series.timeframe
    ours, theirs = [
        whole_bars([span async for span in uow.spans.filter_by_series(state.series)], timeframe)
        for state in (minutes, longer)
    ]
    begins = (state.followed_from or _MINUTES_BEGIN for state in (minutes, longer))
    begin = timeframe.ceil(max(_MINUTES_BEGIN, since, *begins))
    both = (left & right for left in ours for right in theirs)
    return [part for period in both if (part := Period(max(begin, period.time_from), period.time_till))]


async def _parts(uow: IUnitOfWork, series: Series, window: Period) -> AsyncIterator[tuple[Period, CandlePage]]:
    """Cut a window behind each page of its bars."""
    begin = window.time_from
    async for page in key_pages(uow, series, window, page_rows=_PAGE_BARS):
        end = series.timeframe.after(page[-1].timestamp)
        yield Period(begin, end), page
        begin = end
    if rest := Period(begin, window.time_till):
        yield rest, CandlePage.from_rows(series, ())


def _differences(stored: CandlePage, rolled: CandlePage) -> Iterator[_Difference]:
    if (stored.begins, stored.prices) == (rolled.begins, rolled.prices):
        return
    left, right = ({row[0]: row[1:7] for row in page.rows} for page in (stored, rolled))
    for begin in sorted(left.keys() | right.keys()):
        difference = _Difference(Timestamp.from_unix(begin), left.get(begin), right.get(begin))
        if difference.names:
            yield difference


def _agree(name: str, stored: float, rolled: float) -> bool:
    return isclose(stored, rolled, rel_tol=_VALUE_TOLERANCE) if name == "value" else stored == rolled


def _written(numbers: _Numbers | None) -> str:
    return "none" if numbers is None else json.dumps(numbers)


async def _quarantine(
    storage: IStorage, now: Timestamp, seen: Mapping[Timeframe, SeriesState], audits: Sequence[_Audit]
) -> None:
    """Take the coverage of differing bars and of their minutes away, unless covered candles changed since the look."""
    touched = [seen[Timeframe.M1], *(seen[audit.series.timeframe] for audit in audits)]
    async with storage.begin() as uow:
        states = [await uow.series.lock(state.series) for state in sorted(touched, key=lambda state: state.series)]
        versions = {state.series: state.history_version for state in touched}
        if any(state.followed_from is None or state.history_version != versions[state.series] for state in states):
            return
        minutes = merge(slot for audit in audits for slot in _slots(audit))
        await _uncover(uow, touched[0].series, minutes)
        for audit in audits:
            await _uncover(uow, audit.series, merge(_slots(audit)))
            await uow.quarantine.add([_row(audit.series, difference, now) for difference in audit.differences])
        await uow.series.add([_raised(state, now) for state in states])


def _slots(audit: _Audit) -> Iterator[Period]:
    for difference in audit.differences:
        yield Period(difference.begin, audit.series.timeframe.after(difference.begin))


async def _uncover(uow: IUnitOfWork, series: Series, periods: Sequence[Period]) -> None:
    await uow.spans.remove(
        CandleSpan(series.security, series.timeframe, period.time_from, period.time_till) for period in periods
    )


def _row(series: Series, difference: _Difference, now: Timestamp) -> QuarantinedRow:
    raw = json.dumps({"stored": difference.stored, "minutes": difference.rolled})
    reason = f"audit: {difference.names} differs from what the minutes add up to"
    return QuarantinedRow(series, difference.begin, raw, reason, now)


def _raised(state: SeriesState, now: Timestamp) -> SeriesState:
    version = max(state.version + 1, now.microseconds // 1000)
    return replace(state, version=version, history_version=version)
