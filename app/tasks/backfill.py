"""Loads that people asked for, before those that the schedule wants.

Whoever asked has committed the wish before a task is kicked, so that a lost kick loses nothing: every tick
of the schedule finds what is not done.
"""

from collections.abc import Sequence
from contextlib import suppress

from taskiq import AsyncBroker, Context, SendTaskError, TaskiqDepends, async_shared_broker

from app.bootstrap import Service
from app.core.entities import Security, Series, Timeframe
from app.tasks.oddities import log_oddities
from app.use_cases import backfill_series as backfilling
from app.use_cases.list_unfinished import list_unfinished

_URGENT = 10
"""Of one update: more would keep what is current waiting."""
_AT_ONCE = 2
"""So many may run at a time: they may take long, and places for what is current must be left."""
_CONTEXT: Context = TaskiqDepends()
_SERVICE: Service = TaskiqDepends()


async def kick_backfill(broker: AsyncBroker, series: Series, *, urgent: bool) -> None:
    """Have a worker load what was asked for of a series, unless one is at work on it; urgently only the newest of it.

    Its id is that of an update of the series: of the two only one waits or runs.
    """
    kicker = backfill_series.kicker().with_broker(broker).with_labels(urgent=urgent)
    security = series.security
    await kicker.with_task_id(f"update_series {series}").kiq(
        security.board, security.ticker, series.timeframe, only_newest=urgent
    )


async def kick_rest(broker: AsyncBroker, unfinished: Sequence[Series]) -> None:
    """Have the first of them loaded as a whole, when there is room beside what is current."""
    for series in unfinished[:_AT_ONCE]:
        await kick_backfill(broker, series, urgent=False)


async def kick_resume(broker: AsyncBroker, update_id: str) -> None:
    """Have a worker kick the backfills of an update."""
    kicker = resume_updates.kicker().with_broker(broker).with_labels(urgent=True)
    await kicker.with_task_id(f"resume_updates {update_id}").kiq(update_id)


@async_shared_broker.task("backfill_series")
async def backfill_series(
    board: str,
    ticker: str,
    timeframe: Timeframe,
    service: Service = _SERVICE,
    context: Context = _CONTEXT,
    *,
    only_newest: bool = False,
) -> None:
    """Load what was asked for of a series, newest first, or only that. Raises what ended the load, if anything did.

    Who has loaded all of it hands over to the next one, which need not wait for a tick.
    """
    series = Series(Security(ticker, board), timeframe)
    ports = (service.storage, service.loader, service.clock)
    outcome = await backfilling.backfill_series(*ports, series, only_newest=only_newest)
    log_oddities(str(series), outcome)
    for failure in outcome.failures.values():
        raise failure
    if not only_newest:
        with suppress(SendTaskError):  # the broker tells it once; the next tick sees to it
            await kick_rest(context.broker, [each for each in await list_unfinished(service.storage) if each != series])


@async_shared_broker.task("resume_updates")
async def resume_updates(update_id: str, service: Service = _SERVICE, context: Context = _CONTEXT) -> None:
    """Kick the first backfills of an update; the others come with the schedule."""
    for series in (await list_unfinished(service.storage, update_id))[:_URGENT]:
        await kick_backfill(context.broker, series, urgent=True)
