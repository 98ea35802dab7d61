"""When an engine trades, as far as this store knows."""

from datetime import date, timedelta

from app.core.calendar import TradingCalendar
from app.core.repository import IUnitOfWork

_MARGIN = timedelta(days=60)
"""Closed time that holds an end of the period is looked at whole."""


async def read_calendar(uow: IUnitOfWork, engine: str, first: date, last: date) -> TradingCalendar:
    """Return the calendar of an engine with what the exchange told of `[first, last]` and of two months around it."""
    days = uow.calendar.filter_by_engine(engine).filter_by_days(first - _MARGIN, last + _MARGIN)
    return TradingCalendar.of(engine, [day async for day in days])
