"""How values of settings are written. What is written otherwise raises ValueError with an example."""

from urllib.parse import urlsplit

from app.core.entities import Timeframe

_REDIS_EXAMPLE = "like redis://localhost:6379/0, or off"


def or_off(value: object) -> object:
    """Read `off` as nothing."""
    return None if isinstance(value, str) and value.strip().lower() == "off" else value


def positive_or_off(value: object) -> float | None:
    """Read a number above zero, or `off`."""
    if value is None or or_off(value) is None:
        return None
    try:
        number = float(value) if isinstance(value, str | int | float) else 0
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise ValueError("a number above 0, or off for no limit")
    return number


def timeframes(value: object) -> object:
    """Read names with commas between them, in any case."""
    if not isinstance(value, str):
        return value
    names = [part.strip().upper() for part in value.split(",")]
    if strange := [name for name in names if name not in list(Timeframe)]:
        raise ValueError(f"there is no timeframe {strange[0]!r}: choose of {', '.join(Timeframe)}, with commas")
    return [Timeframe(name) for name in names]


def upper(value: object) -> object:
    """Read words in any case."""
    return value.strip().upper() if isinstance(value, str) else value


def redis_address(value: object) -> object:
    """Check the address of a Redis; no part of it is quoted, for it may hold a password."""
    if not isinstance(value, str):
        return value
    try:
        address = urlsplit(value)
        _ = address.port
    except ValueError:
        raise ValueError(f"its port must be a number, {_REDIS_EXAMPLE}") from None
    if address.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError(f"it must begin with redis://, rediss:// or unix://, {_REDIS_EXAMPLE}")
    place = address.path if address.scheme == "unix" else address.hostname
    if not place:
        raise ValueError(f"it names no server, {_REDIS_EXAMPLE}")
    if address.scheme != "unix" and not (address.path.strip("/") or "0").isdecimal():
        raise ValueError(f"its database must be a number, {_REDIS_EXAMPLE}")
    return value


def http_address(value: str) -> str:
    """Check the address of an exchange."""
    try:
        address = urlsplit(value)
        is_one = address.scheme in {"http", "https"} and address.hostname and address.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError("it must be an http or https address, like https://iss.moex.com")
    return value
