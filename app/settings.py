"""Everything that can be set from outside. The only reader of the environment; `.env.example` explains each value."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.core.entities import Timeframe
from app.setting_values import http_address, or_off, positive_or_off, redis_address, timeframes, upper


class Settings(BaseSettings):
    """Read from the environment, then from a `.env` file beside the program, then the defaults."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    database_url: str = Field("sqlite:///candles.db", repr=False)
    redis_url: Annotated[str | None, BeforeValidator(redis_address), BeforeValidator(or_off)] = Field(None, repr=False)

    iss_url: str = "https://iss.moex.com"
    source_name: str | None = None
    clock: Literal["system", "source"] = "system"

    iss_rate: Annotated[float | None, BeforeValidator(positive_or_off)] = 5
    iss_concurrency: int = Field(4, ge=1, le=100)
    iss_total_timeout: float = Field(30, gt=0)
    iss_connect_timeout: float = Field(10, gt=0)
    iss_read_timeout: float = Field(15, gt=0)
    iss_attempts: int = Field(5, ge=1)
    iss_patience: float = Field(120, gt=0)
    iss_max_body: int = Field(16 * 1024 * 1024, gt=0)
    iss_delay: float = Field(15 * 60, ge=0)

    final_margin: float = Field(60, ge=0)
    settle: float = Field(24 * 3600, ge=0)
    load_workers: int = Field(8, ge=1)

    default_timeframes: Annotated[tuple[Timeframe, ...], NoDecode, BeforeValidator(timeframes)] = (
        Timeframe.M1,
        Timeframe.M10,
        Timeframe.H1,
        Timeframe.D1,
    )
    default_since_days: int = Field(365, ge=1)
    default_since_days_m1: int = Field(30, ge=1)

    update_every: int = Field(600, ge=1)
    task_lease: int = Field(60, ge=1)

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(upper)] = "INFO"

    _http = field_validator("iss_url")(http_address)

    @field_validator("iss_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        return url.rstrip("/")

    @property
    def source(self) -> str:
        """The name under which a store remembers the exchange it was filled from."""
        return self.source_name or self.iss_url

    def default_since(self, timeframe: Timeframe) -> timedelta:
        """How far back a series begins when nobody says otherwise."""
        return timedelta(days=self.default_since_days_m1 if timeframe.base is Timeframe.M1 else self.default_since_days)
