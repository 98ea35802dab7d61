"""Ask the exchange for a security that somebody wants to read, and remember for an hour what it does not know."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from app.core.date_time import Timestamp
from app.core.entities import SecurityCard, Series
from app.core.errors import LookupLimitError, SecurityNotFoundError, SeriesNotFoundError, SourceUnavailableError
from app.core.market_data import IMarketDataAdapter
from app.core.storage import IStorage, IUnitOfWork, Look

_PREFIX = "unknown:"
_REMEMBERED = timedelta(hours=1)
_MOST = 100
"""So many unknown codes an hour are looked up at all: more would be a burden to the exchange, and to the table."""
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A security as the exchange describes it, and where its candles of one timeframe begin."""

    card: SecurityCard
    first_candle: Timestamp


async def look_up_series(storage: IStorage, adapter: IMarketDataAdapter, series: Series, now: Timestamp) -> FoundSeries:
    """Look a stored timeframe of a security up.

    Raises SecurityNotFoundError when the exchange does not know it, SeriesNotFoundError when it has no such candles,
    both without asking it again for an hour; LookupLimitError when too many codes were unknown; SourceError when it
    gives no answer in time.
    """
    await _require_unremembered(storage, series, now)
    try:
        async with asyncio.timeout(_PATIENCE):
            card = await _card(storage, adapter, series)
            borders = await adapter.borders(card)
    except TimeoutError as error:
        raise SourceUnavailableError(f"the exchange did not describe {series} within {_PATIENCE:g} seconds") from error
    except SecurityNotFoundError:
        await _remember(storage, str(series.security), now)
        raise
    if (period := borders.get(series.timeframe)) is None:
        await _remember(storage, str(series), now)
        raise SeriesNotFoundError(f"the exchange has no candles of {series}")
    return FoundSeries(card, period.time_from)


async def _card(storage: IStorage, adapter: IMarketDataAdapter, series: Series) -> SecurityCard:
    async with storage.read() as uow:
        known = [card async for card in uow.securities.filter_by_ticker(series.security.ticker)]
    own = next((card for card in known if card.security == series.security), None)
    return own or await adapter.card(series.security)


async def _require_unremembered(storage: IStorage, series: Series, now: Timestamp) -> None:
    async with storage.read() as uow:
        unknown = await _unknown(uow)
    lately = {look.name.removeprefix(_PREFIX) for look in unknown if now - look.seen_at < _REMEMBERED}
    if str(series.security) in lately:
        raise SecurityNotFoundError(f"the exchange does not know {series.security}: it was asked less than an hour ago")
    if str(series) in lately:
        raise SeriesNotFoundError(f"the exchange has no candles of {series}: it was asked less than an hour ago")
    if len(lately) >= _MOST:
        raise LookupLimitError(
            f"{_MOST} unknown codes were asked for within an hour: follow {series.security} with POST /v1/securities, "
            "or ask again later"
        )


async def _remember(storage: IStorage, name: str, now: Timestamp) -> None:
    """Keep that it is unknown, and no longer what was unknown long ago."""
    async with storage.begin() as uow:
        await uow.looks.remove(look for look in await _unknown(uow) if now - look.seen_at >= _REMEMBERED)
        await uow.looks.add([Look(f"{_PREFIX}{name}", now)])


async def _unknown(uow: IUnitOfWork) -> list[Look]:
    return [look async for look in uow.looks if look.name.startswith(_PREFIX)]
