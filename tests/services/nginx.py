"""An nginx with the configuration that the documentation shows."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence

from tests.pages import ROOT, read_blocks
from tests.services.process import (
    LOCALHOST,
    RetriedService,
    ServerProcess,
    accepts_connections,
    free_port,
)

# What surrounds it on a system where it is installed.
_MAIN = """
daemon off;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
{site}
}}
"""


def unavailable() -> str | None:
    """Return why nginx cannot be used here, or None."""
    return None if shutil.which("nginx") else "nginx is not on PATH"


class Nginx(RetriedService):
    """An nginx that serves upstream ports on a port of 127.0.0.1 while the `with` block runs."""

    def __init__(self, upstream: Sequence[int]) -> None:
        self.port = 0
        self._upstream = upstream

    def start(self) -> None:
        """Start the server; raise ServiceError when that fails."""
        self._retry(self._start_once)

    def _start_once(self) -> None:
        server = ServerProcess("nginx")
        port = free_port()
        config = server.folder / "nginx.conf"
        config.write_text(_MAIN.format(site=self._read_site(port)))
        try:
            server.start(
                ["nginx", "-p", server.folder, "-e", "stderr", "-c", config],
                ready=lambda: accepts_connections(port),
            )
        except BaseException:
            server.stop()
            raise
        self.port = port
        self._server = server

    def _read_site(self, port: int) -> str:
        """Return the documented configuration, with other ports in it."""
        (site,) = [
            block.text
            for block in read_blocks(ROOT / "docs" / "deploying.md")
            if block.language == "nginx"
        ]
        site, places = re.subn(
            r"( +server 127\.0\.0\.1:\d+ max_fails=0;\n)+",
            "".join(f"    server {LOCALHOST}:{each} max_fails=0;\n" for each in self._upstream),
            site,
        )
        site, listens = re.subn(r"listen 80;", f"listen {LOCALHOST}:{port};", site)
        if (places, listens) != (1, 1):
            raise ValueError("The documented configuration has another form than this expects.")
        return site
