"""Say what is covered, what is missing, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Security, Series, SeriesState, Timeframe
from app.core.errors import SecurityNotFoundError, SeriesNotFoundError
from app.core.market_data import IClock
from app.core.repository import IStorage, IUnitOfWork
from app.core.spans import Period
from app.use_cases.get_candles import Gap, coverage_gaps


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

    Series that nobody follows are told of as long as something of them is covered. Raises SecurityNotFoundError for
    a security the store does not hold, SeriesNotFoundError when the one timeframe asked for is not followed.
    """
    now = await clock.now()
    async with storage.read() as uow:
        end = min(now, (await uow.securities.get(security)).end or now)
        states = {state.series.timeframe: state async for state in uow.series.filter_by_security(security)}
        found = [
            await _coverage(uow, state, end)
            for each in Timeframe
            if (state := states.get(each)) is not None and timeframe in {None, each}
        ]
    coverages = [coverage for coverage in found if coverage.spans or coverage.followed_from is not None]
    if not coverages:
        raise _unknown(security, timeframe)
    return coverages


async def _coverage(uow: IUnitOfWork, state: SeriesState, now: Timestamp) -> SeriesCoverage:
    spans = [span async for span in uow.spans.filter_by_series(state.series)]
    window = _window(state, spans, now)
    missing = await coverage_gaps(uow, state, window) if window else []
    return SeriesCoverage(
        state.series, state.followed_from, state.watermark, state.version, state.history_version, spans, missing
    )


def _window(state: SeriesState, spans: Sequence[CandleSpan], now: Timestamp) -> Period | None:
    if state.followed_from is not None:
        return Period(state.followed_from, state.series.timeframe.ceil(now))
    return Period(spans[0].time_from, spans[-1].time_till) if spans else None


def _unknown(security: Security, timeframe: Timeframe | None) -> SeriesNotFoundError | SecurityNotFoundError:
    if timeframe is None:
        return SecurityNotFoundError(f"{security} is not followed: add it with create-security first")
    return SeriesNotFoundError(f"{security} is not followed in {timeframe}: add it with create-security first")
