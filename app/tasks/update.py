"""What runs in the background. A task that fails is logged and not tried again: the next tick sees the same gap.

A task's id says what it does, and the brokers refuse one that still waits or runs; so ticks do not pile up.
"""

from taskiq import AsyncBroker, TaskiqDepends, async_shared_broker

from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.entities import Security, Series, Timeframe
from app.tasks.oddities import log_oddities
from app.use_cases.find_due import is_done
from app.use_cases.reread_candles import reread_candles
from app.use_cases.update_candles import update_candles

_SERVICE: Service = TaskiqDepends()


async def kick_series(broker: AsyncBroker, series: Series, due_at: Timestamp) -> None:
    """Wake a worker up to bring a series up to now, for a moment for which it is due."""
    kicker = update_series.kicker().with_broker(broker).with_task_id(f"update_series {series}")
    await kicker.kiq(series.security.board, series.security.ticker, series.timeframe, due_at=due_at.microseconds)


@async_shared_broker.task("update_series")
async def update_series(
    board: str, ticker: str, timeframe: Timeframe, service: Service = _SERVICE, *, due_at: int | None = None
) -> None:
    """Bring one series up to now; once a night, compare its last days first. Raises what ended a load, if anything did.

    Nothing is done for a moment (unix microseconds) for which it was done already. What is missing is loaded whether or
    not the comparison failed.
    """
    ports = (service.storage, service.loader, service.clock)
    series = Series(Security(ticker, board), timeframe)
    aim = None if due_at is None else Timestamp.from_microseconds(due_at)
    if aim is not None and await is_done(service.storage, series, aim):
        return
    securities, timeframes = [series.security], [timeframe]
    again = await reread_candles(*ports, securities=securities, timeframes=timeframes)
    outcome = await update_candles(
        *ports, securities=securities, timeframes=timeframes, due_at=aim, failed=again.failures
    )
    for each in (again, outcome):
        log_oddities(f"{board}:{ticker} {timeframe}", each)
    for failure in (*outcome.failures.values(), *again.failures.values()):
        raise failure
