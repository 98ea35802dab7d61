"""The commands that load, show and check candles."""

import csv
import io
import json
from datetime import timedelta

import pytest

from app.core.entities import Timeframe
from app.simulator.fault_kinds import BadRow, Revise, Split, Status
from app.simulator.faults import Match
from app.simulator.server import Simulator
from app.tests.io.conftest import Candles, truth


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


def test_an_audit_names_the_bar_in_which_the_exchange_contradicts_itself(candles: Candles, exchange: Simulator) -> None:
    candles("create-security", "TQBR:SBER", "-t", "M1", "-t", "M10", "--since", "2024-05-14")
    exchange.faults.add(Revise(match=Match(interval=10), begin="2024-05-14 12:10:00", values={"volume": 1}))
    assert candles("update-candles").exit_code == 0
    assert candles("verify").exit_code == 0
    candles("create-security", "TQBR:GAZP", "-t", "M1", "--since", "2024-05-14")
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


def test_to_update_nothing_points_to_what_comes_first(candles: Candles) -> None:
    result = candles("update-candles")

    assert result.exit_code == 0
    assert "nothing is followed: begin with candles create-security" in result.stderr


def test_to_update_a_timeframe_that_is_not_followed_names_the_way_out(loaded: Candles) -> None:
    result = loaded("update-candles", "--timeframe", "W1")

    assert result.exit_code == 3
    assert "W1 is not followed: add it with create-security --timeframe first" in result.stderr
