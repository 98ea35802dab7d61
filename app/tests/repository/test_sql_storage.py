"""What the SQL store does beyond the contract: the databases' own checks, settings, errors that name the way out."""

import math

import pytest
from sqlalchemy import make_url, text

from app.core.entities import Security
from app.core.errors import SchemaMismatchError, StorageError, StorageUnavailableError
from app.core.pages import CandlePage
from app.repository.sql import SqlStorage
from app.tests.builders import GAZP_M1, SBER_M1, a_candle, a_card, a_page, a_span, a_state, follow
from app.tests.repository.sql_stores import execute, opened, postgresql_only, sqlite_only, stored


@postgresql_only
@pytest.mark.parametrize("number", ["'NaN'", "'Infinity'", "'-Infinity'"])
@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume", "value"])
async def test_postgresql_itself_refuses_what_is_no_number(sql_storage: SqlStorage, column: str, number: str) -> None:
    await _refuses(sql_storage, column, number)


@sqlite_only
@pytest.mark.parametrize("number", ["NULL", "9e999", "-9e999"])
@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume", "value"])
async def test_sqlite_itself_refuses_what_is_no_number(sql_storage: SqlStorage, column: str, number: str) -> None:
    await _refuses(sql_storage, column, number)


@pytest.mark.parametrize(
    ("column", "number"), [("high", "1"), ("low", "3"), ("open", "9"), ("close", "-9"), ("volume", "-1")]
)
async def test_the_database_itself_refuses_what_makes_no_candle(
    sql_storage: SqlStorage, column: str, number: str
) -> None:
    await _refuses(sql_storage, column, number)


@pytest.mark.parametrize("write", ["add", "extend"])
async def test_a_page_with_nan_is_refused_whole(sql_storage: SqlStorage, write: str) -> None:
    await follow(sql_storage, SBER_M1)
    page = CandlePage.from_rows(SBER_M1, [(0, 1, 1, 1, 1, 1, 1, 1), (60, 1, math.nan, 1, 1, 1, 1, 1)])

    async def put() -> None:
        async with sql_storage.begin() as writer:
            await getattr(writer.candles, write)(page)

    with pytest.raises(StorageError):
        await put()

    assert not await stored(sql_storage)


@postgresql_only
async def test_postgresql_itself_refuses_spans_that_overlap(sql_storage: SqlStorage) -> None:
    await follow(sql_storage, SBER_M1)
    async with sql_storage.begin() as writer:
        await writer.spans.add([a_span(0, 5)])

    with pytest.raises(StorageError, match="ex_candle_span_overlap"):
        await _execute_alone(
            sql_storage,
            "INSERT INTO candle_span SELECT series_id, time_from + interval '1 minute', time_till FROM candle_span",
        )


@pytest.mark.parametrize("statement", ["INSERT INTO source (id, name) VALUES (1, 'x')", "CREATE TABLE x (y INTEGER)"])
async def test_the_readers_connection_itself_cannot_write(sql_storage: SqlStorage, statement: str) -> None:
    async with sql_storage.read() as reader:
        with pytest.raises(StorageError):
            await reader._transaction.rows(text(statement))


async def test_rows_are_written_in_the_order_of_their_keys(sqlite_url: str) -> None:
    async with opened(sqlite_url) as storage, storage.begin() as uow:
        await uow.securities.add(a_card(Security(ticker, "TQBR")) for ticker in ("SBER", "AFLT", "GAZP"))
        written = await uow._transaction.rows(text("SELECT ticker FROM security ORDER BY id"))

    assert [ticker for (ticker,) in written] == ["AFLT", "GAZP", "SBER"]


@postgresql_only
async def test_equal_rows_are_not_rewritten(sql_storage: SqlStorage) -> None:
    await follow(sql_storage, SBER_M1)
    await _write_everything(sql_storage)
    before = await _row_versions(sql_storage)
    await _write_everything(sql_storage)

    assert await _row_versions(sql_storage) == before


