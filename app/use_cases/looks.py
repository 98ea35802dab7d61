"""When lists of the exchange were read, so that they are not read too often."""

from collections.abc import Mapping
from datetime import timedelta

from app.core.date_time import Timestamp
from app.core.storage import IStorage, Look


async def is_due(storage: IStorage, name: str, now: Timestamp, *, every: timedelta) -> bool:
    """Tell whether the list was never read, or `every` ago or longer."""
    async with storage.read() as uow:
        looks = [look async for look in uow.looks if look.name == name]
    return not any(now - look.seen_at < every for look in looks)


async def remember(storage: IStorage, name: str, now: Timestamp) -> None:
    """Keep that the list was read and all of it taken notice of. Comes last: a crash before means once more."""
    async with storage.begin() as uow:
        await uow.looks.add([Look(name, now)])


async def seen(storage: IStorage) -> Mapping[str, Timestamp]:
    """Return when each list was read, by its name."""
    async with storage.read() as uow:
        return {look.name: look.seen_at async for look in uow.looks}
