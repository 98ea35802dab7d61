"""What settings refuse, and what follows from them."""

import pytest
from pydantic import ValidationError

from app.settings import Settings

ACCOUNT = {"iss_login": "us3r", "iss_password": "p4ssw0rd"}
TOKEN = {"iss_token": "t0ken"}


def settings(**values: object) -> Settings:
    return Settings.model_validate({"_env_file": None, **values})


@pytest.mark.parametrize(
    "url",
    [
        "https://iss.moex.com",
        "https://apim.moex.com",
        "http://ISS.MOEX.COM:443/",
        "https://iss.moex.com./",
        "iss.moex.com",
        "https://moex.com",
        "https://a@iss.moex.com",
    ],
)
@pytest.mark.parametrize("more", [{"iss_rate": "off"}, {"iss_rate": 11}, {"iss_concurrency": 11}], ids=str)
def test_the_exchanges_own_hosts_cannot_be_asked_without_measure(url: str, more: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="own hosts are asked at most 10"):
        settings(iss_url=url, **more)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8010", "http://simulator:8010", "https://notmoex.com"])
def test_a_simulator_may_be_asked_as_quickly_as_it_answers(url: str) -> None:
    assert settings(iss_url=url, iss_rate="off", iss_concurrency=100).iss_rate is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"iss_login": "user"}, "belong together"),
        ({"iss_password": "p4ssw0rd"}, "belong together"),
        ({**ACCOUNT, "iss_token": "p4ssw0rd"}, "not both"),
        ({**ACCOUNT, "iss_login": "us:er"}, "no colon"),
        ({**ACCOUNT, "iss_url": "http://iss.moex.com"}, "unencrypted"),
        ({**ACCOUNT, "iss_passport_url": "http://passport.moex.com/authenticate"}, "unencrypted"),
        ({"iss_url": "https://us3r:p4ssw0rd@iss.moex.com"}, "no password in ISS_URL"),
        ({"iss_token": "p4ssw0rd", "iss_url": "http://apim.moex.com"}, "unencrypted"),
    ],
    ids=str,
)
def test_half_a_sign_in_is_refused_with_the_way_out(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(**values)


def test_nothing_secret_is_shown() -> None:
    shown = f"{settings(**ACCOUNT)!r} {settings(**TOKEN)} {settings(**ACCOUNT).model_dump_json()}"

    assert not [secret for secret in ("us3r", "p4ssw0rd", "t0ken") if secret in shown]


def test_who_signs_in_reads_without_delay_unless_told_otherwise() -> None:
    delays = [settings(**more).delay.total_seconds() for more in ({}, ACCOUNT, {**ACCOUNT, "iss_delay": 60})]

    assert delays == [900, 0, 60]


def test_a_token_has_a_host_of_its_own_and_the_same_source() -> None:
    with_token, elsewhere = settings(**TOKEN), settings(**TOKEN, iss_url="http://localhost:1")

    assert (with_token.exchange_url, with_token.source) == ("https://apim.moex.com", "https://iss.moex.com")
    assert elsewhere.exchange_url == "http://localhost:1"


@pytest.mark.parametrize("cache_url", ["redis://:secret@queue:6379/0", "redis://queue:6379/1"])
def test_a_cache_has_a_redis_of_its_own(cache_url: str) -> None:
    queue = {"redis_url": "redis://queue:6379/0"}

    with pytest.raises(ValidationError, match=r"cache_url\n.*name another one, or off"):
        settings(**queue, cache_url=cache_url)
    assert settings(**queue, cache_url="redis://cache:6379/0").cache_url == "redis://cache:6379/0"
    assert settings(**queue, cache_url="off").cache_url is None
    assert settings(redis_url="off", cache_url=cache_url).cache_url == cache_url
