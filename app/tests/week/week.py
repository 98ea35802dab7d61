"""A service of several processes lives through a simulated week; then everything is as if nothing had happened."""

import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

from app.bootstrap import bootstrap
from app.core.schedule import last_night
from app.simulator.clock import SimulatedClock
from app.simulator.server import Simulator
from app.simulator.servers import Redis
from app.tests.journeys.living import assert_nothing_is_lost, follow_since
from app.tests.tasks.comparing import ask
from app.tests.tasks.test_processes import settings_of
from app.tests.week.crew import Crew
from app.tests.week.driver import Driver
from app.tests.week.ideal import Ideal, ideal_of
from app.tests.week.reasons import CHORES, STRANGE, most_repeated, sorted_by_reason
from app.tests.week.script import STEP, Form, drawn
from app.use_cases.looks import seen

HISTORY = timedelta(days=4)
ALLOWED = 1.2
"""Times the requests that it takes."""

AT_ONCE = 8
"""So many tasks run in a worker: what is repeated when it is killed."""


async def live_through(form: Form, seed: int, database_url: str, folder: Path) -> None:
    """Walk through a week with its misfortunes; fail unless it ends well, and nothing was asked without need."""
    since = form.begin - HISTORY
    script = drawn(form, seed)
    _tell(f"seed {seed}: {script.summary}")
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(Redis())
        clock = SimulatedClock(form.begin, stopped=True)
        simulator = await stack.enter_async_context(Simulator(clock=clock).serve())
        environment = _environment(simulator, database_url, redis)
        service = await stack.enter_async_context(bootstrap(settings_of({**environment, "REDIS_URL": "off"})))
        for security in form.securities:
            await follow_since(service, security, since, *form.timeframes)
        simulator.requests.clear()
        crew = Crew(folder, environment, schedulers=form.schedulers, workers=form.workers)
        await stack.enter_async_context(crew)
        driver = Driver(service, simulator, redis, crew, script, Random(seed))
        await driver.walk()
        walked = replace(driver, steps=[*driver.steps], requests=[*driver.requests])
        await ask(service, *form.series)
        await driver.go_to(form.end + STEP)
        await assert_nothing_is_lost(service, simulator)
        assert (await seen(service.storage))["audit_candles"] >= last_night(form.end)
        _assert_asked_rightly(walked, form)


def _assert_asked_rightly(walked: Driver, form: Form) -> None:
    """Nothing was asked but what had become final, was missed or is compared by night, and little more than that."""
    simulator, since, down = walked.simulator, form.begin - HISTORY, walked.script.down
    ideal = sum([ideal_of(simulator, each, since, walked.steps, down) for each in form.series], start=Ideal())
    reasons = sorted_by_reason(walked.requests, form.series, form.steps)
    counts = {reason: len(requests) for reason, requests in sorted(reasons.items())}
    candles = sum(number for reason, number in counts.items() if reason not in CHORES)
    killed = len(walked.script.killed_workers) + form.workers
    _tell(
        f"{candles} requests for candles {counts}, where {ideal.total} would do, {ideal}; {killed} workers were killed"
    )
    assert reasons.get(STRANGE, []) == []
    for name in CHORES:
        assert most_repeated(reasons.get(name, []), hourly=name == "splits") <= 2, name
    assert candles <= ALLOWED * (ideal.total + killed * AT_ONCE)


def _environment(simulator: Simulator, database_url: str, redis: Redis) -> Mapping[str, str]:
    """Let nobody wait for long by the real clock."""
    impatient = {"ISS_ATTEMPTS": "1", "ISS_PATIENCE": "5", "ISS_TOTAL_TIMEOUT": "5", "ISS_BREAK_FOR": "0.2"}
    return impatient | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis.url,
        "ISS_URL": simulator.url,
        "ISS_RATE": "off",
        "ISS_CONCURRENCY": f"{AT_ONCE}",
        "CLOCK": "source",
        "TICK": "0.1",
        "TASK_LEASE": "5",
        "LOG_LEVEL": "ERROR",
    }


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
