"""What happens in a simulated week, and when: drawn from a seed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from os import environ
from random import Random, SystemRandom

from app.core.date_time import Timestamp
from app.core.entities import Security, Series, Timeframe
from app.core.spans import Period
from app.simulator import sessions
from app.simulator.listings import STOCK, Engine

STEP = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Form:
    """How long, of what, and how much goes wrong.

    `schedulers` and `workers`: how many there are. `away`: how long no process runs; `down`: how long the exchange
    answers with errors; `losses`: how often Redis loses everything.
    """

    begin: Timestamp
    end: Timestamp
    securities: Sequence[Security]
    timeframes: Sequence[Timeframe]
    schedulers: int
    workers: int
    away: timedelta
    down: timedelta
    losses: int
    killed_workers: int
    killed_schedulers: int

    @property
    def series(self) -> list[Series]:
        return [Series(security, timeframe) for security in self.securities for timeframe in self.timeframes]

    @property
    def steps(self) -> list[Timestamp]:
        return [self.begin + n * STEP for n in range((self.end - self.begin) // STEP + 1)]


@dataclass(frozen=True, slots=True)
class Script:
    """A week with its misfortunes; `away` and `down` are half-open periods, the rest are steps."""

    steps: Sequence[Timestamp]
    away: Period
    down: Period
    losses: Sequence[Timestamp]
    killed_workers: Sequence[Timestamp]
    killed_schedulers: Sequence[Timestamp]

    @property
    def misfortunes(self) -> Collection[Timestamp]:
        """The steps at which something is lost or killed."""
        return {*self.losses, *self.killed_workers, *self.killed_schedulers}

    @property
    def summary(self) -> str:
        """Tell in a line what happens, in Moscow time."""
        periods = [f"{name} {_day(period.time_from)} to {_day(period.time_till)}" for name, period in self._periods]
        moments = [f"{name} {', '.join(map(_day, steps))}" for name, steps in self._moments if steps]
        return "; ".join(periods + moments)

    @property
    def _periods(self) -> Sequence[tuple[str, Period]]:
        return ("no process", self.away), ("no answers", self.down)

    @property
    def _moments(self) -> Sequence[tuple[str, Sequence[Timestamp]]]:
        killed = ("a worker killed", self.killed_workers), ("a scheduler killed", self.killed_schedulers)
        return ("Redis lost", self.losses), *killed


def a_seed() -> int:
    """Return WEEK_SEED of the environment, else any."""
    return int(environ.get("WEEK_SEED", SystemRandom().randrange(1 << 32)))


def drawn(form: Form, seed: int) -> Script:
    """Draw when things happen; all but the absence while the exchange trades, so that something is under way."""
    random = Random(seed)
    quiet = timedelta(hours=2)  # at both ends: how it begins and ends hides nothing
    steps = [step for step in form.steps if form.begin + quiet <= step <= form.end - quiet]
    left = random.choice([step for step in steps if step + form.away <= form.end - quiet])
    away = Period(left, left + form.away)
    present = [step for step in steps if step not in away and is_open(STOCK, step)]
    fell = random.choice([step for step in present if not Period(step, step + form.down) & away])
    numbers = (form.losses, form.killed_workers, form.killed_schedulers)
    losses, workers, schedulers = (sorted(random.sample(present, number)) for number in numbers)
    return Script(form.steps, away, Period(fell, fell + form.down), losses, workers, schedulers)


def is_open(engine: Engine, moment: Timestamp) -> bool:
    """Tell whether the exchange trades, by the hours it tells."""
    period = hours(engine, moment.moscow.date())
    return period is not None and moment in period


def hours(engine: Engine, day: date) -> Period | None:
    """Return from when to when the exchange says that it trades; None on a day it is closed."""
    year = date(day.year, 1, 1), date(day.year, 12, 31)
    told = dict(sessions.exceptions(engine, *year, day)).get(day) or sessions.usual_hours(engine, day.weekday(), day)
    if not told.is_open:
        return None
    ends = (datetime.combine(day, time.fromisoformat(wall)) for wall in (told.opens, told.closes))
    return Period(*map(Timestamp.from_moscow, ends))


def _day(moment: Timestamp) -> str:
    return f"{moment.moscow:%d %H:%M}"