@postgresql_only
async def test_a_replaced_state_uses_up_no_id(sql_storage: SqlStorage) -> None:
    await follow(sql_storage, SBER_M1)
    for version in range(5):
        async with sql_storage.begin() as writer:
            await writer.series.add([a_state(version=version)])
    await follow(sql_storage, GAZP_M1)

    async with sql_storage.read() as reader:
        rows = await reader._transaction.rows(text("SELECT id FROM series ORDER BY id"))
    assert [row.id for row in rows] == [1, 2]


async def test_opening_connects_to_nothing() -> None:
    async with opened("postgresql://me:geheim@127.0.0.1:1/candles") as storage:
        assert storage.connections_in_use == 0


async def test_no_error_tells_the_password() -> None:
    async with opened("postgresql://me:geheim@127.0.0.1:1/candles") as storage:
        with pytest.raises(StorageUnavailableError, match=r"PostgreSQL 127\.0\.0\.1:1/candles") as caught:
            await storage.check("moex")

    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "geheim",
        "mysql://me:geheim@host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://me:se@geheim/more@127.0.0.1:abc/db",
        "postgresql://me:se@geheim@host/db",
        "postgresql://me:secret@host:geheim/db",
    ],
)
def test_a_url_that_names_no_database_of_ours_is_refused(url: str) -> None:
    with pytest.raises(StorageError, match="DATABASE_URL") as caught:
        SqlStorage.open(url)

    assert "geheim" not in str(caught.value)


async def test_a_database_that_does_not_exist_is_unavailable(postgresql_url: str) -> None:
    absent = make_url(postgresql_url).set(database="nowhere").render_as_string(hide_password=False)
    async with opened(absent) as storage:
        with pytest.raises(StorageUnavailableError, match="nowhere"):
            await storage.check("moex")


async def test_tables_that_vanish_are_a_matter_of_migration(sql_storage: SqlStorage) -> None:
    async with sql_storage.begin() as writer:
        await execute(writer, "DROP TABLE quarantine")

    async with sql_storage.read() as reader:
        with pytest.raises(SchemaMismatchError, match="migrate"):
            await reader.quarantine.count()


@pytest.mark.parametrize(
    ("database_url", "rows"), [("sqlite", 20_000), ("postgresql", 50_000)], indirect=["database_url"]
)
async def test_a_batch_is_as_large_as_the_database_likes(sql_storage: SqlStorage, rows: int) -> None:
    assert sql_storage.batch_rows == rows


@sqlite_only
async def test_sqlite_works_as_we_set_it(sql_storage: SqlStorage) -> None:
    async with sql_storage.begin() as writer:
        found = [
            (await writer._transaction.rows(text(f"PRAGMA {pragma}")))[0][0]
            for pragma in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        ]

    assert found == ["wal", 1, 1, 30_000]


async def _execute_alone(storage: SqlStorage, statement: str) -> None:
    async with storage.begin() as writer:
        await execute(writer, statement)


async def _refuses(storage: SqlStorage, column: str, number: str) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        await writer.candles.add([a_candle()])
    with pytest.raises(StorageError, match="candle"):
        await _execute_alone(storage, f"UPDATE candle SET {column} = {number}")  # noqa: S608

    assert await stored(storage) == a_page([0])


async def _write_everything(storage: SqlStorage) -> None:
    async with storage.begin() as writer:
        await writer.securities.add([a_card()])
        await writer.series.add([a_state()])
        await writer.candles.add(a_page(range(10)))
        await writer.spans.add([a_span(0, 10), a_span(2, 4)])


async def _row_versions(storage: SqlStorage) -> list[tuple[object, ...]]:
    tables = ("security", "series", "candle", "candle_span")
    statement = " UNION ALL ".join(f"SELECT '{name}' AS name, xmin::text, ctid::text FROM {name}" for name in tables)  # noqa: S608
    async with storage.read() as reader:
        return sorted((row.name, row.xmin, row.ctid) for row in await reader._transaction.rows(text(statement)))
