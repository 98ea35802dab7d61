"""Tables that a newer program made, in the hands of the programs before it.

What a program of an older revision says to the database is taken from that revision's tables as they were: it names
their columns and no others, and tells rows apart by their keys.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import BigInteger, Column, Connection, MetaData, PrimaryKeyConstraint, Table, UniqueConstraint, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

import db_schema
from app.repository.migrate import migrate
from app.repository.sql.engine import migration_engine

ROOT = Path(db_schema.__file__).parents[1]
REVISIONS = [script.revision for script in ScriptDirectory.from_config(Config(ROOT / "alembic.ini")).walk_revisions()]
NOON = datetime(2024, 1, 17, 9, tzinfo=UTC)

Row = Mapping[str, object]


def served() -> Iterator[tuple[str, str]]:
    """Each program that a newer revision's tables serve, and that revision; the first ones serve the one before."""
    for place, newer in enumerate(REVISIONS[:-1], 1):
        oldest = newer.partition("_for_")[2] or REVISIONS[place]
        yield from ((older, newer) for older in REVISIONS[place:] if older >= oldest)


@pytest.fixture
async def engine(empty_database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = migration_engine(empty_database_url)
    yield engine
    await engine.dispose()


@pytest.mark.parametrize(("older", "newer"), list(served()))
async def test_d9_the_program_before_a_migration_works_after_it(
    empty_database_url: str, engine: AsyncEngine, older: str, newer: str
) -> None:
    await migrate(empty_database_url, older)
    async with engine.begin() as connection:
        tables = await connection.run_sync(_tables)
        await connection.run_sync(_write, tables)
    await migrate(empty_database_url, newer)

    async with engine.begin() as connection:
        await connection.run_sync(_read, tables)
        await connection.run_sync(_clear, tables)
        await connection.run_sync(_write, tables)
        await connection.run_sync(_read, tables)


def _tables(connection: Connection) -> list[Table]:
    """The tables as they are, in an order in which they can be filled."""
    metadata = MetaData()
    metadata.reflect(connection)
    metadata.remove(metadata.tables["alembic_version"])
    metadata.tables["candle"].add_is_dependent_on(metadata.tables["series"])  # without a foreign key, to be quick
    return metadata.sorted_tables


def _write(connection: Connection, tables: list[Table]) -> None:
    """Write a row into each table with no more than must be said, then all of it in every way a key allows."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    for table in tables:
        connection.execute(table.insert().values(_shortest(table)))
        row = _row(table)
        for key in _keys(table):
            connection.execute(insert(table).values(row).on_conflict_do_update(index_elements=key, set_=row))


def _read(connection: Connection, tables: list[Table]) -> None:
    for table in tables:
        assert [dict(row) for row in connection.execute(select(table)).mappings()] == [_row(table)]


def _clear(connection: Connection, tables: list[Table]) -> None:
    for table in reversed(tables):
        assert connection.execute(table.delete()).rowcount == 1


def _keys(table: Table) -> list[list[str]]:
    keys = [each for each in table.constraints if isinstance(each, PrimaryKeyConstraint | UniqueConstraint)]
    return [list(key.columns.keys()) for key in keys]


def _row(table: Table) -> Row:
    return {column.name: _value(column, position) for position, column in enumerate(table.columns)}


def _shortest(table: Table) -> Row:
    must = {column.name for column in table.columns if not (column.nullable or column.server_default)}
    return {name: value for name, value in _row(table).items() if name in must or table.columns[name].primary_key}


def _value(column: Column[object], position: int) -> object:
    """Something that passes every check; of two instants the column on the right has the later one."""
    if isinstance(column.type, BigInteger):
        return position
    moment = NOON + timedelta(hours=position)
    examples = {
        bool: True,
        int: 1,
        float: 1.0,
        str: "x",
        date: date(2024, 1, 17),
        time: time(9, 50),
        datetime: moment,
    }
    return examples[column.type.python_type]
