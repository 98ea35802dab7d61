"""Deep pages are found by their key: no database skips rows to get there."""

from collections.abc import Mapping
from unittest.mock import patch

import pytest
from sqlalchemy import Select

from app.repository.sql import SqlStorage
from app.repository.sql.collection import SqlCollection
from app.tests.builders import SBER_M1, T0, a_page, minute
from app.tests.io.rest_client import a_client, store

# The candles are those of a period that is not covered: covered ones are read by statements of their own.
LISTED: Mapping[str, Mapping[str, object]] = {
    "/v1/candles": {"security": "TQBR:SBER", "timeframe": "M1", "from": T0.unix, "till": minute(400).unix, "limit": 50},
    "/v1/securities": {"limit": 1},
}


@pytest.mark.parametrize("path", LISTED)
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_deep_page_skips_no_rows(sql_storage: SqlStorage, path: str, order: str) -> None:
    await store(sql_storage, a_page(range(300), SBER_M1), (T0, minute(300)), followed_from=T0)
    client = a_client(sql_storage)
    query = {**LISTED[path], **({"order": order} if path == "/v1/candles" else {})}
    asked: list[str] = []
    window_of = SqlCollection._window_of

    def noting(collection: SqlCollection[object], rows: Select[object]) -> Select[object]:
        windowed = window_of(collection, rows)
        asked.append(str(windowed))
        return windowed

    with patch.object(SqlCollection, "_window_of", noting):
        pages = [await client.get(path, query)]
        while cursor := pages[-1].json["next_cursor"]:
            pages.append(await client.get(path, {**query, "cursor": cursor}))

    assert [page.status for page in pages] == [200] * len(pages)
    assert sum(page.json["count"] for page in pages) == (300 if path == "/v1/candles" else 1)
    assert asked
    assert not any("OFFSET" in statement for statement in asked)
