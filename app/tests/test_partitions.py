"""The way to partitions that ADR 0024 tells, on a table with rows; then the repositories go on as before."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

import db_schema
from app.core.date_time import Timestamp
from app.core.errors import StorageError
from app.core.pages import CandlePage
from app.repository.sql import SqlStorage
from app.repository.sql.engine import migration_engine
from app.tests.builders import GAZP_M1, SBER_D1, SBER_M1, a_page, a_state, follow
from app.tests.repository.sql_stores import execute, postgresql_only
from db_schema.models import Base

ADR = Path(db_schema.__file__).parents[1] / "docs/adr/0024-no-partitions-yet.md"
NEW_YEAR = Timestamp(datetime(2026, 12, 31, 21, tzinfo=UTC)).unix

pytestmark = postgresql_only


async def migrate_to_partitions(storage: SqlStorage) -> None:
    """Take the steps of the decision's page as they stand there, each block in a transaction."""
    for block in re.findall(r"```sql\n(.*?)```", ADR.read_text(), re.DOTALL):
        async with storage.begin() as uow:
            for statement in block.split(";\n")[:-1]:
                await execute(uow, statement)


def around_new_year(minutes: int) -> CandlePage:
    rows = [(NEW_YEAR + n * 60, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0, 1) for n in range(-minutes, minutes)]
    return CandlePage.from_rows(SBER_M1, rows)


async def in_tables(storage: SqlStorage) -> dict[str, int]:
    """Count the rows of each table that candles lie in."""
    counted = text("SELECT tableoid::regclass::text AS name, count(*) AS total FROM candle GROUP BY 1")
    async with storage.read() as uow:
        return {row.name: row.total for row in await uow._transaction.rows(counted)}


@pytest.fixture
async def partitioned(sql_storage: SqlStorage) -> SqlStorage:
    """A store with candles of three series, one of them up to the new year, that became a partition."""
    await follow(sql_storage, SBER_M1, GAZP_M1, SBER_D1)
    async with sql_storage.begin() as uow:
        for page in (a_page(range(500)), a_page(range(300), GAZP_M1), a_page(range(5), SBER_D1)):
            await uow.candles.extend(page)
        await uow.candles.extend(around_new_year(60)[:60])
    assert await in_tables(sql_storage) == {"candle": 865}
    await migrate_to_partitions(sql_storage)
    return sql_storage


async def test_no_row_is_lost_or_moved(partitioned: SqlStorage) -> None:
    assert await in_tables(partitioned) == {"candle_before": 865}
    async with partitioned.read() as uow:
        assert await uow.candles.filter_by_series(GAZP_M1).page(GAZP_M1) == a_page(range(300), GAZP_M1)
        assert await uow.candles.count() == 865


async def test_copy_and_upsert_find_the_partition(partitioned: SqlStorage) -> None:
    page = around_new_year(60)
    async with partitioned.begin() as uow:
        await uow.candles.extend(page[60:])
    corrected = [*a_page([7], close=1.75), *page[80:81].pick([True])]
    async with partitioned.begin() as uow:
        await uow.candles.add(corrected)
        await uow.candles.remove(page[61:62])

    assert await in_tables(partitioned) == {"candle_before": 865, "candle_2027": 59}
    async with partitioned.read() as uow:
        since = uow.candles.filter_by_series(SBER_M1).filter_by_timestamp_gte(page[30].timestamp)
        assert list((await since.page(SBER_M1)).begins) == [*page.begins[30:61], *page.begins[62:]]
        assert [candle.close async for candle in uow.candles.filter_by_series(SBER_M1)[7:8]] == [1.75]


async def test_what_no_partition_was_made_for_is_kept(partitioned: SqlStorage) -> None:
    late = CandlePage.from_rows(SBER_M1, [(NEW_YEAR + 400 * 86_400, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0, 1)])
    async with partitioned.begin() as uow:
        await uow.candles.extend(late)

    assert (await in_tables(partitioned))["candle_later"] == 1


async def test_keys_and_checks_and_the_trigger_still_hold(partitioned: SqlStorage) -> None:
    with pytest.raises(StorageError, match="duplicate key"):
        async with partitioned.begin() as uow:
            await uow.candles.extend(a_page([7]))
    with pytest.raises(StorageError, match="prices_are_ordered"):
        async with partitioned.begin() as uow:
            await uow.candles.extend(CandlePage.from_rows(SBER_M1, [(NEW_YEAR, 1.0, 0.5, 2.0, 1.5, 10.0, 15.0, 1)]))
    with pytest.raises(StorageError, match="candles still belong"):
        async with partitioned.begin() as uow:
            await uow.series.remove([a_state(GAZP_M1)])


async def test_alembic_sees_nothing_but_the_partitions(partitioned: SqlStorage, database_url: str) -> None:
    await partitioned.close()
    engine = migration_engine(database_url)
    async with engine.connect() as connection:
        differences = await connection.run_sync(_differences)
    await engine.dispose()

    assert differences == []


def _differences(connection: Connection) -> list[object]:
    """Compare as ADR 0024 says `env.py` should then."""

    def is_ours(name: str | None, kind: str, _: object) -> bool:
        return kind != "table" or not re.fullmatch(r"candle_(before|later|\d{4})", str(name))

    options = {"include_name": is_ours}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))
