"""The way to ISS over HTTP: one session, within the budget of all processes, patience with what passes."""

import asyncio
import errno
import os
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote_plus

import aiohttp
import stamina

from app import __version__
from app.core.date_time import Timestamp
from app.core.errors import (
    SourceBadAnswerError,
    SourceError,
    SourcePausedError,
    SourceRefusedError,
    SourceSignInError,
    SourceUnavailableError,
)
from app.market_data_adapter.budget import Budget
from app.market_data_adapter.sign_in import Access, Anonymous, Passport, check_access, read_passport

Parsed = TypeVar("Parsed")
Result = TypeVar("Result")

USER_AGENT = f"moex-candles/{__version__} (+aiohttp)"
_MARKUP = re.compile(rb"\s*<")
_INSTANT = 0.001
_PUSHBACKS = {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
_TRANSIENT_REFUSALS = {*_PUSHBACKS, HTTPStatus.REQUEST_TIMEOUT}
_quoted = lru_cache(maxsize=256)(quote_plus)  # most of what is asked is what was asked before
_CLOSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request may take, how often and for how long it is tried again, how big an answer may be.

    Seconds; `max_body` in bytes after decompression. `total` bounds one try, however slowly the bytes trickle.
    """

    total: float = 30
    connect: float = 10
    read: float = 15
    attempts: int = 5
    altogether: float = 120
    max_body: int = 16 * 1024 * 1024


class _ClosedError(SourceRefusedError):
    """This resource is not for us, which says nothing of the others."""


class IssClient:
    """One session with one exchange. Errors come as SourceError, with what failed and where."""

    def __init__(
        self, url: str, *, budget: Budget | None = None, patience: Patience | None = None, access: Access | None = None
    ) -> None:
        """Take the root of the exchange, like `https://iss.moex.com`; nothing is opened before the first request."""
        self.url = url
        self._patience = patience or Patience()
        self._budget = budget or Budget()
        self._access = access or Anonymous()
        self._session: aiohttp.ClientSession | None = None
        self._turn = asyncio.Lock()  # one answer is read a turn of the loop: who waits for the store is not kept long

    async def get(
        self, path: str, query: Mapping[str, str], parse: Callable[[bytes], Parsed]
    ) -> tuple[Parsed, Timestamp]:
        """Return the parsed answer, and when it was given: its `Date` less its `Age`.

        What may pass is tried again, `parse` included: it says with SourceBadAnswerError that an answer is none.
        """
        return await self._get(path, query, parse)

    async def get_if_open(
        self, path: str, query: Mapping[str, str], parse: Callable[[bytes], Parsed]
    ) -> tuple[Parsed, Timestamp] | None:
        """Do the same with a resource that not everybody may read; None if we may not, or it is not there.

        Such a refusal (401, 403 or 404, or a web page with 200) is none of the exchange: it is not tried again, and
        nobody pauses for it.
        """
        try:
            return await self._get(path, query, parse, may_be_closed=True)
        except _ClosedError:
            return None

    async def date(self) -> Timestamp:
        """Ask the exchange what time it is."""

        async def ask() -> Timestamp:
            _, given_at = await self._ask("HEAD", "/iss/index.json", {})
            return given_at

        return await self._patiently(ask)

    async def _get(
        self, path: str, query: Mapping[str, str], parse: Callable[[bytes], Parsed], *, may_be_closed: bool = False
    ) -> tuple[Parsed, Timestamp]:
        async def ask() -> tuple[Parsed, Timestamp]:
            body, given_at = await self._ask("GET", path, query, may_be_closed=may_be_closed)
            async with self._turn:
                with _odd_answers(f"{self.url}{path}"):
                    parsed = parse(body)
                await asyncio.sleep(0)
            return parsed, given_at

        return await self._patiently(ask)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _patiently(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        """Ask, and again while what failed may pass. Only who fails pays for the means of trying again."""
        patience, began = self._patience, time.monotonic()
        failure: SourceError | None
        try:
            return await ask()
        except SourceError as error:
            failure = error
        left = max(patience.altogether - (time.monotonic() - began), _INSTANT)
        async for attempt in stamina.retry_context(
            on=_worth_another_try, attempts=patience.attempts, timeout=left, wait_max=20
        ):
            with attempt:
                if failure is None:
                    return await ask()
                first, failure = failure, None
                raise first  # what was tried already counts as an attempt
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str], *, may_be_closed: bool = False
    ) -> tuple[bytes, Timestamp]:
        """Ask once; and once more where signing in again may help."""
        url = f"{self.url}{path}"
        headers = await self._access.headers(self._sign_in)
        try:
            return await self._read(method, url, query, headers, may_be_closed=may_be_closed)
        except SourceSignInError:
            if not self._access.lost(headers):
                raise
        headers = await self._access.headers(self._sign_in)
        return await self._read(method, url, query, headers, may_be_closed=may_be_closed)

    async def _read(
        self, method: str, url: str, query: Mapping[str, str], headers: Mapping[str, str], *, may_be_closed: bool
    ) -> tuple[bytes, Timestamp]:
        async with self._request(method, url, query, headers) as response:
            if may_be_closed and _is_closed(response):
                raise _ClosedError(f"{response.url} is closed to us: {response.status} {_words(response.reason)}")
            check_access(response, self._access)
            _check_status(response)
            try:
                body = await self._body(response)
            except SourceBadAnswerError as page:
                raise (_ClosedError(str(page)) if may_be_closed else page) from page
            with _odd_answers(url):
                return body, _given_at(response)

    async def _sign_in(self, url: str, headers: Mapping[str, str]) -> Passport:
        async with self._request("GET", url, {}, headers) as response:
            if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status == HTTPStatus.TOO_MANY_REQUESTS:
                _check_status(response)
            return read_passport(response)

    @asynccontextmanager
    async def _request(
        self, method: str, url: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        patience = self._patience
        async with self._budget.permit(lasting=patience.total, patience=patience.altogether):
            with _translated(url):
                whole = f"{url}?{'&'.join(f'{_quoted(k)}={_quoted(v)}' for k, v in query.items())}" if query else url
                async with self._opened().request(method, whole, headers=headers, allow_redirects=False) as response:
                    yield response

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            patience = self._patience
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(
                    total=patience.total, sock_connect=patience.connect, sock_read=patience.read
                ),
                headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
                connector=aiohttp.TCPConnector(limit=0),  # the budget is the limit
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """Read an answer that calls itself data, no further than the size limit."""
        if response.content_type == "text/html":
            raise SourceBadAnswerError(f"{response.url} answered a web page in place of data")
        chunks, size = [], 0
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > self._patience.max_body:
                raise SourceRefusedError(f"{response.url} answered more than {self._patience.max_body:,} bytes")
        body = b"".join(chunks)
        if _MARKUP.match(body):
            raise SourceBadAnswerError(f"{response.url} answered markup in place of data")
        return body


def _worth_another_try(error: Exception) -> bool | float:
    if isinstance(error, SourcePausedError):
        return False
    if isinstance(error, SourceUnavailableError):
        return error.retry_after or True
    return isinstance(error, SourceBadAnswerError)


def _is_closed(response: aiohttp.ClientResponse) -> bool:
    """Tell whether the resource is closed to us, rather than the exchange in need of patience."""
    return response.status in _CLOSED and "Retry-After" not in response.headers


def _check_status(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status == HTTPStatus.OK:
        return
    what = f"{response.url} answered {status} {_words(response.reason)}"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TRANSIENT_REFUSALS:
        raise SourceUnavailableError(what, _retry_after(response), is_pushback=status in _PUSHBACKS)
    if location := response.headers.get("Location"):
        raise SourceRefusedError(f"{what} and points to {_words(location)}: redirects are not followed, check ISS_URL")
    raise SourceRefusedError(what)


def _words(said: str | None) -> str:
    """Write what a server said so that logs and stores take it: aiohttp keeps bytes that are no text as surrogates."""
    return (said or "").encode("utf-8", "replace").decode()


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Read seconds or an HTTP date, never longer than two minutes."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return min(float(text), 120)
    if (then := _http_date(text)) and (now := _http_date(response.headers.get("Date", ""))):
        return min(max((then - now).total_seconds(), 0), 120)
    return None


def _given_at(response: aiohttp.ClientResponse) -> Timestamp:
    """Return `Date` less `Age`; an answer that does not say when it was given proves nothing."""
    moment = _http_date(response.headers.get("Date", ""))
    if moment is None:
        raise SourceBadAnswerError(f"{response.url} does not tell the time: its answer has no Date header")
    age = response.headers.get("Age", "0")
    return moment - timedelta(seconds=int(age) if age.isdecimal() else 0)


def _reason(error: OSError) -> str:
    """Say in the system's words why there is no connection."""
    if error.errno and not isinstance(error, socket.gaierror):  # asyncio puts the address in place of the words
        return os.strerror(error.errno)
    return error.strerror or str(error)


@lru_cache(maxsize=16)  # many answers a second carry the same
def _http_date(text: str) -> Timestamp | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return Timestamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


@contextmanager
def _odd_answers(url: str) -> Iterator[None]:
    """Take whatever an answer does to those who read it for what it is: no answer."""
    try:
        yield
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise SourceBadAnswerError(f"{url} cannot be understood: {error!r}") from error


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turn what aiohttp raises into the one tree of errors."""
    try:
        yield
    except (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError) as error:
        raise SourceRefusedError(f"{url} shows a bad certificate: {error}") from error
    except aiohttp.InvalidURL as error:
        raise SourceRefusedError(f"{url} is no address: check ISS_URL") from error
    except aiohttp.ClientConnectorError as error:
        what = f"cannot reach {error.host}: {_reason(error.os_error)}; check the network or ISS_URL"
        raise SourceUnavailableError(what, is_pushback=_is_reset(error)) from error
    except TimeoutError as error:
        raise SourceUnavailableError(f"{url} did not answer in time") from error
    except aiohttp.ClientResponseError as error:
        raise SourceUnavailableError(f"{url} does not speak HTTP: {_words(error.message)}") from error
    except (aiohttp.ClientError, OSError) as error:
        what = f"{url} cannot be read: {str(error) or type(error).__name__}"
        raise SourceUnavailableError(what, is_pushback=_is_reset(error)) from error


def _is_reset(error: Exception) -> bool:
    is_cut = isinstance(error, aiohttp.ServerDisconnectedError)
    return is_cut or (isinstance(error, OSError) and error.errno in {errno.ECONNRESET, errno.EPIPE})
