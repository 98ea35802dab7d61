"""The generated market: deterministic, plausible, adding up exactly."""

import hashlib
import os
import subprocess
import sys
from datetime import date, datetime
from functools import reduce
from itertools import pairwise
from operator import add

import pytest

from app.core.entities import Timeframe
from app.simulator import sessions, slots
from app.simulator.generated import GeneratedTape
from app.simulator.iss import row_values
from app.simulator.listings import INDEX, LISTINGS, SHARES, Listing
from app.simulator.tape import Window, begin_of, page

LATER = datetime(2024, 12, 31)  # the tape speaks Moscow wall time
WEEKS = Window("2024-04-22 00:00:00", "2024-05-12 23:59:59")
TICKERS = [f"{listing.ticker}@{listing.board.code}" for listing in LISTINGS if listing.is_listed(date(2024, 5, 6))]


TAPE = GeneratedTape()
GOLDEN = ["e7f9d8441c3aeaec", "565ec52b0305e124"]
"""What seed 0 has always given: who changes the generator changes what every benchmark was measured on."""


def listed(name: str, tape: GeneratedTape = TAPE) -> Listing:
    ticker, _, board = name.partition("@")
    return next(each for each in tape.find(ticker) if board in ("", each.board.code))


def rows(name: str, timeframe: Timeframe, window: Window = WEEKS, *, tape: GeneratedTape = TAPE) -> list[str]:
    return page(tape.chunks(listed(name, tape), timeframe, window, LATER), size=1_000_000)


def digest(ticker: str, seed: int = 0) -> str:
    text = "\n".join(rows(ticker, Timeframe.M1, tape=GeneratedTape(seed)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fold(parts: list[str]) -> list[float]:
    """Open, close, high, low, value, volume of a bar made of these."""
    bars = [[float(str(value)) for value in row_values(part)[:6]] for part in parts]
    opens, closes, highs, lows, values, volumes = zip(*bars, strict=True)
    return [opens[0], closes[-1], max(highs), min(lows), reduce(add, values), reduce(add, volumes)]


def test_a_day_is_the_same_in_every_process_and_python() -> None:
    program = "from app.tests.simulator.test_market import digest; print(digest('SBER'), digest('SU26238RMFS4'))"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}

    printed = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )

    assert printed.stdout.split() == [digest("SBER"), digest("SU26238RMFS4")] == GOLDEN


def test_another_seed_and_another_ticker_are_another_market() -> None:
    assert len({digest("SBER"), digest("SBER", seed=1), digest("GAZP"), digest("SIM001"), digest("SIM002")}) == 5


@pytest.mark.parametrize("name", TICKERS)
@pytest.mark.parametrize(
    ("short", "long"),
    [
        (Timeframe.M1, Timeframe.M10),
        (Timeframe.M10, Timeframe.H1),
        (Timeframe.H1, Timeframe.D1),
        (Timeframe.D1, Timeframe.W1),
    ],
)
def test_bars_add_up_exactly(name: str, short: Timeframe, long: Timeframe) -> None:
    parts: dict[str, list[str]] = {}
    for row in rows(name, short):
        begin = slots.floor(long, datetime.fromisoformat(begin_of(row)))
        parts.setdefault(begin.isoformat(sep=" "), []).append(row)

    longer = {begin_of(row): row_values(row)[:6] for row in rows(name, long)}

    assert longer == {begin: fold(some) for begin, some in parts.items()}
    assert len(longer) > 2


@pytest.mark.parametrize("timeframe", [Timeframe.MN1, Timeframe.Q1])
def test_months_and_quarters_add_up_exactly(timeframe: Timeframe) -> None:
    window = Window("2024-01-01 00:00:00", "2024-06-30 23:59:59")
    parts: dict[str, list[str]] = {}
    for row in rows("GAZP", Timeframe.D1, window):
        begin = slots.floor(timeframe, datetime.fromisoformat(begin_of(row)))
        parts.setdefault(begin.isoformat(sep=" "), []).append(row)

    longer = {begin_of(row): row_values(row)[:6] for row in rows("GAZP", timeframe, window)}

    assert longer == {begin: fold(some) for begin, some in parts.items()}


@pytest.mark.parametrize("name", TICKERS)
def test_prices_are_ticks_in_order_and_volumes_lots(name: str) -> None:
    listing = listed(name)

    for row in rows(name, Timeframe.M1):
        opened, close, high, low, value, volume = (float(str(each)) for each in row_values(row)[:6])
        assert 0 < low <= min(opened, close) <= max(opened, close) <= high
        assert all(round(price, listing.decimals) == price for price in (opened, close, high, low))
        assert volume % listing.lot == 0
        assert (volume > 0) is (listing.board.market is not INDEX)
        assert (value > 0) is (listing.board.code != "RFUD")


def test_minutes_without_trades_are_absent_more_so_for_a_bond() -> None:
    day = Window("2024-05-06 00:00:00", "2024-05-06 23:59:59")
    minutes = len(sessions.minutes(SHARES, date(2024, 5, 6)))

    share, bond, index = (len(rows(name, Timeframe.M1, day)) for name in ("SBER", "SU26238RMFS4", "IMOEX"))

    assert bond < minutes / 2 < minutes * 0.95 < share < index == minutes


def test_weekends_and_holidays_have_no_bars_and_a_working_saturday_has() -> None:
    days = {begin_of(row)[:10] for row in rows("SBER", Timeframe.M1)}

    assert "2024-04-27" in days
    assert days.isdisjoint({"2024-04-28", "2024-05-01", "2024-05-04", "2024-05-05", "2024-05-09", "2024-05-11"})


def test_the_first_bar_is_on_the_day_of_listing_and_the_last_on_the_last_day() -> None:
    first, last = (
        page(TAPE.chunks(listed("YNDX"), Timeframe.M1, Window(), LATER, reverse=newest), size=1, reverse=newest)
        for newest in (False, True)
    )

    assert (begin_of(first[0])[:10], begin_of(last[0])[:10]) == ("2014-06-04", "2024-06-14")


def test_years_look_like_years() -> None:
    window = Window("2022-06-01 00:00:00")
    closes = [float(str(row_values(row)[1])) for row in rows("SBER", Timeframe.D1, window)]
    moves = [abs(after / before - 1) for before, after in pairwise(closes)]

    assert max(closes) > 1.3 * min(closes)
    assert 0.002 < sum(moves) / len(moves) < 0.03
    assert max(moves) < 0.2
