"""Updates: what somebody asked to have loaded, and how far that is."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.io.parameters import parse_moment, parse_security, parse_timeframe
from app.io.rest_api import errors
from app.io.rest_api.dependencies import DeskDependency, ServiceDependency
from app.io.rest_api.v1.update_answer import UpdateAnswer, UpdateList
from app.use_cases.ask_for_candles import ask_for_candles
from app.use_cases.get_update import get_update, list_updates

router = APIRouter(prefix="/updates", tags=["updates"])


class NewUpdate(BaseModel):
    """What to load of what is followed; without anything all of it, up to now."""

    model_config = ConfigDict(extra="forbid")

    securities: list[str] = Field([], max_length=1000, examples=[["TQBR:SBER"]])
    timeframes: list[str] = Field(
        [], max_length=100, description="Derived ones stand for what they are made of, `M1`", examples=[["H1"]]
    )
    time_from: str | None = Field(
        None, alias="from", description="By default where each series begins", examples=["2024-01-03"]
    )
    till: str | None = Field(
        None, description="Not included; a bare date means through that day. By default now", examples=["2024-01-31"]
    )
    again: bool = Field(
        default=False, description="Read what is covered too, and compare it with what is stored; needs `from`"
    )


class UpdateParameters(BaseModel):
    """The query of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=100, description="How many updates an answer has at most")


_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "It will be loaded",
        "headers": {"Location": {"description": "How far that is", "schema": {"type": "string"}}},
    },
    **errors.responses(400, 404, 413, 422),
}


@router.post("", status_code=202, responses=_ACCEPTED)
async def ask(new: NewUpdate, service: ServiceDependency, desk: DeskDependency, response: Response) -> UpdateAnswer:
    """Have candles of followed series loaded now, the newest first, before what the schedule wants.

    What is covered already costs nothing, unless it is to be read `again`.
    """
    update = await ask_for_candles(
        service.storage,
        service.clock,
        securities=[parse_security(each, field="securities") for each in new.securities],
        timeframes=[parse_timeframe(each, "timeframes") for each in new.timeframes],
        time_from=None if new.time_from is None else parse_moment(new.time_from, "from"),
        time_till=None if new.till is None else parse_moment(new.till, "till", is_end=True),
        again=new.again,
    )
    await desk.kick_update(update)
    response.headers["Location"] = f"/v1/updates/{update.id}"
    return UpdateAnswer.of(await get_update(service.storage, service.clock, update.id))


@router.get("", responses=errors.responses(422))
async def list_asked(wish: Annotated[UpdateParameters, Query()], service: ServiceDependency) -> UpdateList:
    """List what was asked for, the newest first."""
    found = await list_updates(service.storage, service.clock, limit=wish.limit)
    return UpdateList(updates=[UpdateAnswer.of(each) for each in found])


@router.get("/{update_id}", responses=errors.responses(404, 422))
async def read_update(
    update_id: Annotated[str, Path(pattern=r"^[0-9a-f]{1,32}$", examples=["9f86d081884c7d65"])],
    service: ServiceDependency,
) -> UpdateAnswer:
    """Read how far an update is. It is kept for thirty days after it was asked for."""
    return UpdateAnswer.of(await get_update(service.storage, service.clock, update_id))
