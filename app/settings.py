"""Everything that can be set from outside. The only reader of the environment; `.env.example` explains each value."""

from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.core.entities import Timeframe
from app.setting_values import http_address, or_off, positive_or_off, redis_address, timeframes, upper

_ISS = "https://iss.moex.com"
_APIM = "https://apim.moex.com"
_HIGHEST_RATE = 10
_HIGHEST_CONCURRENCY = 10
_DAY = 24 * 3600
_YEAR = 366 * _DAY

Seconds = Annotated[float, Field(le=_YEAR)]
"""What is longer is a slip, and what has no end (`inf`) no time that can be counted with."""

Days = Annotated[int, Field(le=36_525)]
"""At most a century: there was no exchange before."""


class Settings(BaseSettings):
    """Read from the environment, then from a `.env` file beside the program, then the defaults."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    database_url: str = Field("sqlite:///candles.db", repr=False)
    redis_url: Annotated[str | None, BeforeValidator(redis_address), BeforeValidator(or_off)] = Field(None, repr=False)
    cache_url: Annotated[str | None, BeforeValidator(redis_address), BeforeValidator(or_off)] = Field(None, repr=False)

    iss_url: str = _ISS
    source_name: str | None = None
    clock: Literal["system", "source"] = "system"

    iss_rate: Annotated[float | None, BeforeValidator(positive_or_off)] = 5
    iss_concurrency: int = Field(4, ge=1, le=100)
    iss_share_processes: int = Field(4, ge=1)
    iss_break_after: int = Field(5, ge=1)
    iss_break_for: float = Field(30, gt=0, le=300)
    iss_total_timeout: Seconds = Field(30, gt=0)
    iss_connect_timeout: Seconds = Field(10, gt=0)
    iss_read_timeout: Seconds = Field(15, gt=0)
    iss_attempts: int = Field(5, ge=1)
    iss_patience: Seconds = Field(120, gt=0)
    iss_max_body: int = Field(16 * 1024 * 1024, gt=0)
    iss_delay: Seconds | None = Field(None, ge=0)

    iss_login: SecretStr | None = None
    iss_password: SecretStr | None = Field(None, validate_default=True)
    iss_token: SecretStr | None = None
    iss_passport_url: str = "https://passport.moex.com/authenticate"

    final_margin: Seconds = Field(60, ge=0)
    settle: Seconds = Field(_DAY, ge=0)
    load_workers: int | None = Field(None, ge=1)

    default_timeframes: Annotated[tuple[Timeframe, ...], NoDecode, BeforeValidator(timeframes)] = (
        Timeframe.M1,
        Timeframe.M10,
        Timeframe.H1,
        Timeframe.D1,
    )
    default_since_days: Days = Field(365, ge=1)
    default_since_days_m1: Days = Field(30, ge=1)

    follow_on_query: bool = True
    follow_limit: int = Field(100, ge=0)
    unfollow_after_days: Annotated[Days | None, BeforeValidator(or_off)] = Field(None, ge=1)

    tick: float = Field(10, gt=0, le=_DAY)
    task_lease: int = Field(60, ge=1, le=_DAY)

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    drain_seconds: Seconds = Field(0, ge=0)
    notify_socket: str | None = None
    answer_cache_mb: int = Field(64, ge=0)
    cache_ttl: int = Field(_DAY, ge=1, le=_YEAR)
    metrics: bool = False
    metrics_port: int | None = Field(None, ge=1, le=65535)
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(upper)] = "INFO"

    _http = field_validator("iss_url")(http_address)

    @field_validator("cache_url")
    @classmethod
    def _is_of_its_own(cls, cache_url: str | None, info: ValidationInfo) -> str | None:
        """Keep the queue's Redis from being filled and emptied as a cache is."""
        places = [urlsplit(url) for url in (cache_url, info.data.get("redis_url")) if url]
        hosts = {(place.netloc.rpartition("@")[2] or place.path) for place in places}
        if len(places) > len(hosts):
            raise ValueError("the queue of REDIS_URL must not share its Redis with a cache: name another one, or off")
        return cache_url

    @field_validator("iss_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        if urlsplit(url).password is not None:
            raise ValueError("no password in ISS_URL, which errors quote: ISS_LOGIN and ISS_PASSWORD are for that")
        return url.rstrip("/")

    @field_validator("iss_rate", "iss_concurrency")
    @classmethod
    def _is_polite(cls, value: float | None, info: ValidationInfo) -> float | None:
        """Keep people from having the exchange block them."""
        highest = _HIGHEST_RATE if info.field_name == "iss_rate" else _HIGHEST_CONCURRENCY
        if _is_of_the_exchange(info.data.get("iss_url", _ISS)) and (value is None or value > highest):
            raise ValueError(
                f"the exchange's own hosts are asked at most {highest}; {value or 'off'} is for a simulator"
            )
        return value

    @field_validator("iss_password")
    @classmethod
    def _is_complete(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (password is None) != (info.data.get("iss_login") is None):
            raise ValueError("ISS_LOGIN and ISS_PASSWORD belong together: one of them is not set")
        return password

    @field_validator("iss_token")
    @classmethod
    def _is_alone(cls, token: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if token and info.data.get("iss_login"):
            raise ValueError("either an account (ISS_LOGIN, ISS_PASSWORD) or a token (ISS_TOKEN), not both")
        return token

    @field_validator("iss_login", "iss_token")
    @classmethod
    def _is_encrypted(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        url = info.data.get("iss_url", _ISS)
        if secret and _is_of_the_exchange(url) and not url.lower().startswith("https://"):
            raise ValueError(f"nothing secret is sent to {url} unencrypted: ISS_URL needs https")
        if secret and info.field_name == "iss_login" and ":" in secret.get_secret_value():
            raise ValueError("a login has no colon")
        return secret

    @field_validator("iss_passport_url")
    @classmethod
    def _is_encrypted_too(cls, url: str) -> str:
        if _is_of_the_exchange(url) and not url.lower().startswith("https://"):
            raise ValueError(f"no password is sent to {url} unencrypted: it needs https")
        return url

    @property
    def is_signed_in(self) -> bool:
        """Tell whether we are somebody to the exchange."""
        return self.iss_login is not None or self.iss_token is not None

    @property
    def exchange_url(self) -> str:
        """Where the exchange is asked: holders of a token have a host of their own, unless ISS_URL says otherwise."""
        return _APIM if self.iss_token and self.iss_url == _ISS else self.iss_url

    @property
    def delay(self) -> timedelta:
        """By how much the exchange's answers trail the market; who signs in and is not let in gets none at all."""
        late = 0 if self.is_signed_in else 15 * 60
        return timedelta(seconds=late if self.iss_delay is None else self.iss_delay)

    @property
    def lanes(self) -> int:
        """How many windows are read at once: some prepare their next question while others wait for the exchange."""
        return self.load_workers or self.iss_concurrency + max(1, self.iss_concurrency // 4)

    @property
    def tasks_at_once(self) -> int:
        """How many tasks a process runs: while some write, others should wait for the exchange."""
        return self.load_workers or 2 * self.iss_concurrency

    @property
    def source(self) -> str:
        """The name under which a store remembers the exchange it was filled from."""
        return self.source_name or self.iss_url

    def default_since(self, timeframe: Timeframe) -> timedelta:
        """How far back a series begins when nobody says otherwise."""
        return timedelta(days=self.default_since_days_m1 if timeframe.base is Timeframe.M1 else self.default_since_days)


def _is_of_the_exchange(url: str) -> bool:
    host = (urlsplit(url if "//" in url else f"//{url}").hostname or "").rstrip(".")
    return host == "moex.com" or host.endswith(".moex.com")
