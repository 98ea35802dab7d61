"""Say what is covered, what is missing, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.core.date_time import Timestamp
from app.core.entities import SOURCED, CandleSpan, Security, Series, SeriesState, Timeframe
from app.core.errors import SecurityNotFoundError, SeriesNotFoundError
from app.core.market_data import IClock
from app.core.spans import Period
from app.core.storage import IStorage, IUnitOfWork
from app.use_cases.explain_gaps import Gap, coverage_gaps, widened
from app.use_cases.roll_up_candles import whole_bars


@dataclass(frozen=True, slots=True)
class SeriesCoverage:
    """The covered periods of a series and the gaps between them, both oldest first.

    Gaps are told from `followed_from` to now, or to the last day that can have candles; of a series that nobody
    follows any more between its spans. Spans may begin before `followed_from`.
    `version` and `history_version` are the series' counters (I16).
    """

    series: Series
    followed_from: Timestamp | None
    watermark: Timestamp | None
    version: int
    history_version: int
    spans: Sequence[CandleSpan]
    gaps: Sequence[Gap]


async def get_spans(
    storage: IStorage, clock: IClock, security: Security, *, timeframe: Timeframe | None = None
) -> list[SeriesCoverage]:
    """Return the coverage of every series of a security, shortest timeframe first, from one snapshot.

    Series that nobody follows are told of as long as something of them is covered; derived ones only when asked for,
    with the coverage and the counters of the minutes they are made of. Raises SecurityNotFoundError for
    a security the store does not hold, SeriesNotFoundError when the one timeframe asked for is not followed.
    """
    now = await clock.now()
    async with storage.read() as uow:
        end = min(now, (await uow.securities.get(security)).end or now)
        states = {state.series.timeframe: state async for state in uow.series.filter_by_security(security)}
        found = [
            await _coverage(uow, state, each, end)
            for each in (SOURCED if timeframe is None else (timeframe,))
            if (state := states.get(each.base)) is not None
        ]
    coverages = [coverage for coverage in found if coverage.spans or coverage.followed_from is not None]
    if not coverages:
        raise _unknown(security, timeframe)
    return coverages


async def _coverage(uow: IUnitOfWork, state: SeriesState, timeframe: Timeframe, now: Timestamp) -> SeriesCoverage:
    """Tell of the series itself, or of one whose bars are made of it: of whole bars."""
    stored = [span async for span in uow.spans.filter_by_series(state.series)]
    security = state.series.security
    spans = [CandleSpan(security, timeframe, p.time_from, p.time_till) for p in whole_bars(stored, timeframe)]
    followed_from = None if state.followed_from is None else timeframe.ceil(state.followed_from)
    watermark = None if state.watermark is None else timeframe.floor(state.watermark)
    window = _window(followed_from, spans, timeframe.ceil(now))
    missing = widened(await coverage_gaps(uow, state, window), timeframe) if window else []
    return SeriesCoverage(
        Series(security, timeframe), followed_from, watermark, state.version, state.history_version, spans, missing
    )


def _window(followed_from: Timestamp | None, spans: Sequence[CandleSpan], now: Timestamp) -> Period | None:
    if followed_from is not None:
        return Period(followed_from, now)
    return Period(spans[0].time_from, spans[-1].time_till) if spans else None


def _unknown(security: Security, timeframe: Timeframe | None) -> SeriesNotFoundError | SecurityNotFoundError:
    if timeframe is None:
        return SecurityNotFoundError(f"{security} is not followed: add it with create-security first")
    return SeriesNotFoundError(f"{security} is not followed in {timeframe}: add it with create-security first")
