"""What is followed."""

from app.core.entities import Security, SecurityCard, SeriesState
from app.core.repository import IStorage
from app.use_cases.create_security import FollowedSecurity


async def list_securities(storage: IStorage) -> list[FollowedSecurity]:
    """Return every followed security with its followed series, by board and ticker."""
    async with storage.read() as uow:
        cards = {card.security: card async for card in uow.securities}
        followed: dict[Security, list[SeriesState]] = {}
        async for state in uow.series.filter_followed():
            followed.setdefault(state.series.security, []).append(state)
    return [_followed(cards[security], states) for security, states in sorted(followed.items(), key=_by_board)]


async def get_security(storage: IStorage, security: Security) -> FollowedSecurity:
    """Return one security with its followed series; SecurityNotFoundError when the store does not hold it."""
    async with storage.read() as uow:
        card = await uow.securities.get(security)
        return _followed(card, [state async for state in uow.series.filter_by_security(security).filter_followed()])


def _followed(card: SecurityCard, states: list[SeriesState]) -> FollowedSecurity:
    order = (
        {timeframe: position for position, timeframe in enumerate(type(states[0].series.timeframe))} if states else {}
    )
    return FollowedSecurity(card, sorted(states, key=lambda state: order[state.series.timeframe]))


def _by_board(item: tuple[Security, list[SeriesState]]) -> tuple[str, str]:
    return item[0].board, item[0].ticker
