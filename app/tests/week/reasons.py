"""Why a request was made: what had become final or was owed then, as far as the simulator can tell."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from urllib.parse import parse_qs

from app.core.date_time import Timestamp
from app.core.entities import Security, Series, Timeframe
from app.simulator.control import LoggedRequest
from app.simulator.slots import BY_INTERVAL
from app.tests.week.ideal import engine_of, has_night, is_due
from app.tests.week.script import hours

FINAL, NIGHT, OWED, OPENING, OPEN = "final", "night", "owed", "opening", "session"
"""Something became final; the nightly comparison; what was missed before; nothing of that, but in the half hour before
a session, or in one."""

STRANGE = "strange"
"""None of these: there is to be no such request."""

CHORES: Mapping[str, str] = {
    "calendar": r"/iss/(calendars/\w+|engines/\w+)\.json",
    "splits": r"/iss/statistics/engines/stock/splits\.json",
    "reference": r"/iss/(index|securities/\w+|engines/.*/boards/\w+/securities/\w+|history/.*/changeover)\.json",
}
"""What is asked beside candles, by its path."""

_EARLY = timedelta(minutes=30)
_NIGHT_BEGINS = timedelta(hours=4)
_OF_SECURITY = re.compile(r"/boards/(\w+)/securities/(\w+)/(candles|candleborders)\.json$")
_WELL = 200


def sorted_by_reason(
    requests: Sequence[LoggedRequest], followed: Iterable[Series], steps: Sequence[Timestamp]
) -> Mapping[str, Sequence[LoggedRequest]]:
    """Sort the requests of a walk by their reasons; chores by their names."""
    why = {series: _reasons(series, requests, steps) for series in followed}
    found: dict[str, list[LoggedRequest]] = defaultdict(list)
    for request in requests:
        concerned = [series for series in why if _concerns(request, series)]
        reasons = [why[series][request.simulated] for series in concerned]
        found[next((each for each in reasons if each != STRANGE), _chore(request))].append(request)
    return found


def most_repeated(requests: Iterable[LoggedRequest], *, hourly: bool = False) -> int:
    """Return how often, at most, the same question was answered in one night and the day behind it, or in one hour."""
    times: Counter[tuple[str, str, Timestamp]] = Counter()
    for request in requests:
        time = (
            Timeframe.H1.floor(request.simulated) if hourly else Timeframe.D1.floor(request.simulated - _NIGHT_BEGINS)
        )
        times[request.path, request.query, time] += request.status == _WELL
    return max(times.values(), default=0)


def _concerns(request: LoggedRequest, series: Series) -> bool:
    """Tell whether a request is for a series; borders are asked for the sake of all of a security."""
    if (match := _OF_SECURITY.search(request.path)) is None:
        return False
    board, ticker, what = match.groups()
    if series.security != Security(ticker, board):
        return False
    return what == "candleborders" or BY_INTERVAL[int(parse_qs(request.query)["interval"][0])] is series.timeframe


def _chore(request: LoggedRequest) -> str:
    return next((name for name, path in CHORES.items() if re.fullmatch(path, request.path)), STRANGE)


def _reasons(series: Series, requests: Iterable[LoggedRequest], steps: Sequence[Timestamp]) -> Mapping[Timestamp, str]:
    """Say why a series may be asked for at each step. What is owed is so until it was answered, as all is at first."""
    answered = {each.simulated for each in requests if each.status == _WELL and _concerns(each, series)}
    reasons, is_owed = {steps[0]: OWED}, steps[0] not in answered
    for before, now in pairwise(steps):
        due = _due(series, before, now)
        reasons[now] = due or (OWED if is_owed else _idle(series, now))
        is_owed = (is_owed or due is not None) and now not in answered
    return reasons


def _due(series: Series, before: Timestamp, now: Timestamp) -> str | None:
    if is_due(series, before, now):
        return FINAL
    return NIGHT if has_night(before, now) else None


def _idle(series: Series, now: Timestamp) -> str:
    """Say what might be asked for although nothing has become final."""
    period = hours(engine_of(series), now.moscow.date())
    if period is None or not period.time_from - _EARLY <= now < period.time_till:
        return STRANGE
    return OPEN if now in period else OPENING
