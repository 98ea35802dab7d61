"""What routes ask for. All of it `async`, though nothing waits: FastAPI sends plain functions to a thread each."""

from typing import Annotated

from fastapi import Depends, Path, Request

from app.bootstrap import Service
from app.core.entities import Security
from app.io.parameters import parse_security
from app.io.rest_api.blocks import Blocks


async def get_service(request: Request) -> Service:
    """Return the service that the app was built around, or that its lifespan opened."""
    service: Service = request.app.state.service
    return service


async def get_blocks(request: Request) -> Blocks:
    """Return the blocks of candles that this process keeps."""
    blocks: Blocks = request.app.state.blocks
    return blocks


async def path_security(
    board: Annotated[str, Path(description="Where it is traded", examples=["TQBR"])],
    ticker: Annotated[str, Path(description="What it is called there", examples=["SBER"])],
) -> Security:
    """Read the security a path names."""
    return parse_security(ticker, board, field="ticker")


ServiceDependency = Annotated[Service, Depends(get_service)]
BlocksDependency = Annotated[Blocks, Depends(get_blocks)]
