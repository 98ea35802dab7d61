"""What routes ask for. All of it `async`, though nothing waits: FastAPI sends plain functions to a thread each."""

from typing import Annotated

from fastapi import Depends, Path, Request

from app.answers.kept import Kept
from app.bootstrap import Service
from app.core.entities import Security
from app.io.parameters import parse_security
from app.io.rest_api.recent import RecentOutlook
from app.io.rest_api.wish_desk import WishDesk


async def get_service(request: Request) -> Service:
    """Return the service that the app was built around, or that its lifespan opened."""
    service: Service = request.app.state.service
    return service


async def get_kept(request: Request) -> Kept:
    """Return what this process has at hand to answer with."""
    kept: Kept = request.app.state.kept
    return kept


async def get_is_draining(request: Request) -> bool:
    """Tell whether this process is about to end."""
    is_draining: bool = request.app.state.is_draining
    return is_draining


async def get_recent_outlook(request: Request) -> RecentOutlook:
    """Return the last look at all that is followed."""
    recent: RecentOutlook = request.app.state.recent_outlook
    return recent


async def get_desk(request: Request) -> WishDesk:
    """Return who answers questions for candles in this process."""
    desk: WishDesk = request.app.state.desk
    return desk


async def path_security(
    board: Annotated[str, Path(description="Where it is traded", examples=["TQBR"])],
    ticker: Annotated[str, Path(description="What it is called there", examples=["SBER"])],
) -> Security:
    """Read the security a path names."""
    return parse_security(ticker, board, field="ticker")


ServiceDependency = Annotated[Service, Depends(get_service)]
OutlookDependency = Annotated[RecentOutlook, Depends(get_recent_outlook)]
KeptDependency = Annotated[Kept, Depends(get_kept)]
IsDrainingDependency = Annotated[bool, Depends(get_is_draining)]
DeskDependency = Annotated[WishDesk, Depends(get_desk)]
