"""What is stored against what the exchange told."""

from dataclasses import replace
from datetime import timedelta

from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.entities import Series
from app.core.pages import CandlePage
from app.core.spans import Period
from app.simulator.server import Simulator
from app.use_cases.create_security import create_security


async def follow(service: Service, *followed: Series, since: Timestamp) -> None:
    for series in followed:
        await create_security(service.storage, service.adapter, series.security, since={series.timeframe: since})


async def ask(service: Service, *followed: Series) -> None:
    """Leave the trace of somebody who looks at these candles, so that bars that form are kept current, too."""
    for series in followed:
        async with service.storage.begin() as uow:
            state = await uow.series.lock(series)
            await uow.series.add([replace(state, asked_at=await service.clock.now())])


async def is_current(service: Service, simulator: Simulator, *followed: Series) -> bool:
    """Say whether the store equals the tape, forming bars included, and one span covers what is final."""
    return all([await _is_current(service, simulator, series) for series in followed])


async def _is_current(service: Service, simulator: Simulator, series: Series) -> bool:
    async with service.storage.read() as uow:
        state = await uow.series.get(series)
        stored = await uow.candles.filter_by_series(series).page(series)
        spans = [Period(span.time_from, span.time_till) async for span in uow.spans.filter_by_series(series)]
    assert state.followed_from is not None
    truth = simulator.truth(series, Period(state.followed_from, simulator.clock.now()))
    if truth and series.timeframe.after(truth[-1].timestamp) > simulator.clock.now() - timedelta(days=1):
        truth = CandlePage.join(
            series, [truth[:-1], truth[-1:].final_before(truth[-1].timestamp)]
        )  # not yet shown whole
    if stored != truth:
        return False
    final = truth[: sum(truth.finals)]
    return spans == [Period(state.followed_from, series.timeframe.after(final[-1].timestamp))]
