"""A private PostgreSQL for tests: a cluster in a folder of its own, without a password, on 127.0.0.1 alone."""

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEADLINE_SECONDS = 60.0
_USER = "stagedoor"


def binaries() -> Path | None:
    """The folder of the newest server's programs, or None where there is no PostgreSQL."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    found += [Path(path).resolve().parent for path in [shutil.which("initdb")] if path]
    return max(found, key=lambda folder: [int(part) for part in folder.parts if part.isdecimal()], default=None)


class Cluster:
    """A running server. `database()` makes an empty database and gives its SQLAlchemy URL."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self._as = {} if os.geteuid() else _ordinary_user()
        self._numbers = itertools.count(1)
        self._server: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def pid(self) -> int:
        """The postmaster's."""
        assert self._server is not None
        return self._server.pid

    def start(self) -> None:
        """On the port of before, if there was one."""
        if not self.port:
            self._make()
        settings = ["fsync=off", "max_connections=60", "shared_buffers=16MB", "unix_socket_directories="]
        command = [self._programs / "postgres", "-D", self._folder / "data", "-h", "127.0.0.1", "-p", str(self.port)]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [*command, *(word for setting in settings for word in ("-c", setting))],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as,
            )
        self._wait()

    def stop(self) -> None:
        """At once, as if it had crashed; what was committed stays."""
        if self._server is None or self._server.poll() is not None:
            return
        self._server.send_signal(signal.SIGCONT)
        self._server.send_signal(signal.SIGQUIT)
        try:
            self._server.wait(20)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait(20)

    def database(self, like: str | None = None) -> str:
        """The URL of a database that nobody else has: empty, or a copy of the one at the URL `like`."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {like.rpartition('/')[2] if like else 'template0'}")
        return f"postgresql+psycopg://{_USER}@127.0.0.1:{self.port}/{name}"

    def run(self, statement: str, database: str = "postgres") -> None:
        """One statement outside any transaction."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user=_USER, dbname=database, connect_timeout=5, autocommit=True
        ) as connection:
            connection.execute(statement.encode())

    def _make(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        command = [self._programs / "initdb", "-D", self._folder / "data", "-U", _USER, "-A", "trust", "-E", "UTF8"]
        done = subprocess.run(
            [*command, "--locale=C", "--no-sync"],
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
            **self._as,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _wait(self) -> None:
        assert self._server is not None
        end = time.monotonic() + DEADLINE_SECONDS
        command = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(command, timeout=10, check=False).returncode:
            log = self._folder / "log"
            assert time.monotonic() < end, f"PostgreSQL is not ready:\n{log.read_text()[-2000:]}"
            assert self._server.poll() is None, f"PostgreSQL did not start:\n{log.read_text()[-2000:]}"
            time.sleep(0.05)


def _ordinary_user() -> dict[str, object]:
    """The server refuses to run as root."""
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextmanager
def cluster() -> Iterator[Cluster | None]:
    """A server for as long as the block runs; None where PostgreSQL is not installed."""
    programs = binaries()
    if programs is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="stagedoor-postgres-"))  # pytest's own folders are closed to other users
    try:
        if not os.geteuid():
            user = _ordinary_user()
            os.chown(folder, user["user"], user["group"])  # type: ignore[arg-type]
        server = Cluster(programs, folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
