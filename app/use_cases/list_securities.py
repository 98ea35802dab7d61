"""What is followed."""

from app.core.entities import Security, SeriesState
from app.core.errors import SecurityNotFoundError
from app.core.repository import IStorage
from app.use_cases.create_security import FollowedSecurity, shortest_first
from app.use_cases.record_renames import chains, lineage


async def list_securities(storage: IStorage) -> list[FollowedSecurity]:
    """Return every followed security with its followed series, by board and ticker."""
    async with storage.read() as uow:
        cards = {card.security: card async for card in uow.securities}
        followed: dict[Security, list[SeriesState]] = {}
        async for state in uow.series.filter_followed():
            followed.setdefault(state.series.security, []).append(state)
        known = await chains(uow)
    return [
        FollowedSecurity(cards[security], shortest_first(states), lineage=known.of(cards[security]))
        for security, states in sorted(followed.items(), key=_by_board)
    ]


async def get_security(storage: IStorage, security: Security) -> FollowedSecurity:
    """Return one security with its followed series; SecurityNotFoundError when nothing of it is followed."""
    async with storage.read() as uow:
        card = await uow.securities.get(security)
        states = [state async for state in uow.series.filter_by_security(security).filter_followed()]
        names = await lineage(uow, card)
    if not states:
        raise SecurityNotFoundError(f"{security} is not followed")
    return FollowedSecurity(card, shortest_first(states), lineage=names)


def _by_board(item: tuple[Security, list[SeriesState]]) -> tuple[str, str]:
    return item[0].board, item[0].ticker
