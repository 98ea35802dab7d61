"""How values of settings are written, and what is said of the rest."""

import pytest
from pydantic import ValidationError

from app.core.entities import Timeframe
from app.settings import Settings


@pytest.mark.parametrize(
    ("name", "value", "way_out"),
    [
        ("redis_url", "foo:geheim", "redis://localhost:6379/0, or off"),
        ("redis_url", "redis://me:geheim@localhost:abc/0", "port must be a number"),
        ("redis_url", "redis://:geheim@localhost/abc", "database must be a number"),
        ("redis_url", "redis:///0", "names no server"),
        ("iss_url", "iss.moex.com", "like https://iss.moex.com"),
        ("iss_url", "https:///iss", "like https://iss.moex.com"),
        ("iss_rate", "-1", "or off"),
        ("iss_rate", "quickly", "or off"),
        ("default_timeframes", "M1,M7", "'M7': choose of M1, M5"),
    ],
)
def test_a_wrong_value_is_answered_with_the_way_out(name: str, value: str, way_out: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({name: value})

    [error] = caught.value.errors()
    assert way_out in error["msg"]
    assert "geheim" not in error["msg"]


@pytest.mark.parametrize("value", ["inf", "nan", "1e20"])
@pytest.mark.parametrize("name", ["iss_delay", "final_margin", "settle", "tick", "iss_patience", "drain_seconds"])
def test_a_time_without_end_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings.model_validate({name: value})


@pytest.mark.parametrize("name", ["default_since_days", "default_since_days_m1", "unfollow_after_days"])
def test_more_days_than_the_calendar_counts_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings.model_validate({name: "1000000"})


@pytest.mark.parametrize("url", ["redis://localhost", "rediss://me:p@host:6380/2", "unix:///run/redis.sock?db=1"])
def test_addresses_of_redis(url: str) -> None:
    assert Settings(redis_url=url).redis_url == url


def test_words_are_read_in_any_case() -> None:
    settings = Settings.model_validate(
        {
            "iss_url": "http://localhost:1",
            "log_level": "debug",
            "redis_url": "OFF",
            "iss_rate": "Off",
            "default_timeframes": "m1, h1",
        }
    )

    assert (settings.log_level, settings.redis_url, settings.iss_rate) == ("DEBUG", None, None)
    assert settings.default_timeframes == (Timeframe.M1, Timeframe.H1)
