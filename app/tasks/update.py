"""What runs in the background. A task that fails is logged and not tried again: the next tick sees the same gap.

A task's id says what it does, and the brokers refuse one that still waits or runs; so ticks do not pile up.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta

import structlog
from taskiq import AsyncBroker, Context, TaskiqDepends, async_shared_broker

from app.bootstrap import Service
from app.core.corporate_actions import Split
from app.core.entities import Security, Series, Timeframe
from app.core.market_data import LoadOutcome
from app.use_cases import refresh_calendar as calendars
from app.use_cases.list_securities import list_securities
from app.use_cases.record_renames import record_renames
from app.use_cases.record_splits import record_splits
from app.use_cases.refresh_reference import refresh_reference
from app.use_cases.reread_candles import reread_candles
from app.use_cases.update_candles import update_candles as load_what_is_missing

_log = structlog.stdlib.get_logger(__name__)
_A_DAY = timedelta(days=1)
_CONTEXT: Context = TaskiqDepends()
_SERVICE: Service = TaskiqDepends()


async def kick_update(broker: AsyncBroker) -> None:
    """Wake a worker up to bring everything that is followed up to now."""
    await update_candles.kicker().with_broker(broker).with_task_id("update_candles").kiq()


@async_shared_broker.task("update_candles")
async def update_candles(service: Service = _SERVICE, context: Context = _CONTEXT) -> None:
    """Kick one task for each followed series, and those that see whether a look at lists of the exchange is due."""
    await refresh_calendar.kicker().with_broker(context.broker).with_task_id("refresh_calendar").kiq()
    await look_for_splits.kicker().with_broker(context.broker).with_task_id("record_splits").kiq()
    followed = [state.series for security in await list_securities(service.storage) for state in security.series]
    for series in followed:
        await _kick_series(context.broker, series)
    await refresh.kicker().with_broker(context.broker).with_task_id("refresh_reference").kiq()
    _log.info("updating what is followed", series=len(followed))


@async_shared_broker.task("refresh_reference")
async def refresh(service: Service = _SERVICE) -> None:
    """Read the boards of the exchange and the cards of what is followed, once a day."""
    found = await refresh_reference(service.storage, service.adapter, service.directory, service.clock, every=_A_DAY)
    for security, error in found.failures.items():
        _log.warning("the card stays as it was", security=str(security), error=str(error))
    for move in found.moves:
        _log.warning("trades on another board now", **asdict(move))
    _log_skipped(await record_renames(service.storage, service.directory, service.clock), "renames")


@async_shared_broker.task("record_splits")
async def look_for_splits(service: Service = _SERVICE) -> None:
    """Read which shares were split, once an hour; what is stored of such a share is read again by the next updates."""
    found = await record_splits(service.storage, service.directory, service.clock)
    _log_splits(found.splits)
    _log_skipped(found.skipped, "splits")


@async_shared_broker.task("refresh_calendar")
async def refresh_calendar(service: Service = _SERVICE) -> None:
    """Read the days of the engines of what is followed, once a day."""
    found = await calendars.refresh_calendar(service.storage, service.calendar, service.clock, every=_A_DAY)
    for engine, error in found.failures.items():
        _log.warning("the calendar stays as it was", engine=engine, error=str(error))


@async_shared_broker.task("update_series")
async def update_series(board: str, ticker: str, timeframe: Timeframe, service: Service = _SERVICE) -> None:
    """Bring one series up to now; once a night, compare its last days first. Raises what ended a load, if anything did.

    What is missing is loaded whether or not the comparison failed.
    """
    ports = (service.storage, service.loader, service.clock)
    securities, timeframes = [Security(ticker, board)], [timeframe]
    again = await reread_candles(*ports, securities=securities, timeframes=timeframes)
    outcome = await load_what_is_missing(*ports, securities=securities, timeframes=timeframes)
    for each in (again, outcome):
        _log_oddities(f"{board}:{ticker} {timeframe}", each)
    for failure in (*outcome.failures.values(), *again.failures.values()):
        raise failure


def _log_oddities(series: str, outcome: LoadOutcome) -> None:
    """Tell what the exchange changed, spoiled or said twice; that new candles came is no news."""
    found = {
        "revised": outcome.revised,
        "withdrawn": outcome.withdrawn,
        "quarantined": outcome.quarantined,
        "conflicts": outcome.conflicts,
    }
    if counts := {name: sum(of_series.values()) for name, of_series in found.items() if of_series}:
        _log.warning("the exchange contradicted itself", series=series, **counts)
    _log_splits(outcome.splits)


def _log_splits(splits: Sequence[Split]) -> None:
    for split in splits:
        _log.warning("a share was split", security=str(split.security), day=str(split.day), factor=split.factor)


def _log_skipped(rows: Sequence[str], of: str) -> None:
    if rows:
        _log.info("rows of a list make no sense", list=of, count=len(rows), first=rows[0])


async def _kick_series(broker: AsyncBroker, series: Series) -> None:
    kicker = update_series.kicker().with_broker(broker).with_task_id(f"update_series {series}")
    await kicker.kiq(series.security.board, series.security.ticker, series.timeframe)
