"""Who we are to the exchange: anybody, an account, or the holder of a token. Secrets leave only in request headers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple, Protocol

import aiohttp

from app.core.errors import SourceSignInError

_COOKIE = "MicexPassportCert"
_MARKER = "X-MicexPassport-Marker"
_AGAIN_AFTER = 60.0
"""Seconds: signing in more often makes the exchange reset connections."""
_REFUSED_FOR = 600.0
"""Seconds for which a refusal is believed without asking."""


class Passport(NamedTuple):
    """What the sign-in page answered: the cookie, if any, and whether its marker says that it refused."""

    cookie: str | None
    is_denied: bool


Ask = Callable[[str, Mapping[str, str]], Awaitable[Passport]]
"""Asks an address, with these headers, for a passport."""


class Access(Protocol):
    """What to send along with a request."""

    is_anonymous: bool

    async def headers(self, ask: Ask) -> Mapping[str, str]:
        """Return headers that let us in, after signing in if need be; SourceSignInError while we are refused."""

    def lost(self, headers: Mapping[str, str]) -> bool:
        """Learn that these headers were refused; tell whether others may help."""


class Anonymous:
    """Anybody: answers come late."""

    is_anonymous = True

    async def headers(self, ask: Ask) -> Mapping[str, str]:
        del ask
        return {}

    def lost(self, headers: Mapping[str, str]) -> bool:
        del headers
        return False


class Token:
    """The holder of a token, for `apim.moex.com`."""

    is_anonymous = False

    def __init__(self, token: str) -> None:
        """Take the token."""
        self._headers = {"Authorization": f"Bearer {token}"}
        self._refusal = _Refusal("the exchange does not accept our token any more: check ISS_TOKEN")

    async def headers(self, ask: Ask) -> Mapping[str, str]:
        del ask
        self._refusal.check()
        return self._headers

    def lost(self, headers: Mapping[str, str]) -> bool:
        del headers
        self._refusal.begin()
        return False


class Account:
    """An account of the exchange. Signs in when first needed, and again when that has expired, never in a loop."""

    is_anonymous = False

    def __init__(self, url: str, login: str, password: str, *, again_after: float = _AGAIN_AFTER) -> None:
        """Take the address of the sign-in page; it is asked at most every `again_after` seconds."""
        self._url = url
        self._basic = aiohttp.encode_basic_auth(login, password)
        self._again_after = again_after
        self._refusal = _Refusal("the exchange does not accept our account: check ISS_LOGIN and ISS_PASSWORD")
        self._lock = asyncio.Lock()
        self._headers: Mapping[str, str] | None = None
        self._signed_in_at = 0.0

    async def headers(self, ask: Ask) -> Mapping[str, str]:
        async with self._lock:
            self._refusal.check()
            if self._headers is None:
                self._headers = await self._sign_in(ask)
            return self._headers

    def lost(self, headers: Mapping[str, str]) -> bool:
        if headers is self._headers:
            self._headers = None
            if time.monotonic() - self._signed_in_at < self._again_after:
                self._refusal.begin()
                return False
        return True

    async def _sign_in(self, ask: Ask) -> Mapping[str, str]:
        cookie, is_denied = await ask(self._url, {"Authorization": self._basic})
        self._signed_in_at = time.monotonic()
        if is_denied or not cookie:
            self._refusal.begin()
            self._refusal.check()
        return {"Cookie": f"{_COOKIE}={cookie}"}


class _Refusal:
    """A refusal that is believed for a while."""

    def __init__(self, message: str) -> None:
        self._message = message
        self._until = 0.0

    def begin(self) -> None:
        self._until = time.monotonic() + _REFUSED_FOR

    def check(self) -> None:
        if time.monotonic() < self._until:
            raise SourceSignInError(self._message)


def read_passport(response: aiohttp.ClientResponse) -> Passport:
    """Read what the sign-in page answered; it never says 401."""
    cookie = response.cookies.get(_COOKIE)
    return Passport(cookie.value if cookie else None, _is_denied(response))


def check_access(response: aiohttp.ClientResponse, access: Access) -> None:
    """Raise SourceSignInError where the exchange wants somebody else: 401, or its mark of refusal for who signed in.

    For anybody the mark is usual: their data are late. A 403 may then as well mean that they ask too much.
    """
    if response.status == HTTPStatus.UNAUTHORIZED:
        wish = "set ISS_LOGIN and ISS_PASSWORD, or ISS_TOKEN" if access.is_anonymous else "our sign-in is refused"
        raise SourceSignInError(f"{response.url} answered 401, for signed-in users only: {wish}")
    if access.is_anonymous or not _is_denied(response) or "Retry-After" in response.headers:
        return
    if response.status == HTTPStatus.FORBIDDEN:
        raise SourceSignInError(f"{response.url} is closed to us: our sign-in expired or does not go so far")
    if response.status == HTTPStatus.OK:
        raise SourceSignInError(f"{response.url} answered as to anybody, 15 minutes late: our sign-in expired")


def _is_denied(response: aiohttp.ClientResponse) -> bool:
    return response.headers.get(_MARKER, "").strip().lower() == "denied"
