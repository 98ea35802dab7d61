"""What of an answer could be loaded and is not, and what is said of it meanwhile."""

from collections.abc import Sequence
from dataclasses import replace

from app.core.date_time import Timestamp
from app.core.spans import Period, subtract
from app.use_cases.explain_gaps import Gap, GapReason
from app.use_cases.look_at_candles import Look

_NEVER_LOADED = {GapReason.CLOSED, GapReason.BEFORE_LISTING}


def missing_of(look: Look, window: Period) -> Period | None:
    """Return from where to where something in a window was not loaded; None if nothing that could be is missing.

    Closed time on both sides belongs to it: it is covered with what is loaded. Of a series that nobody follows any more
    nothing is in progress, whatever it seemed when it was loaded last.
    """
    gaps = [gap for gap in look.coverage.gaps if gap.period & window]
    loadable = [position for position, gap in enumerate(gaps) if _is_loadable(gap, look)]
    if not loadable:
        return None
    first, last = loadable[0], loadable[-1]
    while first > 0 and _adjoins_closed(gaps[first - 1], gaps[first].period.time_from):
        first -= 1
    while last + 1 < len(gaps) and _adjoins_closed(gaps[last + 1], gaps[last].period.time_till):
        last += 1
    return Period(gaps[first].period.time_from, gaps[last].period.time_till) & window


def _adjoins_closed(gap: Gap, moment: Timestamp) -> bool:
    return gap.reason is GapReason.CLOSED and moment in {gap.period.time_from, gap.period.time_till}


def _is_loadable(gap: Gap, look: Look) -> bool:
    if gap.is_empty:
        return False
    is_followed = look.view.state.followed_from is not None
    return gap.reason is GapReason.NOT_LOADED if is_followed else gap.reason not in _NEVER_LOADED


def told_in_progress(gaps: Sequence[Gap], period: Period) -> list[Gap]:
    """Say of what was not loaded in a period that it is in progress."""
    return [part for gap in gaps for part in _told(gap, period)]


def _told(gap: Gap, period: Period) -> list[Gap]:
    inside = gap.period & period
    if gap.reason is not GapReason.NOT_LOADED or not inside:
        return [gap]
    rest = [replace(gap, period=part) for part in subtract([gap.period], [inside])]
    return sorted([*rest, Gap(inside, GapReason.IN_PROGRESS)], key=lambda each: each.period)
