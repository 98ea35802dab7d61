"""The commands against a simulated exchange, whose clock stands still on Wednesday 2024-05-15 at 14:48:20."""

import csv
import io
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.core.date_time import Timestamp
from app.core.entities import Security, Series, Timeframe
from app.core.pages import CandlePage
from app.core.resampling import roll_up
from app.core.spans import Period
from app.io.cli import app
from app.io.cli.output import plain, when
from app.simulator.clock import SimulatedClock, read_moment
from app.simulator.fault_kinds import BadRow, Revise, Slow, Split, Status
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.io.in_thread import serving_apart
from app.tests.io.terminals import answers, run_at_terminal, start, wait_until

SBER = Security("SBER", "TQBR")
Candles = Callable[..., Result]


@pytest.fixture
def exchange() -> Iterator[Simulator]:
    clock = SimulatedClock(read_moment("2024-05-15T14:48:20"), stopped=True)
    with serving_apart(Simulator(clock=clock)) as running:
        yield running


@pytest.fixture
def environment(exchange: Simulator, sqlite_url: str) -> Mapping[str, str]:
    return {
        "DATABASE_URL": sqlite_url,
        "ISS_URL": exchange.url,
        "ISS_RATE": "off",
        "ISS_ATTEMPTS": "1",
        "CLOCK": "source",
        "DEFAULT_SINCE_DAYS": "20",
        "DEFAULT_SINCE_DAYS_M1": "3",
    }


