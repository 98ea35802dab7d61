"""SQL stores as tests open, read and damage them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from app.core.pages import CandlePage
from app.repository.sql import SqlStorage
from app.repository.sql.storage import SqlUnitOfWork
from app.tests.builders import SBER_M1

postgresql_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@asynccontextmanager
async def opened(url: str, *, patience: float = 30, pool_size: int = 8) -> AsyncIterator[SqlStorage]:
    storage = SqlStorage.open(url, patience=patience, pool_size=pool_size)
    try:
        yield storage
    finally:
        await storage.close()


async def execute(unit_of_work: SqlUnitOfWork, statement: str) -> None:
    """Go past the repositories, as a careless hand would."""
    await unit_of_work._transaction.write(text(statement))


async def stored(storage: SqlStorage) -> CandlePage:
    async with storage.read() as reader:
        return await reader.candles.page(SBER_M1)
