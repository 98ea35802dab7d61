"""Splits, renames and moves as values."""

from dataclasses import replace
from datetime import date

import pytest

from app.core.corporate_actions import BoardMove, Chains, FormerName, Lineage, NextName, Rename, Split, factors_of
from app.core.date_time import Timestamp
from app.core.entities import Security, SecurityCard
from app.tests.builders import SBER, T0, a_card

TCSG = Rename("TCSG", "T", date(2024, 11, 28))
BEFORE = Rename("TCS", "TCSG", date(2020, 1, 10))
MERGED = Rename("HYDR-041D", "HYDR", date(2014, 7, 14))
T = replace(a_card(Security("T", "TQBR")), history_from=date(2024, 11, 28))


def lineage_of(card: SecurityCard, renames: list[Rename], moves: list[BoardMove]) -> Lineage:
    return Chains(renames, moves).of(card)


def a_split(day: date, factor: float) -> Split:
    return Split(SBER, day, factor, T0)


def test_a_price_may_have_seen_any_of_the_splits_after_it() -> None:
    splits = [a_split(date(2024, 1, 2), 7), a_split(date(2024, 2, 1), 2), a_split(date(2024, 3, 1), 0.5)]

    assert factors_of(splits, Timestamp.midnight(date(2024, 2, 29))) == (2,)
    assert factors_of(splits, Timestamp.midnight(date(2024, 1, 2))) == (0.5, 2)
    assert factors_of([splits[0], splits[1]], Timestamp.midnight(date(2024, 1, 1))) == (1 / 14, 1 / 7, 1 / 2)
    assert factors_of(splits, Timestamp.midnight(date(2024, 3, 1))) == ()


def test_names_are_followed_back() -> None:
    assert lineage_of(T, [TCSG, BEFORE, MERGED], []).formerly == (
        FormerName("TCSG", date(2024, 11, 27)),
        FormerName("TCS", BEFORE.day),
    )


@pytest.mark.parametrize("listed", [date(2024, 11, 27), date(2024, 11, 28)])
def test_cards_tell_which_day_a_rename_is_listed_with(listed: date) -> None:
    rename = replace(TCSG, day=listed)
    old = replace(a_card(Security("TCSG", "TQBR")), is_traded=False, history_till=date(2024, 11, 27))

    assert lineage_of(T, [rename], []).formerly == (FormerName("TCSG", date(2024, 11, 27)),)
    assert lineage_of(old, [rename], []).continues == NextName("T", date(2024, 11, 28))


def test_an_issue_that_was_merged_is_no_former_name() -> None:
    assert lineage_of(a_card(Security("HYDR", "TQBR")), [MERGED], []) == Lineage()


def test_who_takes_an_old_ticker_later_did_not_become_another() -> None:
    newcomer = replace(a_card(Security("TCSG", "TQBR")), history_from=date(2026, 1, 12))

    assert lineage_of(newcomer, [TCSG], []).continues is None


def test_who_was_gone_before_a_ticker_was_given_again_was_nobody_else() -> None:
    gone = replace(T, is_traded=False, history_from=None, history_till=date(2022, 3, 1))

    assert lineage_of(gone, [TCSG], []).formerly == ()


def test_names_that_go_round_in_circles_end() -> None:
    there, back = Rename("A", "B", date(2020, 1, 1)), Rename("B", "A", date(2021, 1, 1))

    assert lineage_of(a_card(Security("A", "TQBR")), [there, back], []).formerly == (
        FormerName("B", back.day),
        FormerName("A", there.day),
    )


@pytest.mark.parametrize("ticker", ["SBER", "GAZP"])
def test_moves_are_those_of_the_ticker(ticker: str) -> None:
    move = BoardMove("SBER", "TQTF", "TQBR", date(2026, 6, 1))

    assert lineage_of(a_card(Security(ticker, "TQBR")), [], [move]).moves == (move,) * (ticker == "SBER")
