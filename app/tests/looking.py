"""What is known of a period, in a line: tests ask for its coverage more often than for its candles."""

from app.core.entities import Series
from app.core.spans import Period
from app.core.storage import IStorage
from app.use_cases.get_candles import Coverage
from app.use_cases.look_at_candles import look_at_candles


async def get_coverage(storage: IStorage, series: Series, period: Period) -> Coverage:
    return (await look_at_candles(storage, series, period.time_from, period.time_till, is_open=False)).coverage
