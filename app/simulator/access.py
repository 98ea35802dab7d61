"""Who may ask the simulated exchange: accounts, tokens, and sign-ins that end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookies import CookieError, SimpleCookie
from secrets import token_urlsafe

from aiohttp import encode_basic_auth

from app.core.date_time import Timestamp
from app.simulator.faults import Reply

COOKIE = "MicexPassportCert"
MARKER = "X-MicexPassport-Marker"
_PAGE = {"Content-Type": "text/html; charset=utf-8"}


@dataclass(slots=True)
class Access:
    """Passwords by login, and tokens. `lasts`: how long a sign-in is good, by the simulated clock.

    `is_denied`: nobody is entitled to anything: accounts get delayed data, tokens 403.
    """

    accounts: Mapping[str, str] = field(default_factory=dict)
    tokens: frozenset[str] = frozenset()
    lasts: timedelta = timedelta(hours=12)
    is_denied: bool = False
    _valid_until: dict[str, Timestamp] = field(default_factory=dict)

    def sign_in(self, headers: Mapping[str, str], now: Timestamp) -> Reply:
        """Answer `/authenticate`: a cookie to whom the basic credentials name, to others none, and never 401."""
        given = headers.get("Authorization", "")
        if all(given != encode_basic_auth(login, password) for login, password in self.accounts.items()):
            return Reply(200, {**_PAGE, MARKER: "denied"}, b"")
        cookie = token_urlsafe()
        self._valid_until[cookie] = now + self.lasts
        return Reply(200, {**_PAGE, MARKER: "granted", "Set-Cookie": f"{COOKIE}={cookie}; Path=/"}, b"")

    def expire(self) -> None:
        """End every sign-in now."""
        self._valid_until.clear()

    def refusal(self, headers: Mapping[str, str]) -> Reply | None:
        """Answer a holder of a token who is not let in; nobody else is refused."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return None
        if token not in self.tokens:
            return Reply(401, {**_PAGE, MARKER: "denied"}, b"")
        return Reply(403, {**_PAGE, MARKER: "denied"}, b"") if self.is_denied else None

    def is_granted(self, headers: Mapping[str, str], now: Timestamp) -> bool:
        """Tell whether these headers let somebody in, so that data come without delay."""
        if self.is_denied:
            return False
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        until = self._valid_until.get(_cookie(headers))
        return (scheme == "Bearer" and token in self.tokens) or (until is not None and now < until)


def _cookie(headers: Mapping[str, str]) -> str:
    try:
        cookies = SimpleCookie(headers.get("Cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""
