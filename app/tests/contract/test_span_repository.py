"""What every repository of spans owes the core."""

import random
from itertools import pairwise

import pytest

from app.core.entities import CandleSpan
from app.core.repository import ISpanRepository
from app.core.spans import Period
from app.core.storage import IStorage
from app.tests.builders import GAZP_M1, SBER_D1, SBER_M1, a_span, follow, minute


async def listed(spans: ISpanRepository) -> list[CandleSpan]:
    return [span async for span in spans]


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ([(0, 2), (5, 7)], [(0, 2), (5, 7)]),
        ([(5, 7), (0, 2)], [(0, 2), (5, 7)]),
        ([(0, 2), (2, 4)], [(0, 4)]),
        ([(0, 3), (1, 5)], [(0, 5)]),
        ([(0, 9), (2, 4)], [(0, 9)]),
        ([(0, 2), (4, 6), (8, 9), (1, 8)], [(0, 9)]),
        ([(3, 3), (5, 4)], []),
    ],
)
async def test_spans_stay_in_normal_form(
    storage: IStorage, added: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        for ends in added:
            await writer.spans.add([a_span(*ends)])
        one_by_one = await listed(writer.spans)
        await writer.spans.clear()
        await writer.spans.add([a_span(*ends) for ends in added])
        together = await listed(writer.spans)

    assert one_by_one == together == [a_span(*ends) for ends in expected]


@pytest.mark.parametrize(
    ("removed", "expected"),
    [
        ([(2, 4)], [(0, 2), (4, 6), (8, 9)]),
        ([(0, 6)], [(8, 9)]),
        ([(0, 1), (5, 9)], [(1, 5)]),
        ([(6, 8)], [(0, 6), (8, 9)]),
        ([(-5, 99)], []),
    ],
)
async def test_spans_that_reach_beyond_what_is_removed_are_cut(
    storage: IStorage, removed: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        await writer.spans.add([a_span(0, 6), a_span(8, 9)])
        await writer.spans.remove([a_span(*ends) for ends in removed])

        assert await listed(writer.spans) == [a_span(*ends) for ends in expected]


async def test_series_do_not_see_each_others_spans(storage: IStorage) -> None:
    await follow(storage, SBER_M1, SBER_D1, GAZP_M1)
    async with storage.begin() as writer:
        await writer.spans.add([a_span(0, 2), a_span(1, 3, GAZP_M1), a_span(2, 4, SBER_D1)])
        await writer.spans.remove([a_span(0, 1), a_span(0, 9, SBER_D1)])

        assert await listed(writer.spans) == [a_span(1, 3, GAZP_M1), a_span(1, 2)]
        assert await listed(writer.spans.filter_by_series(SBER_M1)) == [a_span(1, 2)]
        assert await writer.spans.filter_by_series(GAZP_M1).count() == 1


async def test_removing_from_a_series_without_a_row_does_not_matter(storage: IStorage) -> None:
    async with storage.begin() as writer:
        await writer.spans.remove([a_span(0, 1)])

        assert await writer.spans.count() == 0


async def test_touching_is_overlapping_or_adjoining(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        await writer.spans.add([a_span(0, 2), a_span(4, 6), a_span(8, 9)])
        touching = writer.spans.filter_by_series(SBER_M1).filter_touching(Period(minute(2), minute(4)))

        assert await listed(touching) == [a_span(0, 2), a_span(4, 6)]
        assert await listed(writer.spans[1:]) == [a_span(4, 6), a_span(8, 9)]


async def test_clear_removes_what_the_subset_stands_for(storage: IStorage) -> None:
    await follow(storage, SBER_M1, GAZP_M1)
    async with storage.begin() as writer:
        await writer.spans.add([a_span(0, 2), a_span(0, 2, GAZP_M1)])
        await writer.spans.filter_by_series(SBER_M1).clear()

        assert await listed(writer.spans) == [a_span(0, 2, GAZP_M1)]


async def test_spans_are_as_a_set_of_minutes(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    dice = random.Random(20240103)
    covered: set[int] = set()
    async with storage.begin() as writer:
        for _ in range(60):
            start = dice.randrange(40)
            minutes = set(range(start, start + dice.randrange(1, 8)))
            span = a_span(start, start + len(minutes))
            if dice.random() < 0.6:
                covered |= minutes
                await writer.spans.add([span])
            else:
                covered -= minutes
                await writer.spans.remove([span])
            spans = await listed(writer.spans)

            assert {n for n in range(50) for span in spans if span.time_from <= minute(n) < span.time_till} == covered
            assert all(a.time_till < b.time_from for a, b in pairwise(spans))


async def test_the_last_end_of_each_series_is_found(storage: IStorage) -> None:
    await follow(storage, SBER_M1, SBER_D1, GAZP_M1)
    async with storage.begin() as writer:
        assert await writer.spans.ends() == {}
        await writer.spans.add([a_span(5, 7), a_span(0, 2), a_span(1, 3, SBER_D1), a_span(8, 9, GAZP_M1)])

    async with storage.read() as reader:
        of_sber = {SBER_M1: minute(7), SBER_D1: minute(3)}
        assert await reader.spans.ends() == {**of_sber, GAZP_M1: minute(9)}
        assert await reader.spans.ends([SBER_M1.security]) == of_sber
        assert await reader.spans.filter_by_series(SBER_M1).ends() == {SBER_M1: minute(7)}
        assert await reader.spans.filter_touching(Period(minute(0), minute(1))).ends() == {
            SBER_M1: minute(2),
            SBER_D1: minute(3),
        }
        with pytest.raises(TypeError, match="slice last"):
            await reader.spans[:1].ends()
