"""Write what will be asked for next before anybody asks."""

from contextlib import suppress
from datetime import UTC

from app.answers.cutting import cut_rows
from app.answers.kept import Kept
from app.answers.rows import Cut
from app.answers.walk import Walk
from app.answers.writing import Form, Writing
from app.bootstrap import Service
from app.core.date_time import Timestamp
from app.core.entities import Series
from app.core.errors import SeriesChangedError, SeriesNotFoundError
from app.use_cases.look_at_candles import look_at_candles

_ROWS = 1000
"""Candles of an answer when nobody says how many."""
_USUAL = Writing(Form.OBJECTS, UTC, is_descending=False)


async def prepare_answers(service: Service) -> int:
    """Give the cache the newest candles of each followed series, as an answer writes them unless told otherwise.

    They are the blocks that an answer with the newest thousand is cut from, and with them every window of those. What
    the cache has already is not read again. Returns for how many series it was done: for none without a cache, and a
    series that is being loaded right now is left out.
    """
    kept = Kept.within(0, 0, service.cache)
    now = await service.clock.now()
    async with service.storage.read() as uow:
        followed = [state.series async for state in uow.series.filter_followed()]
    done = 0
    for series in followed:
        if kept.shared.is_there:
            with suppress(SeriesChangedError, SeriesNotFoundError):
                done += await _prepare(service, kept, series, now)
    return done


async def _prepare(service: Service, kept: Kept, series: Series, now: Timestamp) -> bool:
    look = await look_at_candles(service.storage, series, None, now, is_open=True)
    cut = Cut(look.coverage.period, _ROWS, newest_first=True, writing=_USUAL, goes_on=False)
    walk = Walk(service.storage, kept, look, cut)
    if not look.is_plain or not walk.is_worth_it:
        return False
    await cut_rows(walk, cut)
    return True
