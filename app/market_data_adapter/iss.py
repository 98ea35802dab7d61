"""The way to ISS over HTTP: one session, bounded concurrency and rate, patience with what passes."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TypeVar

import aiohttp
import stamina
from pyrate_limiter import GCRA, InMemoryStateStore, Limiter, Rate, StateBucket

from app import __version__
from app.core.date_time import Timestamp
from app.core.errors import SourceBadAnswerError, SourceRefusedError, SourceUnavailableError

Parsed = TypeVar("Parsed")

USER_AGENT = f"moex-candles/{__version__} (+aiohttp)"
_CHUNK = 64 * 1024
_TRANSIENT_REFUSALS = {HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


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


@dataclass(frozen=True, slots=True)
class Budget:
    """How many requests at once, and how many a second (None: no limit)."""

    concurrency: int = 4
    rate: float | None = 5


class IssClient:
    """One session with one exchange. Errors come as SourceError, with what failed and where."""

    def __init__(self, url: str, *, budget: Budget | None = None, patience: Patience | None = None) -> None:
        """Take the root of the exchange, like `https://iss.moex.com`; nothing is opened before the first request."""
        self.url = url
        self._patience = patience or Patience()
        budget = budget or Budget()
        self._places = asyncio.Semaphore(budget.concurrency)
        self._limiter = _limiter(budget.rate) if budget.rate else None
        self._session: aiohttp.ClientSession | None = None

    async def get(
        self, path: str, query: Mapping[str, str], parse: Callable[[bytes], Parsed]
    ) -> tuple[Parsed, Timestamp]:
        """Return the parsed answer, and when it was given: its `Date` less its `Age`.

        What may pass is tried again, `parse` included: it says with SourceBadAnswerError that an answer is none.
        """
        async for attempt in self._attempts():
            with attempt:
                async with self._request("GET", path, query) as response:
                    body = await self._body(response)
                    with _odd_answers(f"{self.url}{path}"):
                        return parse(body), _given_at(response)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def date(self) -> Timestamp:
        """Ask the exchange what time it is."""
        async for attempt in self._attempts():
            with attempt:
                async with self._request("HEAD", "/iss/index.json", {}) as response:
                    with _odd_answers(self.url):
                        return _given_at(response)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _attempts(self) -> AsyncIterator[stamina.Attempt]:
        patience = self._patience
        return aiter(
            stamina.retry_context(
                on=_worth_another_try, attempts=patience.attempts, timeout=patience.altogether, wait_max=20
            )
        )

    @asynccontextmanager
    async def _request(self, method: str, path: str, query: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._places:
            if self._limiter is not None:
                await self._limiter.try_acquire_async("iss")
            with _translated(f"{self.url}{path}"):
                async with self._opened().request(
                    method, f"{self.url}{path}", params=query, allow_redirects=False
                ) as response:
                    _check_status(response)
                    yield response

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            patience = self._patience
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(
                    total=patience.total, sock_connect=patience.connect, sock_read=patience.read
                ),
                headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
                connector=aiohttp.TCPConnector(limit=0),  # the semaphore is the limit
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """Read an answer that calls itself data, no further than the size limit."""
        if response.content_type == "text/html":
            raise SourceBadAnswerError(f"{response.url} answered a web page in place of data")
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > self._patience.max_body:
                raise SourceRefusedError(f"{response.url} answered more than {self._patience.max_body:,} bytes")
        return bytes(body)


def _limiter(rate: float) -> Limiter:
    """Spread requests evenly: one, then a pause. The limiter counts in whole units: so many in a thousand seconds."""
    evenly = Rate(max(round(rate * 1000), 1), 1_000_000, burst=1)
    return Limiter(StateBucket([evenly], algorithm=GCRA(), store=InMemoryStateStore()), buffer_ms=1)


def _worth_another_try(error: Exception) -> bool | float:
    if isinstance(error, SourceUnavailableError):
        return error.retry_after or True
    return isinstance(error, SourceBadAnswerError)


def _check_status(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status == HTTPStatus.OK:
        return
    what = f"{response.url} answered {status} {response.reason}"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TRANSIENT_REFUSALS:
        raise SourceUnavailableError(what, _retry_after(response))
    if location := response.headers.get("Location"):
        raise SourceRefusedError(f"{what} and points to {location}: redirects are not followed, check ISS_URL")
    raise SourceRefusedError(what)


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
        raise SourceUnavailableError(what) from error
    except TimeoutError as error:
        raise SourceUnavailableError(f"{url} did not answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise SourceUnavailableError(f"{url} cannot be read: {error!r}") from error
