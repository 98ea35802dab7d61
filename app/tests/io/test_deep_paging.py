"""Deep pages are found by their key: no database skips rows to get there."""

from unittest.mock import patch

import pytest
from sqlalchemy import Select

from app.core.entities import Series
from app.core.pages import CandlePage
from app.core.spans import Period
from app.core.storage import SeriesView
from app.repository.sql import SqlStorage
from app.repository.sql.collection import SqlCollection
from app.repository.sql.views import SqlViews
from app.tests.builders import SBER_M1, T0, a_page, minute
from app.tests.io.rest_client import Answer, Client, a_client, store


async def walk(client: Client, path: str, query: dict[str, object]) -> list[Answer]:
    pages = [await client.get(path, query)]
    while cursor := pages[-1].json["next_cursor"]:
        pages.append(await client.get(path, {**query, "cursor": cursor}))
    assert [page.status for page in pages] == [200] * len(pages)
    return pages


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_deep_page_of_candles_asks_for_what_is_left_and_one_more(sql_storage: SqlStorage, order: str) -> None:
    await store(sql_storage, a_page(range(300), SBER_M1), (T0, minute(300)), followed_from=T0)
    asked: list[tuple[Period, int]] = []
    view_candles = SqlViews.view_candles

    async def noting(
        views: SqlViews, series: Series, period: Period, window: Period, *, limit: int, newest_first: bool
    ) -> tuple[SeriesView, CandlePage]:
        asked.append((window, limit))
        return await view_candles(views, series, period, window, limit=limit, newest_first=newest_first)

    query = {"security": "TQBR:SBER", "timeframe": "M1", "from": T0.unix, "till": minute(400).unix, "limit": 50}
    with patch.object(SqlViews, "view_candles", noting):
        pages = await walk(a_client(sql_storage), "/v1/candles", {**query, "order": order})

    assert sum(page.json["count"] for page in pages) == 300
    assert {limit for _, limit in asked} == {51}
    sizes = [window.time_till - window.time_from for window, _ in asked]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(pages) == 6


async def test_a_deep_page_of_securities_skips_no_rows(sql_storage: SqlStorage) -> None:
    await store(sql_storage, a_page(range(3), SBER_M1), (T0, minute(3)), followed_from=T0)
    asked: list[str] = []
    window_of = SqlCollection._window_of

    def noting(collection: SqlCollection[object], rows: Select[object]) -> Select[object]:
        windowed = window_of(collection, rows)
        asked.append(str(windowed))
        return windowed

    with patch.object(SqlCollection, "_window_of", noting):
        pages = await walk(a_client(sql_storage), "/v1/securities", {"limit": 1})

    assert sum(page.json["count"] for page in pages) == 1
    assert asked
    assert not any("OFFSET" in statement for statement in asked)
