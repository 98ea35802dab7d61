from app.core.pages import CandlePage, Row
from app.io import charts
from app.tests.builders import SBER_D1, T0

DAY = 86_400


def drawn(*prices: tuple[float, float, float, float], height: int = 4) -> list[str]:
    rows: list[Row] = [(T0.unix + n * DAY, *each, 10.0, 15.0, 1) for n, each in enumerate(prices)]
    return [line.plain for line in charts.draw(CandlePage.from_rows(SBER_D1, rows), height=height)]


def test_bodies_are_heavy_and_wicks_light() -> None:
    lines = drawn((2.0, 7.0, 0.0, 5.0))

    assert [line[-1] for line in lines[:-1]] == ["│", "┃", "┃", "│"]


def test_half_a_cell_is_drawn_too() -> None:
    lines = drawn((1.0, 7.0, 0.0, 6.0))

    assert [line[-1] for line in lines[:-1]] == ["╽", "┃", "┃", "╿"]


def test_prices_stand_at_the_left_and_times_below() -> None:
    lines = drawn(*[(2.0, 7.0, 0.0, 5.0)] * 40)

    assert lines[0].startswith("7.00 ")
    assert lines[-2].startswith("0.00 ")
    assert lines[-1].split() == ["2024-01-03", "10:00", "2024-02-11", "10:00"]


def test_a_price_that_never_moved_is_a_line() -> None:
    assert drawn((1.0, 1.0, 1.0, 1.0))[-2][-1] == "╻"


def test_only_as_many_as_fit_are_drawn() -> None:
    lines = drawn(*[(2.0, 7.0, 0.0, 5.0)] * 500)

    assert {len(line) for line in lines} == {len("7.00 ") + charts.WIDTH}


def test_nothing_is_drawn_of_nothing() -> None:
    assert drawn() == []
