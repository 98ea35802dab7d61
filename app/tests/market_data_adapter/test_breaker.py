from app.market_data_adapter.breaker import Breaker, Breaking, Failure

RULES = Breaking(after=3, rest=30)


def failed(breaker: Breaker, *moments: float, **more: float | None) -> Breaker:
    """Let requests that began at these moments fail at once."""
    for moment in moments:
        breaker = breaker.after_failure(Failure("500", moment, **more), moment, RULES)  # type: ignore[arg-type]  # one number
    return breaker


def probe(breaker: Breaker, now: float) -> Breaker:
    return breaker.after_failure(Failure("500", now, is_probe=True), now, RULES)


def test_failures_in_a_row_open_it() -> None:
    assert not failed(Breaker(), 1, 2).is_open
    assert failed(Breaker(), 1, 2, 3).wait(3) == 30


def test_a_success_between_failures_keeps_it_closed() -> None:
    assert not failed(failed(Breaker(), 1, 2).after_success(is_probe=False), 3, 4).is_open


def test_s9_requests_sent_together_and_pushed_back_together_count_once() -> None:
    breaker = failed(Breaker(), 1, retry_after=2)

    for late in (0.5, 0.6, 0.7):
        breaker = breaker.after_failure(Failure("429", late, retry_after=5), 1.1, RULES)

    assert breaker.failures == 1
    assert breaker.until == 6.1


def test_s9_a_push_back_without_a_wish_of_its_own_pauses_twice_as_long_each_time() -> None:
    breaker, pauses = Breaker(), []
    for _ in range(2):
        now = breaker.until
        breaker = breaker.after_failure(Failure("403", now, is_pushback=True), now, RULES)
        pauses.append(breaker.wait(now))

    assert pauses == [1, 2]


def test_a_failure_that_is_no_push_back_pauses_nobody() -> None:
    assert failed(Breaker(), 5).wait(5) <= 0


def test_a_late_success_does_not_close_it_but_a_probe_does() -> None:
    opened = failed(Breaker(), 1, 2, 3)

    assert opened.after_success(is_probe=False) == opened
    assert opened.after_success(is_probe=True) == Breaker()


def test_a_late_failure_does_not_prolong_it() -> None:
    opened = failed(Breaker(), 1, 2, 3)

    assert failed(opened, 4) == opened


def test_one_probes_and_the_others_wait_for_it() -> None:
    opened = failed(Breaker(), 1, 2, 3)

    probing = opened.entered(40, lease=10)

    assert (opened.wait(40) <= 0, probing.wait(40)) == (True, 10)
    assert probing.left(is_probe=True).wait(40) <= 0


def test_each_failed_probe_doubles_the_rest_up_to_ten_times() -> None:
    breaker, rests = failed(Breaker(), 1, 2, 3), []
    for _ in range(5):
        now = breaker.until
        breaker = probe(breaker, now)
        rests.append(breaker.wait(now))

    assert rests == [60, 120, 240, 300, 300]
