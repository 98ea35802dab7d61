"""When an engine trades, for people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from app.core.calendar import TradingDay
from app.core.errors import InputError
from app.core.market_data import IClock
from app.core.markets import WELL_KNOWN
from app.core.storage import IStorage, read_calendar
from app.use_cases.list_boards import list_boards

MAX_DAYS = 400
_TWO_WEEKS = timedelta(days=13)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class EngineDays:
    """Consecutive days of one engine, at least one."""

    engine: str
    days: Sequence[TradingDay]


async def get_calendar(
    storage: IStorage, clock: IClock, market: str, *, first: date | None = None, last: date | None = None
) -> EngineDays:
    """Return the days `[first, last]`, both included, of a market or an engine: by default this week and the next.

    One end alone means two weeks. Raises InputError for an unknown market, a period that ends before it begins, and
    one of more than `MAX_DAYS`.
    """
    engine = await find_engine(storage, market)
    begin, end = _period((await clock.now()).moscow.date(), first, last)
    async with storage.read() as uow:
        calendar = await read_calendar(uow, engine, begin, end)
    return EngineDays(engine, [calendar.on(begin + n * _DAY) for n in range((end - begin).days + 1)])


async def find_engine(storage: IStorage, market: str) -> str:
    """Return the engine by its own name or that of one of its markets; InputError names those that are known."""
    engines = await _engines(storage)
    name = market.strip().lower()
    if name not in engines:
        raise InputError("market", f"there is no market {market[:60]!r}: choose one of {', '.join(engines)}")
    return engines[name]


async def _engines(storage: IStorage) -> Mapping[str, str]:
    """Map the names of engines and markets to engines; where two share a name, the better known one has it."""
    boards = [*WELL_KNOWN.values(), *await list_boards(storage)]
    engines = {board.engine: board.engine for board in boards}
    for board in boards:
        engines.setdefault(board.market, board.engine)
    return engines


def _period(today: date, first: date | None, last: date | None) -> tuple[date, date]:
    begin = first or (last - _TWO_WEEKS if last else today - today.weekday() * _DAY)
    end = last or begin + _TWO_WEEKS
    if end < begin:
        raise InputError("till", f"the period ends ({end}) before it begins ({begin})")
    if (end - begin).days >= MAX_DAYS:
        raise InputError("till", f"{(end - begin).days + 1} days are too many at once: ask for {MAX_DAYS} at most")
    return begin, end
