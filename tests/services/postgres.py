"""Start a throw-away PostgreSQL server: own data, own port, own socket folder, no durability."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from tests.services.process import (
    LOCALHOST,
    RetriedService,
    ServerProcess,
    ServiceError,
    credentials,
    free_port,
)

_SETTINGS = {
    "listen_addresses": LOCALHOST,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # One database for each worker of a parallel run, and several connections to each.
    "max_connections": "200",
}


def unavailable() -> str | None:
    """Return why PostgreSQL cannot be started here, or None."""
    if _programs() is None:
        return "initdb is neither on PATH nor in /usr/lib/postgresql/*/bin"
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed"
    if os.geteuid() == 0 and _unprivileged_user() is None:
        return "PostgreSQL does not run as root, and there is no user postgres or nobody"
    return None


class Postgres(RetriedService):
    """A PostgreSQL on 127.0.0.1; every connection is trusted, `user` is its superuser."""

    host = LOCALHOST
    user = "postgres"
    database = "postgres"

    def __init__(self) -> None:
        self.port = 0

    @property
    def dsn(self) -> str:
        """Return the connection string of the maintenance database."""
        return f"postgresql://{self.user}@{self.host}:{self.port}/{self.database}"

    def start(self) -> None:
        """Make a cluster and start it; raise ServiceError when that fails."""
        programs = _programs()
        if programs is None:
            raise ServiceError(f"PostgreSQL cannot start: {unavailable()}")
        self._retry(lambda: self._start_once(programs))

    def _start_once(self, programs: Path) -> None:
        # SIGINT is the fast shutdown, which ends open sessions instead of waiting for them.
        server = ServerProcess("PostgreSQL", user=_unprivileged_user(), stop_signal=signal.SIGINT)
        try:
            data = server.folder / "data"
            _make_cluster(programs, data, server.user)
            port = free_port()
            options = [part for item in _SETTINGS.items() for part in ("-c", "=".join(item))]
            server.start(
                [programs / "postgres", "-D", data, "-p", str(port), "-k", server.folder, *options],
                ready=lambda: _answers(programs, port),
            )
        except BaseException:
            server.stop()
            raise
        self.port = port
        self._server = server


def _programs() -> Path | None:
    """Return the folder of the server's programs, the newest version where there are several."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    # Debian keeps them off PATH.
    debian = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(debian, key=_version, default=None)


def _version(programs: Path) -> float:
    try:
        return float(programs.parent.name)
    except ValueError:
        return 0.0


def _unprivileged_user() -> str | None:
    """Return the user of the server: None is the current one, or that root has no other."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


def _make_cluster(programs: Path, data: Path, user: str | None) -> None:
    done = subprocess.run(
        [
            *(programs / "initdb", "--pgdata", data, "--username", Postgres.user),
            *("--auth", "trust", "--no-sync", "--encoding", "UTF8", "--no-locale"),
        ],
        cwd=data.parent,
        capture_output=True,
        text=True,
        check=False,
        **credentials(user),
    )
    if done.returncode != 0:
        raise ServiceError(f"initdb failed:\n{done.stdout}{done.stderr}")


def _answers(programs: Path, port: int) -> bool:
    # A connection is accepted before the server can serve one: ask as its own tools do.
    command = [str(programs / "pg_isready"), "--quiet", "--host", LOCALHOST, "--port", str(port)]
    return subprocess.run(command, check=False).returncode == 0
