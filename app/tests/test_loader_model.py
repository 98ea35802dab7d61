"""The loader against a model: whatever crashes, lags, steps back or is corrected, covered means stored, final and true.

Time is counted in minutes after ORIGIN. The model exchange keeps every value a candle ever had; a covered candle must
have the value the exchange showed when it was last read, and after the machine stops, one honest load heals everything.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.core.batches import Rules
from app.core.date_time import Timestamp
from app.core.entities import Candle, CandleSpan, Security, SecurityCard, Series, Timeframe
from app.core.errors import SourceBadAnswerError
from app.core.market_data import SourcePage, Wish
from app.core.pages import CandlePage
from app.core.spans import Period, gaps, merge
from app.core.storage import Circumstances, IStorage, IUnitOfWork, SeriesView
from app.market_data_loader import MarketDataLoader
from app.repository.memory import MemoryStorage
from app.repository.sql import SqlStorage
from app.tests.builders import follow
from app.use_cases.verify import verify

ORIGIN = Timestamp.from_unix(1_704_265_200)
RULES = Rules(delay=timedelta(0), margin=timedelta(0), settle=timedelta(minutes=60), silence=timedelta(0))
LAST = 200
TIMES = settings().max_examples // 100
STEPS = settings().stateful_step_count // 2
_tickers = count()


def minute(number: int) -> Timestamp:
    return ORIGIN + timedelta(minutes=number)


def number_of(moment: Timestamp) -> int:
    return (moment - ORIGIN) // timedelta(minutes=1)


class Crash(Exception):  # noqa: N818  # a death, not an error of ours
    """The process died here."""


class FakeExchange:
    """Trades by minute; answers lag by `lag` minutes, know the time `skew` minutes wrongly, and may be silent once."""

    source = "model"
    delay = timedelta(0)

    def __init__(self, series: Series) -> None:
        self.series = series
        self.minutes = 0
        self.lag = 0
        self.skew = 0
        self.page_rows = 3
        self.silent_answers = 0
        self.may_fail = False
        self.values: dict[int, list[float]] = {}

    async def now(self) -> Timestamp:
        return minute(self.minutes - self.skew)

    def visible(self, begin: int) -> float | None:
        """What an answer shows of a minute: the newest value, less while it forms, nothing of what it knows not yet."""
        known = self.minutes - self.lag
        if begin not in self.values or begin > known:
            return None
        return self.values[begin][-1] if begin < known else self.minutes / 1000

    async def candles(self, _: SecurityCard, __: Timeframe, period: Period) -> AsyncGenerator[SourcePage]:
        as_of = await self.now()
        if self.silent_answers:
            self.silent_answers -= 1
            self.may_fail = True
            yield SourcePage(self._page([]), as_of, is_short=True, is_last=True)
            return
        begins = [
            n for n in range(number_of(period.time_from), number_of(period.time_till)) if self.visible(n) is not None
        ]
        for start in range(0, len(begins) + self.page_rows, self.page_rows):
            await asyncio.sleep(0)
            rows = begins[start : start + self.page_rows]
            yield SourcePage(self._page(rows), as_of, is_short=len(rows) < self.page_rows, is_last=not rows)

    def _page(self, begins: list[int]) -> CandlePage:
        rows = ((minute(n).unix, 1.0, 2.0, 0.5, 1.5, self.visible(n) or 0.0, 1.0, 0) for n in begins)
        return CandlePage.from_rows(self.series, rows)

    async def card(self, security: Security, /) -> SecurityCard:
        raise NotImplementedError

    async def primary_card(self, ticker: str, /) -> SecurityCard:
        raise NotImplementedError

    async def borders(self, card: SecurityCard, /) -> Mapping[Timeframe, Period]:
        del card
        known = [begin for begin in self.values if self.visible(begin) is not None]
        return {Timeframe.M1: Period(minute(min(known)), minute(max(known) + 1))} if known else {}


class DyingStorage:
    """A store whose n-th writer dies before or after its commit, or meets a second writer between fetch and lock."""

    def __init__(self, storage: IStorage, fate: str, transaction: int, rival: Callable[[], Awaitable[None]]) -> None:
        self._storage, self._fate, self._left, self._rival = storage, fate, transaction, rival
        self.batch_rows = 4

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[IUnitOfWork]:
        self._left -= 1
        if self._left == 0 and self._fate == "rival":
            await self._rival()
        async with self._storage.begin() as uow:
            yield uow
            if self._left == 0 and self._fate == "before_commit":
                raise Crash
        if self._left == 0 and self._fate == "after_commit":
            raise Crash

    def read(self):  # type: ignore[no-untyped-def]  # noqa: ANN201  # handed through as it is
        return self._storage.read()

    async def view(self, series: Series, period: Period, /) -> SeriesView:
        return await self._storage.view(series, period)

    async def view_candles(
        self, series: Series, period: Period, window: Period, /, *, limit: int, newest_first: bool = False
    ) -> tuple[SeriesView, CandlePage]:
        return await self._storage.view_candles(series, period, window, limit=limit, newest_first=newest_first)

    async def circumstances(self, series: Series, missing: Sequence[Period], /) -> Circumstances:
        return await self._storage.circumstances(series, missing)

    async def lead(self, name: str, holder: str, /, *, seconds: float) -> bool:
        return await self._storage.lead(name, holder, seconds=seconds)

    async def check(self, source: str, /) -> None: ...
    async def close(self) -> None: ...


class LoaderMachine(RuleBasedStateMachine):
    """Drives the real loader over a real store."""

    def __init__(self, open_storage: Callable[[], IStorage]) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.storage = open_storage()
        self.series = Series(Security(f"T{next(_tickers)}", "TQBR"), Timeframe.M1)
        self.exchange = FakeExchange(self.series)
        self.corrected: set[int] = set()
        self.told: dict[int, list[float]] = {}

    @initialize(length=st.integers(0, 150), silent=st.integers(0, 2**150))
    def begin(self, length: int, silent: int) -> None:
        self.runner.run(follow(self.storage, self.series))
        self._pass(length, silent)

    @rule(length=st.integers(1, 40), silent=st.integers(0, 2**41))
    def time_passes(self, length: int, silent: int) -> None:
        self._pass(length, silent)

    def _pass(self, length: int, silent: int) -> None:
        """Let minutes pass; bit n says whether minute n has no trade, the last one being the minute that now begins."""
        for passed in range(length):
            self._trade(silent >> passed & 1)
            self.exchange.minutes += 1
        self._trade(silent >> length & 1)

    def _trade(self, is_silent: int) -> None:
        if not is_silent:
            self.exchange.values.setdefault(self.exchange.minutes, [10.0])

    @rule()
    def a_forming_bar_is_taken_back(self) -> None:
        self.exchange.values.pop(self.exchange.minutes, None)

    @rule(lag=st.integers(0, 50))
    def the_source_lags(self, lag: int) -> None:
        self.exchange.lag = lag

    @rule(skew=st.integers(0, 30))
    def a_clock_steps(self, skew: int) -> None:
        self.exchange.skew = skew

    @rule(times=st.integers(1, 4))
    def the_source_answers_nothing(self, times: int) -> None:
        self.exchange.silent_answers = times

    @rule(
        begin=st.integers(0, LAST),
        length=st.integers(1, LAST),
        page_rows=st.integers(1, 7),
        fate=st.sampled_from(["lives", "before_commit", "after_commit", "rival"]),
        transaction=st.integers(1, 3),
    )
    def load(self, begin: int, length: int, page_rows: int, fate: str, transaction: int) -> None:
        self.exchange.page_rows = page_rows
        wish = Wish(self.series, Period(minute(begin), minute(min(begin + length, self.exchange.minutes + 1))))
        forming: dict[int, Candle] = {}

        async def rival() -> None:
            self._pass(3, 0b0100)
            await self._load(self.storage, self._whole)
            forming.update((await self._stored())[1])

        try:
            self.runner.run(self._load(DyingStorage(self.storage, fate, transaction, rival), wish))
        except* Crash:
            pass
        _, candles = self.runner.run(self._stored())
        for number, candle in forming.items():
            values = replace(candle, is_final=candles[number].is_final)
            assert candles[number] == values, "an older answer overwrote a newer one"  # I15

    @rule()
    def update(self) -> None:
        self.runner.run(self._load(self.storage, self._whole))

    @rule(begin=st.integers(0, LAST))
    def two_processes_load_at_once(self, begin: int) -> None:
        wish = Wish(self.series, Period(minute(begin), minute(max(begin, self.exchange.minutes + 1))))

        async def both() -> None:
            await asyncio.gather(self._load(self.storage, wish), self._load(self.storage, wish))

        self.runner.run(both())

    @rule(which=st.integers(0, LAST), length=st.integers(0, 30))
    def the_exchange_corrects_and_a_gap_may_be_opened_again(self, which: int, length: int) -> None:
        if (number := self._ended(which)) is not None:
            self.exchange.values[number].append(10.0 + len(self.exchange.values[number]))
            self._contradict(number, length)

    @rule(which=st.integers(0, LAST), length=st.integers(0, 30))
    def a_candle_vanishes_and_a_gap_may_be_opened_again(self, which: int, length: int) -> None:
        if (number := self._ended(which)) is not None:
            self.told.setdefault(number, []).extend(self.exchange.values.pop(number))
            self._contradict(number, length)

    @rule(which=st.integers(0, LAST))
    def a_vanished_candle_comes_back(self, which: int) -> None:
        gone = sorted(self.told.keys() - self.exchange.values.keys())
        if gone:
            number = gone[which % len(gone)]
            self.exchange.values[number] = [*self.told[number]]
            self._contradict(number, 0)

    def _ended(self, which: int) -> int | None:
        known = [number for number in sorted(self.exchange.values) if number < self.exchange.minutes]
        return known[which % len(known)] if known else None

    def _contradict(self, number: int, length: int) -> None:
        """Let the exchange say other than before; open a gap of twice that length around it."""
        self.corrected.add(number)
        self.exchange.may_fail = True  # a candle that was known is not there any more
        if length:
            self.runner.run(self._uncover(minute(number - length), minute(number + length)))

    async def _uncover(self, time_from: Timestamp, time_till: Timestamp) -> None:
        async with self.storage.begin() as uow:
            await uow.spans.remove([CandleSpan(self.series.security, self.series.timeframe, time_from, time_till)])

    async def _load(self, storage: IStorage, wish: Wish) -> None:
        outcome = await MarketDataLoader(storage, self.exchange, self.exchange, rules=RULES, workers=2).load([wish])
        assert all(isinstance(failure, SourceBadAnswerError) for failure in outcome.failures.values())
        assert self.exchange.may_fail or not outcome.failures

    async def _stored(self) -> tuple[list[Period], dict[int, Candle]]:
        async with self.storage.read() as uow:
            spans = [Period(span.time_from, span.time_till) async for span in uow.spans.filter_by_series(self.series)]
            candles = {number_of(c.timestamp): c async for c in uow.candles.filter_by_series(self.series)}
        return spans, candles

    @invariant()
    def covered_means_stored_final_and_true(self) -> None:
        spans, candles = self.runner.run(self._stored())
        assert spans == merge(spans)  # I2
        for span in spans:
            assert number_of(span.time_till) <= self.exchange.minutes  # I4
            for number in range(number_of(span.time_from), number_of(span.time_till)):
                values = self.exchange.values.get(number)
                assert (number in candles) == (values is not None) or number in self.corrected, number  # I3, I7
                if values is not None and number in candles:
                    assert candles[number].is_final
                    assert candles[number].volume == values[-1] or number in self.corrected
        for number, candle in candles.items():
            told = [*self.exchange.values.get(number, []), *self.told.get(number, [])]
            assert not candle.is_final or candle.volume in told  # nothing invented (I6)
            assert not candle.is_final or number < self.exchange.minutes

    def teardown(self) -> None:
        self.exchange.lag = self.exchange.skew = self.exchange.silent_answers = 0
        self.exchange.may_fail = False
        self._pass(100, ~1)  # a trade, and silence
        try:
            self.runner.run(self._uncover(minute(0), minute(self.exchange.minutes)))
            for _ in range(4):  # what vanished is believed at the second sight, later for each time it was in doubt
                self.update()
                self._pass(45, ~0)
            spans, candles = self.runner.run(self._stored())
            assert gaps(spans, Period(minute(0), minute(self.exchange.minutes - 120))) == []  # I10
            ended = {n: values[-1] for n, values in self.exchange.values.items() if n < self.exchange.minutes}
            assert {n: candle.volume for n, candle in candles.items() if candle.is_final} == ended
            assert self.runner.run(verify(self.storage)) == []
        finally:
            self.runner.run(self.storage.close())
            self.runner.close()

    @property
    def _whole(self) -> Wish:
        return Wish(self.series, Period(minute(0), minute(self.exchange.minutes + 1)))


def test_covered_stays_true_in_memory() -> None:
    run_state_machine_as_test(
        lambda: LoaderMachine(MemoryStorage),  # type: ignore[arg-type]  # a factory will do
        settings=settings(max_examples=TIMES * 150, stateful_step_count=STEPS, deadline=None),
    )


def test_covered_stays_true_in_sql(database_url: str) -> None:
    run_state_machine_as_test(
        lambda: LoaderMachine(lambda: SqlStorage.open(database_url)),  # type: ignore[arg-type]  # a factory will do
        settings=settings(
            max_examples=TIMES * 12,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        ),
    )
