"""Begin to follow many securities: first the plan, then the deed."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil

from app.core.date_time import Timestamp
from app.core.entities import Security, Timeframe
from app.core.errors import InputError, NotFoundError, SourceError
from app.core.market_data import IClock, IMarketDataAdapter
from app.core.markets import IDirectory
from app.core.storage import IStorage
from app.use_cases.create_security import FollowedSecurity, Since, create_security
from app.use_cases.list_boards import get_board

_TO_FOLLOW = 3  # requests: its card, its lot, where its candles begin
_A_WINDOW = 2  # requests that carry no new rows: silence is believed when it is repeated
_PAGE_ROWS = 499  # new ones on a full page
_WINDOW = 5_000  # bars that are read in one go
_ROWS_A_DAY = {  # of the calendar, with mornings, evenings and weekends
    Timeframe.M1: 880,
    Timeframe.M10: 92,
    Timeframe.H1: 16,
    Timeframe.D1: 1,
    Timeframe.W1: 1 / 7,
    Timeframe.MN1: 1 / 28,
    Timeframe.Q1: 1 / 90,
}
_FIRST_INTRADAY, _FIRST_DAY = (Timestamp.midnight(date(*day)) for day in ((2011, 11, 17), (1997, 9, 22)))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A security to follow, or a bare ticker that means its primary board; `line` says where that was written."""

    security: Security | str
    since: Mapping[Timeframe, Since]
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What it will take at most: to follow, and then to load. `duration` is what the request budget makes of it."""

    securities: int
    series: int
    requests: int
    rows: int
    duration: timedelta | None


@dataclass(frozen=True, slots=True)
class Created:
    """How one of them ended: followed, or why not."""

    wanted: Wanted
    followed: FollowedSecurity | None
    error: Exception | None = None


async def want_board(
    storage: IStorage, directory: IDirectory, clock: IClock, code: str, *, since: Mapping[Timeframe, Since]
) -> list[Wanted]:
    """Want everything a board lists now. Raises BoardNotFoundError, and NotFoundError where nothing is listed."""
    board = await get_board(storage, directory, clock, code)
    listed = await directory.listed(board)
    if not listed:
        raise NotFoundError(f"the exchange lists nothing on board {code} now")
    return [Wanted(card.security, since) for card in sorted(listed, key=lambda card: card.security)]


def plan_creation(wanted: Sequence[Wanted], *, now: Timestamp, rate: float | None) -> Plan:
    """Estimate without asking anybody, as if everything traded all the time; `rate`: requests a second, None: any."""
    series = [(timeframe, since) for each in wanted for timeframe, since in each.since.items()]
    loads = [_load(timeframe, since, now) for timeframe, since in series]
    requests = _TO_FOLLOW * len(wanted) + sum(requests for requests, _ in loads)
    duration = None if rate is None else timedelta(seconds=requests / rate)
    return Plan(len(wanted), len(series), requests, sum(rows for _, rows in loads), duration)


async def create_securities(
    storage: IStorage, adapter: IMarketDataAdapter, wanted: Sequence[Wanted]
) -> AsyncIterator[Created]:
    """Follow them one after another and tell of each; one that cannot be followed stops nobody else."""
    for each in wanted:
        try:
            followed = await create_security(storage, adapter, each.security, since=each.since)
        except (InputError, NotFoundError, SourceError) as error:
            yield Created(each, None, error)
        else:
            yield Created(each, followed)


def _load(timeframe: Timeframe, since: Since, now: Timestamp) -> tuple[int, int]:
    """Return the requests and rows of one series."""
    first = _FIRST_DAY if timeframe.step is None else _FIRST_INTRADAY
    period = max(now - (first if since == "all" else max(since, first)), timedelta())
    rows = ceil(period / timedelta(days=1) * _ROWS_A_DAY[timeframe])
    windows = 1 if timeframe.step is None else max(ceil(rows / _WINDOW), 1)
    return windows * _A_WINDOW + ceil(rows / _PAGE_ROWS), rows
