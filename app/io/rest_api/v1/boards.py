"""Where securities are traded."""

from datetime import datetime
from typing import Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.core.markets import Board
from app.io.rest_api import errors
from app.io.rest_api.dependencies import ServiceDependency
from app.use_cases import list_boards as listing

router = APIRouter(prefix="/boards", tags=["securities"])


class BoardAnswer(BaseModel):
    """A trading mode of the exchange."""

    code: str = Field(examples=["TQBR"])
    title: str
    engine: str
    engine_title: str
    market: str
    market_title: str
    group: int = Field(description="The number of its group of boards")
    group_name: str
    group_title: str
    is_default_group: bool = Field(description="Whether the exchange means this group by the market alone")
    is_traded: bool
    has_candles: bool
    is_primary: bool
    seen_at: datetime | None = Field(description="When the exchange last listed it; null for one this program tells of")

    @classmethod
    def of(cls, board: Board) -> Self:
        seen_at = None if board.seen_at is None else board.seen_at.utc
        names = (name for name in cls.model_fields if name != "seen_at")
        return cls.model_validate({"seen_at": seen_at, **{name: getattr(board, name) for name in names}})


class BoardList(BaseModel):
    """Every known board, by code."""

    boards: list[BoardAnswer]


@router.get("", responses=errors.responses())
async def list_boards(service: ServiceDependency) -> BoardList:
    """List the boards, as the exchange listed them last; before it did, those that are well known."""
    return BoardList(boards=[BoardAnswer.of(board) for board in await listing.list_boards(service.storage)])
