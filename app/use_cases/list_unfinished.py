"""What was asked for and is not loaded yet."""

from app.core.date_time import Timestamp
from app.core.entities import Series
from app.core.storage import IStorage


async def list_unfinished(storage: IStorage, update_id: str | None = None) -> list[Series]:
    """Return the followed series of which something was asked for, or by that update, and is not done.

    Not those whose load failed since: the schedule, which knows patience, tries them again.
    """
    async with storage.read() as uow:
        parts = uow.update_parts.filter_unfinished()
        asked_at: dict[Series, Timestamp] = {}
        async for part in parts if update_id is None else parts.filter_by_update(update_id):
            asked_at[part.series] = max(part.asked_at, asked_at.get(part.series, part.asked_at))
        if not asked_at:
            return []
        states = [state async for state in uow.series.filter_followed() if state.series in asked_at]
    return [state.series for state in states if state.failed_at is None or state.failed_at < asked_at[state.series]]
