"""What people type, read the same way at every door. Whatever makes no sense raises InputError with the way out."""

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from app.core.date_time import Timestamp
from app.core.entities import Security, Timeframe
from app.core.errors import InputError
from app.use_cases.create_security import Since

YEARS = range(1990, 2101)
"""The exchange opened in 1992; what lies outside is a slip of the finger."""

_CODE = re.compile(r"[A-Z0-9_.@-]{1,51}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(Z|[+-]\d{2}:?\d{2})?", re.ASCII)
_LOST_PLUS = re.compile(r".*\d{2}:\d{2}\S* \d{2}:?\d{2}", re.ASCII)
_UNIX = re.compile(r"-?\d+", re.ASCII)
_LONGEST_QUOTE = 60
_MILLISECONDS_FROM = 10**11  # as seconds that would be the year 5138
_EXAMPLES = "2024-01-03, 2024-01-03T10:00 (Moscow time), 2024-01-03T10:00:00+03:00 or unix seconds"

_ALIASES = {
    Timeframe.M1: "1min 1minute 1",
    Timeframe.M5: "5min 5minutes 5",
    Timeframe.M10: "10min 10minutes 10",
    Timeframe.M15: "15min 15minutes 15",
    Timeframe.M30: "30min 30minutes 30",
    Timeframe.H1: "1h 1hour 60min 60minutes 60",
    Timeframe.H2: "2h 2hours 120min 120minutes 120",
    Timeframe.H4: "4h 4hours 240min 240minutes 240",
    Timeframe.D1: "1d 1day 24h d",
    Timeframe.W1: "1w 1week 7d w",
    Timeframe.MN1: "1mn 1mo 1mon 1month",
    Timeframe.Q1: "1q 1quarter",
}
_TIMEFRAMES = {
    alias: timeframe for timeframe, names in _ALIASES.items() for alias in (timeframe.lower(), *names.split())
}
_BY_CASE = {
    "1m": Timeframe.M1,
    "5m": Timeframe.M5,
    "10m": Timeframe.M10,
    "15m": Timeframe.M15,
    "30m": Timeframe.M30,
    "60m": Timeframe.H1,
    "120m": Timeframe.H2,
    "240m": Timeframe.H4,
    "1M": Timeframe.MN1,
}
"""Where `m` stands alone, small is a minute and capital a month."""


def parse_security(text: str, board: str | None = None, *, field: str = "security") -> Security:
    """Read `TQBR:SBER`, or a ticker and its board apart; small letters are welcome."""
    left, colon, right = text.partition(":")
    if board is not None and not colon:
        return Security(parse_code(text, field), parse_code(board, "board"))
    if board is not None:
        raise InputError(
            field, f"{_quote(text)} names a board, and so does {_quote(board)}: name it once, as TQBR:SBER"
        )
    if not colon:
        raise InputError(field, f"{_quote(text)} is not BOARD:TICKER: write it as TQBR:SBER")
    return Security(parse_code(right, field), parse_code(left, field))


def parse_wanted(text: str, board: str | None = None, *, field: str = "security") -> Security | str:
    """Read what to follow: a security, or a ticker alone, which stands for its primary board."""
    if board is None and ":" not in text:
        return parse_code(text, field)
    return parse_security(text, board, field=field)


def parse_code(text: str, field: str) -> str:
    """Read a ticker or a board on its own."""
    code = unicodedata.normalize("NFKC", text.strip()).upper()
    if not _CODE.fullmatch(code):
        raise InputError(
            field,
            f"{_quote(text)} is no code of the exchange: 1 to 51 Latin letters, digits, _ . @ -, as in SBER or TQBR",
        )
    return code


def parse_timeframe(text: str, field: str = "timeframe") -> Timeframe:
    """Read a name in any case, or an alias that can't be misread: `1h`, `60`; `1m` is a minute, `1M` a month."""
    plain = unicodedata.normalize("NFKC", text.strip())
    found = _BY_CASE.get(plain) or _TIMEFRAMES.get(plain.lower())
    if found is None:
        raise InputError(field, f"there is no timeframe {_quote(text)}: choose one of {', '.join(Timeframe)}")
    return found


def parse_moment(text: str, field: str, *, is_end: bool = False) -> Timestamp:
    """Read a date, a date and time (Moscow's without an offset), or unix seconds or milliseconds.

    A bare date is its beginning in Moscow; as the end of a period it means through that day.
    """
    plain = unicodedata.normalize("NFKC", text.strip()).upper()
    try:
        moment = _read(plain)
    except (ValueError, OverflowError) as error:
        raise InputError(field, f"{_quote(text)} is no moment ({error}): write {_EXAMPLES}") from error
    if moment is None:
        raise InputError(field, _unreadable(text, plain))
    if moment.moscow.year not in YEARS:
        raise InputError(field, f"{_quote(text)} lies outside the years {YEARS[0]} to {YEARS[-1]}: write {_EXAMPLES}")
    if is_end and _DATE.fullmatch(plain):
        return Timestamp.midnight(moment.moscow.date() + timedelta(days=1))
    return moment


def parse_day(text: str, field: str) -> date:
    """Read a date, which means that Moscow day."""
    plain = unicodedata.normalize("NFKC", text.strip())
    if not _DATE.fullmatch(plain):
        raise InputError(field, f"{_quote(text)} is no date: write it as 2024-01-03")
    return parse_moment(plain, field).moscow.date()


def parse_zone(name: str, field: str = "tz") -> tzinfo:
    """Read the name of a time zone."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # unknown names, paths and NULs, folders of the zone files
        raise InputError(field, "there is no such time zone: write an IANA name, as Europe/Moscow") from error


def parse_since(text: str, field: str = "since") -> Since:
    """Read a moment, or `all`: from the first candle the exchange has."""
    if text.strip().lower() == "all":
        return "all"
    try:
        return parse_moment(text, field)
    except InputError as error:
        raise InputError(field, f"{error}, or all for everything the exchange has") from error


def _quote(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "...")


def _read(text: str) -> Timestamp | None:
    if _DATE.fullmatch(text):
        return Timestamp.midnight(date.fromisoformat(text))
    if _UNIX.fullmatch(text):
        number = int(text)
        return Timestamp.from_microseconds(number * (1_000 if abs(number) >= _MILLISECONDS_FROM else 1_000_000))
    if match := _TIME.fullmatch(text):
        day, wall, offset = match.groups()
        moment = datetime.fromisoformat(f"{day}T{wall}{offset or ''}")
        return Timestamp(moment) if offset else Timestamp.from_moscow(moment)
    return None


def _unreadable(text: str, plain: str) -> str:
    if _LOST_PLUS.fullmatch(plain):
        return f"{_quote(text)} lost the + of its offset: in an address it is written %2B"
    return f"{_quote(text)} is no moment: write {_EXAMPLES}"
