"""The commands that find, follow, list and remove securities."""

import json
from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner

from app.core.entities import Timeframe
from app.core.resampling import roll_up
from app.io.cli import app
from app.simulator.clock import read_moment
from app.simulator.server import Simulator
from app.tests.io.conftest import Candles, truth


def test_a_new_security_is_followed_in_the_default_timeframes(candles: Candles) -> None:
    result = candles("create-security", "sber", "tqbr")

    assert result.exit_code == 0
    assert set(result.stdout.splitlines()[1:]) == {
        "M1\t2024-05-12 14:48",
        "M10\t2024-04-25 14:40",
        "H1\t2024-04-25 14:00",
        "D1\t2024-04-25 00:00",
    }
    assert "followed now" in result.stderr


def test_adding_twice_is_no_error(candles: Candles) -> None:
    candles("create-security", "TQBR:SBER")

    again = candles("create-security", "SBER", "TQBR")

    assert again.exit_code == 0
    assert "followed already" in again.stderr


def test_since_inside_a_longer_bar_means_that_bar(candles: Candles) -> None:
    result = candles(
        "create-security", "TQBR:SBER", "-t", "W1", "-t", "1M", "-t", "Q1", "--since", "2024-05-15", "--json"
    )

    series = {each["timeframe"]: each["followed_from"] for each in json.loads(result.stdout)[0]["series"]}
    assert series == {"W1": "2024-05-12T21:00:00Z", "MN1": "2024-04-30T21:00:00Z", "Q1": "2024-03-31T21:00:00Z"}


def test_to_follow_a_derived_timeframe_is_to_follow_its_minutes(candles: Candles, exchange: Simulator) -> None:
    followed = candles("create-security", "TQBR:SBER", "-t", "5min", "-t", "H4", "--since", "2024-05-15T13:59")

    assert followed.stdout.splitlines()[1:] == ["M1\t2024-05-15 12:00"]
    assert "M5, H4: made of M1" in followed.stderr
    assert candles("update-candles", "-t", "H4").exit_code == 0
    minutes = truth(exchange, Timeframe.M1, "2024-05-15T12:00", "2024-05-15T14:00")
    shown = json.loads(candles("show", "TQBR:SBER", "-t", "M5", "--till", "2024-05-15T14:00", "--json").stdout)
    assert [row["begin"] for row in shown] == [str(bar.timestamp) for bar in roll_up(minutes, Timeframe.M5)]
    assert sum(row["volume"] for row in shown) == sum(minutes.volumes)
    [spans] = json.loads(candles("spans", "TQBR:SBER", "-t", "M5", "--json").stdout)
    assert [span["from"] for span in spans["spans"]] == ["2024-05-15T09:00:00Z"]


def test_since_all_means_from_the_first_candle(candles: Candles) -> None:
    result = candles("create-security", "TQBR:SBER", "-t", "D1", "--since", "all", "--json")

    (series,) = json.loads(result.stdout)[0]["series"]
    assert series["followed_from"] == "2011-12-14T20:00:00Z"


def test_a_ticker_alone_means_its_primary_board_and_says_so(candles: Candles) -> None:
    result = candles("create-security", "sber", "-t", "D1")

    assert result.exit_code == 0
    assert "TQBR:SBER Сбербанк России ПАО ао is followed now (TQBR is its primary board)" in result.stderr


def test_the_board_may_be_named_as_an_option(candles: Candles) -> None:
    result = candles("create-security", "SBER", "--board", "SMAL", "-t", "D1", "--json")

    assert [each["security"] for each in json.loads(result.stdout)] == ["SMAL:SBER"]


def test_a_card_is_told_whole(candles: Candles) -> None:
    candles("create-security", "SiZ6", "-t", "D1")
    candles("create-security", "GAZP", "-t", "D1")

    share, future = sorted(json.loads(candles("securities", "--json").stdout), key=lambda each: str(each["board"]))[
        ::-1
    ]

    assert (share["lot"], share["currency"], share["primary_board"], share["is_traded"]) == (10, "RUB", "TQBR", True)
    assert (share["listed_from"], share["history_till"], share["expires"]) == ("2011-12-15", "2024-05-15", None)
    assert (future["security"], future["expires"]) == ("RFUD:SIZ6", "2026-12-17")


def test_find_searches_the_exchange(candles: Candles) -> None:
    table = candles("find", "газпром")
    objects = json.loads(candles("find", "RU0009029540", "--json").stdout)
    nothing = candles("find", "nothing of the kind")

    assert table.stdout.splitlines()[1].split("\t")[:2] == ["TQBR:GAZP", "ГАЗПРОМ ао"]
    assert [(each["ticker"], each["primary_board"]) for each in objects] == [("SBER", "TQBR")]
    assert (nothing.exit_code, "finds nothing" in nothing.stderr) == (0, True)


