"""This program on tables that a newer one has made, while it works and when it starts."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

import db_schema
from app.bootstrap import Service
from app.core.errors import SchemaMismatchError
from app.io.rest_api.main import create_app
from app.repository.migrate import migrate
from app.simulator.server import Simulator
from app.tests.io.rest_client import Client
from app.tests.journeys.living import assert_nothing_is_lost
from app.tests.journeys.test_update import GAZP, SBER, follow, update

FOLDER = Path(db_schema.__file__).parent
TOMORROW = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade():
    for table in sa.inspect(op.get_bind()).get_table_names():
        if table != "alembic_version":
            op.add_column(table, sa.Column("mood", sa.Text(), nullable=False, server_default="good"))
            op.add_column(table, sa.Column("seen_by", sa.BigInteger()))
    op.create_table("moon", sa.Column("phase", sa.Integer(), primary_key=True))
"""
SERVING = f"9999_for_{db_schema.SCHEMA_REVISION[:4]}"


@pytest.fixture
def bring_tomorrow(database_url: str, tmp_path: Path) -> Callable[[str], Awaitable[None]]:
    """Migrate the database as the next program would: columns and a table more."""

    async def bring(revision: str) -> None:
        text = TOMORROW.format(revision=revision, before=db_schema.SCHEMA_REVISION)
        (tmp_path / "9999_tomorrow.py").write_text(text)
        config = Config(attributes={"url": database_url})
        config.set_main_option("path_separator", "os")
        config.set_main_option("script_location", str(FOLDER))
        config.set_main_option("version_locations", f"{FOLDER / 'versions'}:{tmp_path}")
        await asyncio.to_thread(command.upgrade, config, "head")

    return bring


async def test_d9_a_service_at_work_lives_on_when_its_tables_become_newer(
    service: Service, simulator: Simulator, bring_tomorrow: Callable[[str], Awaitable[None]]
) -> None:
    await follow(service, SBER)
    assert (await update(service)).failures == {}
    await assert_nothing_is_lost(service, simulator)

    await bring_tomorrow(SERVING)
    simulator.clock.advance(timedelta(days=1))
    await follow(service, GAZP)
    assert (await update(service)).failures == {}

    assert (await Client(create_app(service=service)).get("/health/ready")).status == 200
    await assert_nothing_is_lost(service, simulator)


async def test_d9_a_service_starts_on_newer_tables_that_serve_it(
    open_service: Callable[..., Awaitable[Service]],
    database_url: str,
    simulator: Simulator,
    bring_tomorrow: Callable[[str], Awaitable[None]],
) -> None:
    await bring_tomorrow(SERVING)
    await migrate(database_url)
    service = await open_service(database_url)
    await follow(service, SBER)
    assert (await update(service)).failures == {}

    await assert_nothing_is_lost(service, simulator)


@pytest.mark.parametrize("revision", ["9999", "9999_for_9999", "9999_for_9998"])
async def test_d9_newer_tables_that_do_not_say_that_they_serve_it_are_refused(
    open_service: Callable[..., Awaitable[Service]],
    database_url: str,
    bring_tomorrow: Callable[[str], Awaitable[None]],
    revision: str,
) -> None:
    await bring_tomorrow(revision)

    with pytest.raises(SchemaMismatchError, match=r"older than|another program"):
        await open_service(database_url)
    with pytest.raises(SchemaMismatchError, match="another program"):
        await migrate(database_url)
