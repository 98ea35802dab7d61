"""What the exchange has, followed or not."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from app.core.markets import FoundSecurity
from app.io.rest_api import errors
from app.io.rest_api.dependencies import ServiceDependency
from app.use_cases.find_securities import find_securities

router = APIRouter(prefix="/search", tags=["securities"])


class SearchParameters(BaseModel):
    """What to look for."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field(
        min_length=1, max_length=100, description="Part of a ticker, of a name, or an ISIN", examples=["газ"]
    )
    limit: int = Field(100, ge=1, le=1000, description="How many securities an answer has at most")


class FoundAnswer(BaseModel):
    """A security the exchange knows."""

    ticker: str
    name: str
    short_name: str
    isin: str | None
    kind: str | None
    primary_board: str | None = Field(description="Where it mainly trades or traded", examples=["TQBR"])
    is_traded: bool

    @classmethod
    def of(cls, found: FoundSecurity) -> "FoundAnswer":
        return cls.model_validate(found, from_attributes=True)


class FoundList(BaseModel):
    """What was found, in the exchange's own order."""

    securities: list[FoundAnswer]
    count: int


@router.get("", responses=errors.responses(422, 502))
async def search(wish: Annotated[SearchParameters, Query()], service: ServiceDependency) -> FoundList:
    """Search the exchange itself. `GET /v1/securities` lists what is followed."""
    found = await find_securities(service.directory, wish.q, limit=wish.limit)
    return FoundList(securities=[FoundAnswer.of(each) for each in found], count=len(found))