def test_a_file_is_followed_after_a_plan_and_a_bad_line_stops_nobody_else(candles: Candles, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    lines = ["ticker,board,timeframes,since", "SBER,,D1,", "SBERR,,D1,", "GAZP,TQBR,M7,", "GAZP,TQBR,D1,2024-05-01"]
    file.write_text("\n".join([*lines, "LKOH,,D1,2030-01-01"]))

    result = candles("import-securities", str(file), "--yes", ISS_RATE="1000")

    assert result.exit_code == 1
    rows = [line.split("\t") for line in result.stdout.splitlines()[1:]]
    assert [(row[0], row[2]) for row in rows] == [
        ("TQBR:SBER", "followed now"),
        ("SBERR", "failed"),
        ("TQBR:GAZP", "followed now"),
    ]
    assert "3 securities in 3 series: at most" in result.stderr
    assert "1 minute at 1000 requests a second" in result.stderr
    assert "line 3: the exchange knows no SBERR: did you mean SBER" in result.stderr
    assert "line 4: timeframes: " in result.stderr
    assert "line 6: since: " in result.stderr
    assert "3 of 5 could not be followed" in result.stderr
    followed = [line.split("\t")[0] for line in candles("securities").stdout.splitlines()[1:]]
    assert followed == ["TQBR:GAZP", "TQBR:SBER"]


def test_a_list_comes_from_stdin_as_well(environment: Mapping[str, str]) -> None:
    arguments = ["import-securities", "-", "--yes", "--json"]

    result = CliRunner().invoke(app, arguments, input="TQBR:SBER\nGAZP TQBR\n", env=environment)

    assert result.exit_code == 0
    assert [(each["security"], each["line"], each["state"]) for each in json.loads(result.stdout)] == [
        ("TQBR:SBER", 1, "followed now"),
        ("TQBR:GAZP", 2, "followed now"),
    ]


def test_a_plan_that_nobody_agrees_to_is_not_carried_out(candles: Candles, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("SBER\n")

    result = candles("import-securities", "list")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "1 security in 4 series: at most" in result.stderr
    assert "add --yes" in result.stderr
    assert json.loads(candles("securities", "--json").stdout) == []


def test_a_whole_board_is_followed(candles: Candles) -> None:
    refused = candles("create-security", "--board", "TQOB", "--all")
    result = candles("create-security", "--board", "tqob", "--all", "-t", "D1", "--yes")
    again = candles("create-security", "--board", "TQOB", "--all", "-t", "D1", "--yes", "--json")

    assert (refused.exit_code, "add --yes" in refused.stderr) == (2, True)
    assert result.exit_code == 0
    assert [line.split("\t")[::2] for line in result.stdout.splitlines()[1:]] == [["TQOB:SU26238RMFS4", "followed now"]]
    assert [each["state"] for each in json.loads(again.stdout)] == ["followed already"]


def test_followed_securities_are_listed(loaded: Candles) -> None:
    assert loaded("securities").stdout.splitlines()[1:] == [
        "TQBR:SBER\tСбербанк\tH1 D1\t2024-04-25 00:00\t2024-05-15 14:00\tformerly SBER03 until 2011-12-14"
    ]
    (listed,) = json.loads(loaded("securities", "--json").stdout)
    assert (listed["security"], listed["series"][0]["watermark"]) == ("TQBR:SBER", "2024-05-15T11:00:00Z")


def test_a_day_that_only_the_next_one_proves_is_not_called_final(candles: Candles, exchange: Simulator) -> None:
    exchange.clock.set(read_moment("2024-05-16T02:00"))
    candles("create-security", "SBER", "TQBR", "-t", "D1")
    candles("update-candles")

    [row] = candles("securities").stdout.splitlines()[1:]
    newest = json.loads(candles("show", "SBER", "TQBR", "--json").stdout)[-1]

    assert row.split("\t")[4] == "2024-05-15 00:00"
    assert (newest["begin"], newest["final"]) == ("2024-05-14T21:00:00Z", False)


def test_nothing_followed_is_no_error(candles: Candles) -> None:
    assert json.loads(candles("securities", "--json").stdout) == []
    assert candles("update-candles").exit_code == 0


def test_a_removed_security_keeps_its_candles(loaded: Candles) -> None:
    assert loaded("remove-security", "SBER", "TQBR").exit_code == 0

    assert json.loads(loaded("securities", "--json").stdout) == []
    assert len(loaded("show", "SBER", "TQBR").stdout.splitlines()) > 10


def test_a_purged_security_is_gone(loaded: Candles) -> None:
    assert loaded("remove-security", "SBER", "TQBR", "--purge").exit_code == 0

    assert loaded("show", "SBER", "TQBR").exit_code == 3
    assert loaded("verify").exit_code == 0
