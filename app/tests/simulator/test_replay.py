"""Recorded files served as the exchange would, and the command that does it."""

import asyncio
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from app.core.date_time import Timestamp
from app.core.entities import Security, Series, Timeframe
from app.core.spans import Period
from app.simulator.__main__ import main
from app.simulator.clock import read_moment
from app.simulator.replay import ReplayTape, TapeError
from app.simulator.server import Simulator
from app.tests.simulator.client import SBER, Client

HEADER = "begin,end,open,high,low,close,value,volume"
ROWS = [
    "2014-06-09 11:00:00,2014-06-09 11:59:59,143.9,144.5,143.5,144.0,3.0,10",
    "2014-06-09 10:00:00,2014-06-09 10:59:59,144.02,144.78,143.03,143.89,599770205.4000001,4171150",
    "2014-06-09 11:00:00,2014-06-09 11:49:10,143.9,144.5,143.5,144.1,4.0,20",
    "2014-06-10 10:00:00,2014-06-10 10:59:59,144,145,143,144.5,543374940,3770000",
]
SERVED = [
    '144.02, 143.89, 144.78, 143.03, 599770205.4000001, 4171150, "2014-06-09 10:00:00", "2014-06-09 10:59:59"],',
    '143.9, 144, 144.5, 143.5, 3, 10, "2014-06-09 11:00:00", "2014-06-09 11:59:59"],',
    '143.9, 144.1, 144.5, 143.5, 4, 20, "2014-06-09 11:00:00", "2014-06-09 11:49:10"],',
    '144, 144.5, 145, 143, 543374940, 3770000, "2014-06-10 10:00:00", "2014-06-10 10:59:59"]',
]


def record(folder: Path, *rows: str, header: str = HEADER, name: str = "TQBR/SBER/60.csv") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


async def test_rows_are_served_as_recorded_in_the_order_of_time_with_their_repeats(tmp_path: Path) -> None:
    tape = ReplayTape(record(tmp_path, *ROWS))

    async with Simulator(tape).serve() as exchange, aiohttp.ClientSession(exchange.url) as session:
        answer = await Client(session).get(interval=60, iss__meta="off")

    assert answer.text.splitlines()[4:-2] == [f"\t\t[{row}" for row in SERVED]


async def test_card_search_and_borders_come_from_the_files(tmp_path: Path) -> None:
    record(tmp_path, *ROWS)
    record(tmp_path, *ROWS, name="EQNE/MYOWN/60.csv")
    path = SBER.replace("TQBR", "EQNE").replace("SBER", "MYOWN")

    async with Simulator(ReplayTape(tmp_path)).serve() as exchange, aiohttp.ClientSession(exchange.url) as session:
        client = Client(session)
        card, search, borders = [
            await client.get("/iss/securities/myown.json"),
            await client.get("/iss/securities.json"),
            await client.get(path.replace("candles", "candleborders")),
        ]

    assert [(row["boardid"], row["listed_from"], row["decimals"]) for row in card.block("boards")] == [
        ("EQNE", "2014-06-09", 2)
    ]
    assert search.column("secid", "securities") == ["MYOWN", "SBER"]
    assert borders.block("borders") == [{"begin": "2014-06-09 10:00:00", "end": "2014-06-10 10:00:00", "interval": 60}]


def test_the_clock_starts_a_day_after_the_end_of_the_last_bar(tmp_path: Path) -> None:
    exchange = Simulator(ReplayTape(record(tmp_path, *ROWS)))

    started = read_moment("2014-06-11T11:00:00")

    assert started <= exchange.clock.now() < started + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("as_of", "visible"), [("2014-06-10T11:00:00", 2), ("2014-06-10T11:14:59", 2), ("2014-06-10T11:15:00", 3)]
)
def test_a_bar_is_hidden_until_it_has_passed(tmp_path: Path, as_of: str, visible: int) -> None:
    exchange = Simulator(ReplayTape(record(tmp_path, *ROWS)))
    series = Series(Security("SBER", "TQBR"), Timeframe.H1)
    period = Period(read_moment("2014-06-09"), read_moment("2014-06-12"))

    known = exchange.truth(series, period, as_of=read_moment(as_of))

    assert len(known) == visible  # of equal beginnings the truth has one


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("begin,end,open,high,low,close,value", "", r"60\.csv: no column volume in its header row"),
        (HEADER, ROWS[0].replace("143.9,", "much,"), r"60\.csv, line 2, column open: 'much' is no number"),
        (HEADER, ROWS[0].replace("143.9,", "nan,"), r"60\.csv, line 2, column open: 'nan' is no number"),
        (HEADER, ROWS[0].replace("2014-06-09 11:00:00", "soon"), r"60\.csv, line 2, column begin: 'soon' is no moment"),
        (HEADER, "2014-06-09 11:00:00", r"60\.csv, line 2, column open: '' is no number"),
    ],
)
def test_an_invalid_file_is_named_with_its_column(tmp_path: Path, header: str, row: str, message: str) -> None:
    with pytest.raises(TapeError, match=message):
        ReplayTape(record(tmp_path, row, header=header))


def test_a_file_of_an_unknown_interval_is_named(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match=r"5\.csv: a file is named for an interval of ISS: 1, 4, 7, 10, 24, 31, 60"):
        ReplayTape(record(tmp_path, *ROWS, name="TQBR/SBER/5.csv"))


def test_a_folder_without_files_is_an_error_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--tape", str(tmp_path), "--port", "0"])

    assert (code, capsys.readouterr().err) == (2, f"error: {tmp_path}: no file BOARD/TICKER/INTERVAL.csv in it\n")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--port", "99999"),
        ("--port", "1.5"),
        ("--clock", "noon"),
        ("--speed", "nan"),
        ("--speed", "-5"),
        ("--delay", "inf"),
        ("--account", "nobody"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([option, value])

    assert ended.value.code == 2
    assert f"error: argument {option}: " in capsys.readouterr().err


async def test_a_taken_port_is_an_error_of_the_command() -> None:
    async with Simulator().serve() as exchange:
        command = [sys.executable, "-m", "app.simulator", "--port", exchange.url.rpartition(":")[2]]
        process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
        _, errors = await process.communicate()

    assert process.returncode == 2
    assert errors.startswith(b"error: ")
    assert b"Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_is_and_ends_quietly_within_seconds(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "app.simulator", "--port", "0", "--clock", "2024-05-15T14:48:20", "--stopped"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        started = time.monotonic()
        process.send_signal(number)
        rest, errors = process.communicate(timeout=30)

    assert line.startswith("ISS at http://127.0.0.1:")
    assert line.endswith("/iss, its clock 2024-05-15 14:48:20 Moscow, stopped\n")
    assert (process.returncode, rest, errors) == (0, "", "")
    assert time.monotonic() - started < 10


def test_an_instant_stays_an_instant() -> None:
    assert (
        read_moment("2024-05-15T14:48:20+03:00")
        == read_moment("2024-05-15T14:48:20")
        == Timestamp(read_moment("2024-05-15T11:48:20+00:00").utc)
    )
