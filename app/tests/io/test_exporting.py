"""Every form of a file holds the same candles, bit for bit, however they are cut into pages."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from app.core.errors import SeriesChangedError
from app.core.pages import CandlePage, Row
from app.core.spans import Period
from app.io import columnar, exporting
from app.io.exporting import open_writer, write_out
from app.io.forms import FileForm
from app.tests.builders import SBER_M1, T0, a_page, minute
from app.tests.io.test_encoding import MOSCOW, flat, pages
from app.use_cases.explain_gaps import Gap, GapReason
from app.use_cases.export_candles import CandleExport
from app.use_cases.get_candles import Coverage

COVERAGE = Coverage(Period(T0, minute(99)), [], 7)
FORMS = list(FileForm)


def an_export(*pages: CandlePage, coverage: Coverage = COVERAGE, error: Exception | None = None) -> CandleExport:
    async def given() -> AsyncIterator[CandlePage]:
        for page in pages:
            yield page
        if error is not None:
            raise error

    return CandleExport(SBER_M1, coverage, given())


def write(form: FileForm, export: CandleExport, zone: ZoneInfo | None = None) -> bytes:
    written = io.BytesIO()

    async def put(data: bytes) -> None:
        written.write(data)

    async def work() -> None:
        rows = await write_out(export, open_writer(form, export, zone or UTC), put)
        assert rows == len(read(form, written.getvalue()))

    asyncio.run(work())
    return written.getvalue()


def read(form: FileForm, data: bytes) -> CandlePage:
    """Read a file as a stranger would."""
    match form:
        case FileForm.CSV:
            lines = csv.DictReader(data.decode().splitlines(), strict=True)
            candles = [{**line, "final": json.loads(line["final"])} for line in lines]
        case FileForm.NDJSON:
            candles = [json.loads(line) for line in data.splitlines()]
        case FileForm.ARROW:
            candles = pa.ipc.open_stream(data).read_all().to_pylist()
        case FileForm.PARQUET:
            candles = parquet.read_table(io.BytesIO(data)).to_pylist()
    return CandlePage.from_rows(SBER_M1, map(_row, candles))


def _row(candle: dict[str, str | float | bool | datetime]) -> Row:
    begin, *prices, final = candle.values()
    assert list(candle) == ["begin", "open", "high", "low", "close", "volume", "value", "final"]
    assert isinstance(final, bool)
    moment = begin if isinstance(begin, datetime) else datetime.fromisoformat(str(begin))
    first, second, third, fourth, volume, value = (float(str(price)) for price in prices)
    return (int(moment.timestamp()), first, second, third, fourth, volume, value, final)


def cut(page: CandlePage, size: int) -> Sequence[CandlePage]:
    return [page[at : at + size] for at in range(0, len(page), size)]


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> FileForm:
    wanted: FileForm = request.param
    return wanted


@given(page=pages(), size=st.integers(1, 9), zone=st.sampled_from([UTC, MOSCOW]))
def test_every_form_holds_the_same_candles(page: CandlePage, size: int, zone: ZoneInfo) -> None:
    files = {form: write(form, an_export(*cut(page, size)), zone) for form in FORMS}

    assert {form: flat(read(form, data)) for form, data in files.items()} == dict.fromkeys(FORMS, flat(page))


def test_how_a_page_is_cut_to_be_encoded_does_not_show(form: FileForm, monkeypatch: pytest.MonkeyPatch) -> None:
    page = a_page(range(40))
    whole = read(form, write(form, an_export(page)))
    monkeypatch.setattr(exporting, "_AT_ONCE", 7)
    monkeypatch.setattr(columnar, "_GROUP_ROWS", 9)

    pieces = read(form, write(form, an_export(*cut(page, 5))))

    assert pieces == whole == page


def test_parquet_comes_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "_GROUP_ROWS", 9)

    data = write(FileForm.PARQUET, an_export(*cut(a_page(range(40)), 5)))

    found = parquet.ParquetFile(io.BytesIO(data)).metadata
    assert [found.row_group(n).num_rows for n in range(found.num_row_groups)] == [10, 10, 10, 10]


def test_a_file_without_candles_can_be_read(form: FileForm) -> None:
    data = write(form, an_export())

    assert len(read(form, data)) == 0
    assert data or form is FileForm.NDJSON


@pytest.mark.parametrize("form", [FileForm.ARROW, FileForm.PARQUET])
def test_a_table_says_what_it_is(form: FileForm) -> None:
    gap = Gap(Period(minute(50), minute(60)), GapReason.NOT_LOADED)
    export = an_export(a_page([0, 1]), coverage=Coverage(COVERAGE.period, [gap], 9))

    data = write(form, export, MOSCOW)

    schema = pa.ipc.open_stream(data).schema if form is FileForm.ARROW else parquet.read_schema(io.BytesIO(data))
    assert {name: schema.metadata[name].decode() for name in schema.metadata if name != b"ARROW:schema"} == {
        b"security": "TQBR:SBER",
        b"timeframe": "M1",
        b"from": str(T0),
        b"till": str(minute(99)),
        b"complete": "false",
        b"version": "9",
    }
    assert schema.field("begin").type == pa.timestamp("us", tz="Europe/Moscow")
    assert {str(field.type) for field in schema} == {"timestamp[us, tz=Europe/Moscow]", "double", "bool"}


def test_an_error_on_the_way_comes_out_as_it_is(form: FileForm) -> None:
    export = an_export(a_page([0]), error=SeriesChangedError("changed"))

    with pytest.raises(SeriesChangedError, match="changed"):
        write(form, export)


async def test_pages_are_read_no_faster_than_bytes_are_taken() -> None:
    taken = 0
    stalled = asyncio.Event()

    async def given() -> AsyncIterator[CandlePage]:
        nonlocal taken
        for n in range(100):
            taken += 1
            yield a_page([n])

    async def stall(_data: bytes) -> None:
        stalled.set()
        await asyncio.Event().wait()

    export = CandleExport(SBER_M1, COVERAGE, given())
    writing = asyncio.create_task(write_out(export, open_writer(FileForm.CSV, export, UTC), stall))
    await stalled.wait()
    for _ in range(1000):
        await asyncio.sleep(0)
    writing.cancel()

    assert taken == 3
