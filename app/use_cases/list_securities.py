"""What is followed."""

from collections.abc import Callable, Mapping, Sequence

from app.core.date_time import Timestamp
from app.core.entities import Security, SecurityCard, Series, SeriesState
from app.core.errors import SecurityNotFoundError
from app.core.storage import IStorage, IUnitOfWork
from app.use_cases.create_security import FollowedSecurity, shortest_first
from app.use_cases.record_renames import chains, lineage

NAMED = 200
"""Up to so many securities are asked for by name; of more, all are read."""


async def list_securities(
    storage: IStorage, *, fits: Callable[[SecurityCard], bool] = lambda _: True, limit: int | None = None
) -> list[FollowedSecurity]:
    """Return every followed security with its followed series, by board and ticker.

    Only those that fit, and of them the first so many: of the others no series is read.
    """
    async with storage.read() as uow:
        cards = sorted([card async for card in uow.securities.filter_followed() if fits(card)], key=_by_board)[:limit]
        followed = await _followed(uow, [card.security for card in cards])
        known = await chains(uow)
    return [FollowedSecurity(card, shortest_first(followed[card.security]), lineage=known.of(card)) for card in cards]


async def final_ends(storage: IStorage) -> Mapping[Series, Timestamp]:
    """Return where the last covered period of each series ends: what comes after it is not final yet, or not stored."""
    async with storage.read() as uow:
        return await uow.spans.ends()


async def get_security(storage: IStorage, security: Security) -> FollowedSecurity:
    """Return one security with its followed series; SecurityNotFoundError when nothing of it is followed."""
    async with storage.read() as uow:
        card = await uow.securities.get(security)
        states = [state async for state in uow.series.filter_by_security(security).filter_followed()]
        names = await lineage(uow, card)
    if not states:
        raise SecurityNotFoundError(f"{security} is not followed")
    return FollowedSecurity(card, shortest_first(states), lineage=names)


async def _followed(uow: IUnitOfWork, securities: Sequence[Security]) -> dict[Security, list[SeriesState]]:
    """Return what is followed of each of these."""
    found: dict[Security, list[SeriesState]] = {security: [] for security in securities}
    series = uow.series.filter_followed()
    async for state in series.filter_by_securities(securities) if len(securities) <= NAMED else series:
        if state.series.security in found:
            found[state.series.security].append(state)
    return found


def _by_board(card: SecurityCard) -> tuple[str, str]:
    return card.security.board, card.security.ticker
