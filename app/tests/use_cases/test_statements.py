"""What is asked of many series costs as many statements as what is asked of a few."""

from collections.abc import AsyncIterator

import pytest

from app.bench.many import Silent, fill, questions_to, timed
from app.bootstrap import Service, bootstrap
from app.settings import Settings

QUESTIONS = (
    "what is followed",
    "update all, to the first request",
    "how current all is",
    "update one series, to the first request",
    "how current one security is",
    "coverage of one security",
)


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    """The service on each kind of database, up to its first request."""
    settings = Settings(
        database_url=database_url, iss_url="http://127.0.0.1:1", source_name="nobody", redis_url=None, load_workers=1
    )
    async with bootstrap(settings, wrap_adapter=Silent) as service:
        yield service


@pytest.mark.parametrize("question", QUESTIONS)
async def test_many_securities_cost_no_more_statements_than_a_few(service: Service, question: str) -> None:
    ask = questions_to(service)[question]
    await fill(service.storage, range(5))
    few = await timed(ask)
    await fill(service.storage, range(5, 40))
    many = await timed(ask)

    assert few.statements == many.statements > 0


@pytest.mark.parametrize("question", QUESTIONS[3:])
async def test_of_one_security_nothing_of_the_others_is_read(service: Service, question: str) -> None:
    ask = questions_to(service)[question]
    await fill(service.storage, range(1))
    alone = await timed(ask)
    await fill(service.storage, range(1, 20))
    among_others = await timed(ask)

    assert alone.rows == among_others.rows > 0
