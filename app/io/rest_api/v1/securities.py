"""Securities: which are followed, since when, and what is covered."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.bootstrap import Service
from app.core.entities import Security, SecurityCard
from app.core.errors import SourceError
from app.core.freshness import Freshness
from app.io.parameters import parse_since, parse_timeframe, parse_wanted
from app.io.rest_api import cursors, errors
from app.io.rest_api.dependencies import DeskDependency, ServiceDependency, path_security
from app.io.rest_api.v1.security_answer import SecurityAnswer, SecurityList, SecuritySpans, SeriesSpans
from app.use_cases.create_security import create_security
from app.use_cases.get_spans import get_spans
from app.use_cases.list_securities import get_security, list_securities
from app.use_cases.record_renames import record_renames
from app.use_cases.remove_security import remove_security

router = APIRouter(prefix="/securities", tags=["securities"])


class NewSecurity(BaseModel):
    """What to follow, and since when."""

    model_config = ConfigDict(extra="forbid")

    ticker: str = Field(examples=["SBER"])
    board: str | None = Field(None, description="By default its primary board", examples=["TQBR"])
    timeframes: list[str] | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="By default those of the service's settings. Derived ones stand for what they are made of, `M1`",
        examples=[["H1", "D1"]],
    )
    since: str | None = Field(
        None,
        description="A date, RFC 3339, or `all` for everything the exchange has; by default as the service is set up",
        examples=["2024-01-03"],
    )


class SecurityParameters(BaseModel):
    """The query of a list. A parameter nobody knows is refused: a slip would go unnoticed."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field("", description="Part of the ticker, a name or the ISIN, in any case", examples=["сбер"])
    board: str | None = Field(None, examples=["TQBR"])
    market: str | None = Field(None, examples=["shares"])
    limit: int = Field(1000, ge=1, le=10_000, description="How many securities an answer has at most")
    cursor: str | None = Field(None, description="The `next_cursor` of the answer before; the rest of the query stays")

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes a cursor this query's."""
        return self.q, self.board, self.market

    def fits(self, card: SecurityCard) -> bool:
        """Tell whether the filters let a security through."""
        texts = (card.security.ticker, card.short_name, card.name, card.isin or "")
        return (
            any(self.q.casefold() in text.casefold() for text in texts)
            and (self.board or card.security.board).casefold() == card.security.board.casefold()
            and (self.market or card.market).casefold() == card.market.casefold()
        )


_LOCATION = {
    "Location": {"description": "Where the security is found", "schema": {"type": "string"}},
    "Link": {"description": '`rel="monitor"`: how far the load of its candles is', "schema": {"type": "string"}},
}
_CREATED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "It was followed already; what was new is added",
        "model": SecurityAnswer,
        "headers": _LOCATION,
    },
    201: {"description": "It is followed from now on", "headers": _LOCATION},
    **errors.responses(400, 404, 413, 422, 502),
}


@router.get("", responses=errors.responses(400, 422))
async def list_followed(wish: Annotated[SecurityParameters, Query()], service: ServiceDependency) -> SecurityList:
    """List the followed securities, by board and ticker."""
    begin = cursors.unseal(wish.cursor, *wish.identity).decode() if wish.cursor is not None else ""
    found = await list_securities(
        service.storage,
        fits=lambda card: str(card.security) > begin and wish.fits(card),
        limit=wish.limit + 1,
    )
    page = found[: wish.limit]
    judged = await _judged(service, [one.card.security for one in page])
    next_cursor = cursors.seal(str(page[-1].card.security).encode(), *wish.identity) if len(found) > len(page) else None
    return SecurityList(
        securities=[SecurityAnswer.of(one, judged[one.card.security]) for one in page],
        count=len(page),
        next_cursor=next_cursor,
    )


@router.post("", status_code=201, responses=_CREATED)
async def follow(
    new: NewSecurity, service: ServiceDependency, desk: DeskDependency, response: Response
) -> SecurityAnswer:
    """Follow a security of the exchange; its candles are then read in the background, the newest first.

    Without a board its primary one is meant; the answer says which that is. Candles begin at `since`, or with the
    first one of the exchange if that is later. Followed twice is no error: timeframes are added, and an earlier `since`
    moves the beginning back. The `Link` with `rel="monitor"` tells how far the load is.
    """
    wanted = parse_wanted(new.ticker, new.board, field="ticker")
    since = await service.since(
        [parse_timeframe(timeframe, "timeframes") for timeframe in new.timeframes or ()],
        None if new.since is None else parse_since(new.since),
    )
    with suppress(SourceError):  # merely to say what it was named before, or is now
        await record_renames(service.storage, service.directory, service.clock)
    now = await service.clock.now()
    followed = await create_security(service.storage, service.adapter, wanted, since=since, asked_at=now)
    if followed.update is not None:
        await desk.kick_update(followed.update)
        response.headers["Link"] = f'</v1/updates/{followed.update.id}>; rel="monitor"'
    response.status_code = 201 if followed.is_new else 200
    security = followed.card.security
    response.headers["Location"] = f"/v1/securities/{security.board}/{security.ticker}"
    return SecurityAnswer.of(followed, (await service.freshness([security])).series)


@router.get("/{board}/{ticker}", responses=errors.responses(404, 422))
async def read_security(
    security: Annotated[Security, Depends(path_security)], service: ServiceDependency
) -> SecurityAnswer:
    """Read what the exchange says of a followed security, what is followed of it and how fresh that is."""
    followed = await get_security(service.storage, security)
    return SecurityAnswer.of(followed, (await service.freshness([security])).series)


@router.delete("/{board}/{ticker}", status_code=204, responses=errors.responses(404, 422))
async def stop_following(
    security: Annotated[Security, Depends(path_security)],
    service: ServiceDependency,
    purge: Annotated[bool, Query(description="Forget what is stored, too")] = False,  # noqa: FBT002  # a query parameter
) -> None:
    """Stop following every timeframe of a security. What is stored stays readable, unless `purge` says otherwise."""
    await remove_security(service.storage, service.clock, security, purge=purge)


@router.get("/{board}/{ticker}/spans", responses=errors.responses(404, 422))
async def read_spans(
    security: Annotated[Security, Depends(path_security)],
    service: ServiceDependency,
    timeframe: Annotated[str | None, Query(description="Only this one", examples=["H1"])] = None,
) -> SecuritySpans:
    """Read which periods are covered: everything the exchange has of them is stored and final. And what is missing."""
    only = None if timeframe is None else parse_timeframe(timeframe)
    found = await get_spans(service.storage, service.clock, security, timeframe=only)
    return SecuritySpans(security=str(security), series=[SeriesSpans.of(coverage) for coverage in found])


async def _judged(service: Service, securities: Sequence[Security]) -> Mapping[Security, Sequence[Freshness]]:
    """Return how current what is followed of each of these is."""
    found: dict[Security, list[Freshness]] = {security: [] for security in securities}
    for each in (await service.freshness(securities)).series if securities else ():
        found.setdefault(each.state.series.security, []).append(each)
    return found
