"""Answer candles in as few questions as can be: one look, one more for gaps, and one read of what is not at hand.

Each is a snapshot of its own. What a look says and what is read later belong together as long as the series did not
change between them: of a covered period its `history_version`, of any other its `version` (I16). A read says so.
"""

from dataclasses import dataclass

from app.core.date_time import Timestamp
from app.core.entities import Series
from app.core.errors import SeriesChangedError, SeriesNotFoundError
from app.core.pages import CandlePage
from app.core.resampling import roll_up
from app.core.spans import Period, gaps
from app.core.storage import IStorage, SeriesView
from app.use_cases.explain_gaps import explained, widened
from app.use_cases.get_candles import Coverage, aligned, unknown

_ALL = 2**31 - 1
_BEGINNING = Timestamp.from_unix(0)


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of a period of a series before its candles are read. `view` is that of its base."""

    series: Series
    view: SeriesView
    coverage: Coverage

    @property
    def is_plain(self) -> bool:
        """Tell whether what is stored is shown as it is: no bars are made of it, and none is read again for a split."""
        return not self.series.timeframe.is_derived and self.view.state.stale_before is None

    @property
    def covering(self) -> Period:
        """The span that holds all of the period, which is covered and not empty."""
        return next(span for span in self.view.covered if span.time_till >= self.coverage.period.time_till)


async def look_at_candles(
    storage: IStorage, series: Series, time_from: Timestamp | None, time_till: Timestamp, *, is_open: bool
) -> Look:
    """Say what `get_candles` would of the completeness of `[time_from, time_till)`.

    Without `time_from` it begins where what is stored or followed begins, if that is before its end. With `is_open`
    the end is no wish but a default, which gives way to a later beginning. Raises what `get_candles` does.
    """
    timeframe = series.timeframe
    if is_open and time_from is not None:
        time_till = max(time_from, time_till)
    asked = aligned(timeframe, time_from or min(_BEGINNING, time_till), time_till)
    view = await _view(storage, series, asked)
    if time_from is None:
        begins = [moment for moment in (view.state.followed_from, view.begin) if moment is not None]
        first = min(begins)
        asked = aligned(timeframe, *((first, max(first, time_till)) if is_open else (min(first, time_till), time_till)))
    return Look(series, view, await _coverage(storage, series, view, asked))


async def read_covered(
    storage: IStorage, look: Look, window: Period, *, limit: int = _ALL, newest_first: bool = False
) -> CandlePage:
    """Return the candles that begin in a window of what was covered; SeriesChangedError if they are not those.

    Of a derived series the window holds whole bars, and no limit is given.
    """
    base = look.view.state.series
    view, page = await storage.view_candles(base, window, window, limit=limit, newest_first=newest_first)
    if view.state.history_version != look.view.state.history_version or not view.is_covered(window):
        raise SeriesChangedError(f"{base} was changed between two reads")
    return roll_up(page, look.series.timeframe, view.covered) if look.series.timeframe.is_derived else page


async def read_shown(storage: IStorage, look: Look, window: Period, *, limit: int, newest_first: bool) -> CandlePage:
    """Return what there is of a window, covered or not, where `is_plain`; SeriesChangedError if the series changed."""
    period = look.coverage.period
    view, page = await storage.view_candles(look.series, period, window, limit=limit, newest_first=newest_first)
    if view.state != look.view.state:
        raise SeriesChangedError(f"{look.series} was changed between two reads")
    return page


async def read_at_once(
    storage: IStorage, series: Series, period: Period, window: Period, *, limit: int, newest_first: bool
) -> tuple[Look, CandlePage] | None:
    """Look at an aligned period and read the candles of a window in it at the same time.

    For series that are stored as they are; None for one that is read again since a split. Raises SeriesNotFoundError
    as `look_at_candles` does.
    """
    try:
        view, page = await storage.view_candles(series, period, window, limit=limit, newest_first=newest_first)
    except SeriesNotFoundError as error:
        raise unknown(series) from error
    look = Look(series, view, await _coverage(storage, series, _known(series, view), period))
    return (look, page) if look.coverage.is_covered or look.is_plain else None


async def _coverage(storage: IStorage, series: Series, view: SeriesView, period: Period) -> Coverage:
    if view.is_covered(period):
        return Coverage(period, [], view.state.history_version)
    missing = gaps(view.covered, period)
    found = explained(view.state, missing, await storage.circumstances(view.state.series, missing))
    found = widened(found, series.timeframe) if series.timeframe.is_derived else found
    return Coverage(period, found, view.state.version)


async def _view(storage: IStorage, series: Series, period: Period) -> SeriesView:
    try:
        return _known(series, await storage.view(Series(series.security, series.timeframe.base), period))
    except SeriesNotFoundError as error:
        raise unknown(series) from error


def _known(series: Series, view: SeriesView) -> SeriesView:
    if view.state.followed_from is None and view.begin is None:
        raise unknown(series)
    return view