@pytest.fixture
def candles(environment: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Candles:
    """Run a command in a folder without .env."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **more: str) -> Result:
        return CliRunner().invoke(app, arguments, env={**environment, **more}, catch_exceptions=False)

    return run


@pytest.fixture
def loaded(candles: Candles) -> Candles:
    """The commands over a store that holds some days of H1 and D1."""
    candles("create-security", "SBER", "TQBR", "-t", "H1", "-t", "D1")
    assert candles("update-candles").exit_code == 0
    return candles


def truth(exchange: Simulator, timeframe: Timeframe, time_from: str, time_till: str) -> CandlePage:
    period = Period(read_moment(time_from), read_moment(time_till))
    return exchange.truth(Series(SBER, timeframe), period)


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


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("create-security", "SBER", "XXXX"), 3, "trades on TQBR, SMAL"),
        (("create-security", "NOPE", "TQBR"), 3, "knows no NOPE"),
        (("create-security", "SBERR"), 3, "did you mean SBER (Сбербанк)"),
        (("create-security",), 2, "--board TQBR --all"),
        (("create-security", "--all"), 2, "--board TQBR --all"),
        (("create-security", "SBER", "TQBR", "--all"), 2, "--board TQBR --all"),
        (("create-security", "SBER", "TQBR", "--board", "SMAL"), 2, "named twice"),
        (("create-security", "--board", "TQBX", "--all"), 3, "has no board TQBX: did you mean"),
        (("create-security", "SBER", "--since", "2030-01-01"), 2, "since: 2029-12-31T21:00:00Z is still to come"),
        (("find", " "), 2, "what to search for"),
        (("import-securities", "no-such-file"), 2, "no-such-file"),
        (("create-security", "SBER", "TQBR", "--since", "tomorrow"), 2, "since: "),
        (("create-security", "SBER", "TQBR", "-t", "M7"), 2, "M1, M5, M10, M15, M30, H1, H2, H4, D1, W1, MN1, Q1"),
        (("update-candles", "-s", "TQBR:GAZP"), 3, "create-security first"),
        (("update-candles", "--from", "2024-05-15", "--till", "2024-05-01"), 2, "before it begins"),
        (("remove-security", "GAZP", "TQBR"), 3, "TQBR:GAZP"),
        (("show", "GAZP", "TQBR"), 3, "TQBR:GAZP"),
        (("show", "SBER", "TQBR", "--json", "--csv"), 2, "choose one"),
        (("spans", "GAZP", "TQBR"), 3, "TQBR:GAZP"),
        (("no-such-command",), 2, "no-such-command"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    candles: Candles, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = candles(*arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr


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


def test_at_a_terminal_the_plan_is_asked_about(environment: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "list").write_text("SBER\n")

    code, shown = run_at_terminal("import-securities", "list", folder=tmp_path, environment=environment, typed="n\n")
    agreed, _ = run_at_terminal("import-securities", "list", folder=tmp_path, environment=environment, typed="y\n")

    assert (code, "Go on?" in shown, "followed" in shown) == (1, True, False)
    assert agreed == 0


def test_a_silent_exchange_is_exit_code_4(candles: Candles, exchange: Simulator) -> None:
    exchange.faults.add(Status(match=Match(path="SBER"), times=None))

    assert candles("create-security", "SBER", "TQBR").exit_code == 4


def test_a_store_out_of_reach_is_exit_code_5(candles: Candles) -> None:
    result = candles("securities", DATABASE_URL="postgresql://127.0.0.1:1/none")

    assert result.exit_code == 5
    assert "127.0.0.1:1" in result.stderr


def test_a_wrong_setting_is_named_without_its_value(candles: Candles) -> None:
    result = candles("securities", ISS_CONCURRENCY="secret")

    assert result.exit_code == 2
    assert "ISS_CONCURRENCY" in result.stderr
    assert "secret" not in result.stderr


def test_an_update_ends_with_a_table_of_what_was_written(candles: Candles, exchange: Simulator) -> None:
    candles("create-security", "TQBR:SBER", "-t", "H1", "-t", "D1")
    hours = len(truth(exchange, Timeframe.H1, "2024-04-25T14:00", "2024-05-15T15:00"))
    days = len(truth(exchange, Timeframe.D1, "2024-04-25T00:00", "2024-05-16T00:00"))

    result = candles("update-candles")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "security\ttimeframe\twritten\trevised\twithdrawn\tquarantined\tfailed",
        f"TQBR:SBER\tH1\t{hours}\t0\t0\t0\t",
        f"TQBR:SBER\tD1\t{days}\t0\t0\t0\t",
    ]


def test_a_series_that_fails_is_named_and_stops_nobody_else(candles: Candles, exchange: Simulator) -> None:
    candles("create-security", "TQBR:SBER", "-t", "H1", "-t", "D1")
    candles("create-security", "TQBR:GAZP", "-t", "D1")
    exchange.faults.add(Status(match=Match(ticker="SBER", interval=24), times=None))

    result = candles("update-candles", "--json")

    outcome = {(each["security"], each["timeframe"]): each for each in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert outcome["TQBR:SBER", "D1"]["failed"]
    assert outcome["TQBR:SBER", "H1"]["written"] > 0
    assert outcome["TQBR:GAZP", "D1"]["written"] > 0
    assert "1 of 3 series" in result.stderr


def test_quarantined_rows_are_counted(candles: Candles, exchange: Simulator) -> None:
    candles("create-security", "TQBR:SBER", "-t", "H1")
    exchange.faults.add(BadRow(begin="2024-05-14 15:00:00", values={"low": 1e6}, times=None))

    (hours,) = json.loads(candles("update-candles", "--json").stdout)

    assert (hours["quarantined"], hours["failed"]) == (1, None)


def test_only_the_named_securities_timeframes_and_period_are_loaded(candles: Candles) -> None:
    candles("create-security", "TQBR:SBER", "-t", "H1", "-t", "D1")
    candles("create-security", "TQBR:GAZP", "-t", "H1")

    candles("update-candles", "-s", "TQBR:SBER", "-t", "H1", "--from", "2024-05-13", "--till", "2024-05-13")

    (hours,) = json.loads(candles("spans", "TQBR:SBER", "-t", "H1", "--json").stdout)
    assert hours["spans"] == [{"from": "2024-05-12T21:00:00Z", "till": "2024-05-13T21:00:00Z"}]
    assert not json.loads(candles("spans", "TQBR:GAZP", "--json").stdout)[0]["spans"]


def test_what_is_covered_is_read_again_on_demand(loaded: Candles, exchange: Simulator) -> None:
    exchange.faults.add(Revise(match=Match(interval=60), begin="2024-05-13 15:00:00", values={"volume": 7}))

    period = ("--from", "2024-05-13", "--till", "2024-05-13")
    plain = loaded("update-candles", "-t", "H1", *period, "--json")
    again = loaded("update-candles", "-t", "H1", *period, "--again", "--json")
    refused = loaded("update-candles", "--again")

    assert json.loads(plain.stdout) == []
    assert [(each["written"], each["revised"]) for each in json.loads(again.stdout)] == [(1, 1)]
    assert (refused.exit_code, "say from where on" in refused.stderr) == (2, True)


def test_what_is_covered_costs_no_request(loaded: Candles, exchange: Simulator) -> None:
    exchange.requests.clear()

    loaded("update-candles", "--till", "2024-05-14")

    assert not [request.path for request in exchange.requests if "candles" in request.path]


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_what_is_shown_reads_back_equal(loaded: Candles, exchange: Simulator, form: str) -> None:
    shown = loaded("show", "TQBR:SBER", "-t", "H1", "--from", "2024-05-02", "--till", "2024-05-15", form).stdout
    rows = list(csv.DictReader(io.StringIO(shown))) if form == "--csv" else json.loads(shown)

    page = truth(exchange, Timeframe.H1, "2024-05-02T00:00", "2024-05-16T00:00")
    names = ("open", "high", "low", "close", "volume", "value")
    assert [row["begin"] for row in rows] == [str(candle.timestamp) for candle in page]
    assert [tuple(float(row[name]) for name in names) for row in rows] == list(zip(*page.prices, strict=True))
    assert {str(row["final"]).lower() for row in rows[:-1]} == {"true"}
    assert str(rows[-1]["final"]).lower() == "false"


def test_a_bare_date_in_till_means_through_that_day(loaded: Candles) -> None:
    result = loaded("show", "TQBR:SBER", "--from", "2024-05-13", "--till", "2024-05-14", "--csv")

    assert [line[:10] for line in result.stdout.splitlines()] == ["begin,open", "2024-05-12", "2024-05-13"]


def test_without_a_period_the_newest_are_shown_in_moscow_time(loaded: Candles) -> None:
    result = loaded("show", "SBER", "TQBR", "-n", "2")

    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [(line[0], line[-1]) for line in lines[1:]] == [("2024-05-14 00:00", ""), ("2024-05-15 00:00", "forming")]


def test_times_may_be_shown_in_utc(loaded: Candles) -> None:
    assert "2024-05-14 21:00\t" in loaded("show", "SBER", "TQBR", "-n", "2", "--utc").stdout


def test_a_table_of_a_long_period_says_that_there_is_more(loaded: Candles) -> None:
    result = loaded("show", "SBER", "TQBR", "-t", "H1", "--from", "2024-05-02")

    assert len(result.stdout.splitlines()) == 21
    assert "--limit" in result.stderr


def test_a_chart_is_drawn(loaded: Candles) -> None:
    result = loaded("show", "SBER", "TQBR", "--chart")

    assert "┃" in result.stdout
    assert "\x1b" not in result.stdout


def test_what_is_not_loaded_is_said(candles: Candles) -> None:
    candles("create-security", "TQBR:SBER", "-t", "D1")

    result = candles("show", "TQBR:SBER")

    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert "not everything is loaded" in result.stderr


def test_spans_and_gaps_are_shown_with_reasons(loaded: Candles) -> None:
    result = loaded("spans", "SBER", "TQBR", "-t", "H1")

    assert result.stdout.splitlines()[1:] == [
        "H1\t2024-04-25 14:00\t2024-05-15 14:00\tcovered",
        "H1\t2024-05-15 14:00\t2024-05-15 15:00\tin_progress",
    ]


def test_followed_securities_are_listed(loaded: Candles) -> None:
    assert loaded("securities").stdout.splitlines()[1:] == [
        "TQBR:SBER\tСбербанк\tH1 D1\t2024-04-25 00:00\t2024-05-15 14:00\tformerly SBER03 until 2011-12-14"
    ]
    (listed,) = json.loads(loaded("securities", "--json").stdout)
    assert (listed["security"], listed["series"][0]["watermark"]) == ("TQBR:SBER", "2024-05-15T11:00:00Z")


def test_a_split_is_told_of_and_read_again(loaded: Candles, exchange: Simulator) -> None:
    exchange.faults.add(Split(match=Match(ticker="SBER"), date="2024-05-13", factor=0.1))
    exchange.clock.advance(timedelta(hours=1))

    result = loaded("update-candles")

    assert result.exit_code == 0
    assert "TQBR:SBER was split on 2024-05-13" in result.stderr
    shown = json.loads(loaded("show", "SBER", "TQBR", "-t", "D1", "--json").stdout)
    period = truth(exchange, Timeframe.D1, "2024-04-25", "2024-05-15")
    assert [row["close"] for row in shown][-len(period) - 1 : -1] == list(period.closes)


def test_an_update_goes_on_without_the_list_of_splits(loaded: Candles, exchange: Simulator) -> None:
    exchange.clock.advance(timedelta(hours=1))
    exchange.faults.add(Status(match=Match(path="splits"), code=404, times=None))

    result = loaded("update-candles")

    assert result.exit_code == 0
    assert "whether a share was split is not known" in result.stderr
    assert result.stdout.splitlines()[1].startswith("TQBR:SBER\tH1\t2\t")


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


def test_an_audit_names_the_bar_in_which_the_exchange_contradicts_itself(candles: Candles, exchange: Simulator) -> None:
    candles("create-security", "TQBR:SBER", "-t", "M1", "-t", "M10", "--since", "2024-05-14")
    exchange.faults.add(Revise(match=Match(interval=10), begin="2024-05-14 12:10:00", values={"volume": 1}))
    assert candles("update-candles").exit_code == 0
    assert candles("verify").exit_code == 0
    assert candles("verify", "--audit", "-s", "TQBR:GAZP").exit_code == 0
    assert candles("verify", "--audit", "-t", "M5").exit_code == 2

    result = candles("verify", "--audit", "--json", "-s", "TQBR:SBER", "-t", "M10")

    [violation] = json.loads(result.stdout)
    assert result.exit_code == 1
    assert violation.pop("what").startswith("a bar is not what its minutes add up to (volume: ")
    assert violation == (
        {"invariant": "audit", "security": "TQBR:SBER", "timeframe": "M10", "where": "2024-05-14T09:10:00Z", "times": 1}
    )
    assert candles("verify", "--audit").exit_code == 0


def test_verify_finds_a_sound_store(loaded: Candles) -> None:
    result = loaded("verify", "--json")

    assert (result.exit_code, json.loads(result.stdout)) == (0, [])


def test_migrate_may_be_repeated(candles: Candles) -> None:
    assert candles("migrate").exit_code == 0


@pytest.mark.parametrize("command", ["worker", "scheduler"])
def test_worker_and_scheduler_want_a_redis(candles: Candles, command: str) -> None:
    result = candles(command, REDIS_URL="off")

    assert result.exit_code == 2
    assert "REDIS_URL" in result.stderr


def test_an_interrupted_update_is_exit_code_130_without_a_traceback(
    candles: Candles, exchange: Simulator, environment: Mapping[str, str], tmp_path: Path
) -> None:
    candles("create-security", "TQBR:SBER", "-t", "H1")
    exchange.faults.add(Slow(match=Match(path="candles"), seconds=60, times=None))
    exchange.requests.clear()

    with start("update-candles", folder=tmp_path, environment=environment) as update:
        wait_until(lambda: any("candles" in request.path for request in exchange.requests))
        update.send_signal(signal.SIGINT)
        _, messages = update.communicate(timeout=60)

    assert (update.returncode, messages) == (130, "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_server_answers_until_it_is_told_to_end(
    environment: Mapping[str, str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with start("serve", "--port", "0", folder=tmp_path, environment={**environment, "LOG_LEVEL": "WARNING"}) as server:
        assert server.stderr is not None
        address = server.stderr.readline().split("http://")[1].split(",")[0]
        wait_until(lambda: answers(address, "/health/live"))
        server.send_signal(number)
        _, messages = server.communicate(timeout=60)

    assert (server.returncode, messages) == (code, "")


@pytest.mark.parametrize("host", ["nohost.invalid", "203.0.113.1"])
def test_a_host_that_is_not_ours_is_wrong_input(candles: Candles, host: str) -> None:
    result = candles("serve", "--host", host, "--port", "0")

    assert result.exit_code == 2
    assert f"host: cannot listen on {host}" in result.stderr


def test_to_update_nothing_points_to_what_comes_first(candles: Candles) -> None:
    result = candles("update-candles")

    assert result.exit_code == 0
    assert "nothing is followed: begin with candles create-security" in result.stderr


def test_to_update_a_timeframe_that_is_not_followed_names_the_way_out(loaded: Candles) -> None:
    result = loaded("update-candles", "--timeframe", "W1")

    assert result.exit_code == 3
    assert "W1 is not followed: add it with create-security --timeframe first" in result.stderr


def test_a_taken_port_is_wrong_input(candles: Candles) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = candles("serve", "--port", str(taken.getsockname()[1]))

    assert result.exit_code == 2
    assert "another --port" in result.stderr


def test_at_a_terminal_there_are_colours_and_a_bar(
    candles: Candles, environment: Mapping[str, str], tmp_path: Path
) -> None:
    candles("create-security", "TQBR:SBER", "-t", "H1")

    code, shown = run_at_terminal("update-candles", folder=tmp_path, environment=environment)

    assert code == 0
    assert "\x1b[" in shown
    assert "100%" in shown
    assert "━" in shown


def test_help_tells_the_exit_codes() -> None:
    assert "130  interrupted" in CliRunner().invoke(app, ["--help"]).stdout


def test_help_waits_for_nothing_heavy() -> None:
    code = "import sys, app.io.cli; print({'sqlalchemy', 'pydantic', 'aiohttp', 'uvicorn'} & {*sys.modules})"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout == "set()\n"


def test_a_moment_is_written_without_empty_seconds() -> None:
    moments = [Timestamp.from_unix(second) for second in (1_704_265_200, 1_704_265_201)]

    assert [when(moment) for moment in (*moments, None)] == ["2024-01-03 10:00", "2024-01-03 10:00:01", ""]


def test_a_whole_number_loses_its_point_only_where_it_reads_back_equal() -> None:
    assert [repr(plain(number)) for number in (3.0, 0.1, 1e300, 2.0**53)] == [
        "3",
        "0.1",
        "1e+300",
        "9007199254740992.0",
    ]
