"""The path of a request, independent of the prefix at which the project is mounted.

A proxy may have removed the prefix from the path or not, and servers treat their own option for it
differently: uvicorn prepends ``--root-path`` to the path that it received, others leave that as it
is. FORCE_SCRIPT_NAME is a prefix that the server may not know.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final
from urllib.parse import quote

from realtime_drf.conf import get_script_name

Scope = MutableMapping[str, Any]

SOCKET_PATH: Final = "/app/"
API_PATH: Final = "/apps/"


def read_path(scope: Scope) -> str:
    """Return the path, unescaped, and without a prefix if one of the server's paths is left."""
    return _strip(scope["path"], _prefixes(scope))


def read_signed_paths(scope: Scope) -> list[str]:
    """Return the paths, escaped, that the signature of a request may cover.

    A client signs the path that it requests, or, as some SDKs do, that path without the prefix.
    """
    sent: bytes = scope.get("raw_path") or scope["path"].encode()
    path = sent.partition(b"?")[0].decode("latin-1")  # some servers include the query
    prefixes = [quote(prefix) for prefix in _prefixes(scope)]
    bare = _strip(path, prefixes)
    return list(dict.fromkeys([path, bare, *(f"{prefix}{bare}" for prefix in prefixes)]))


def _prefixes(scope: Scope) -> list[str]:
    given = (scope.get("root_path") or "", get_script_name())
    return list(dict.fromkeys(prefix.rstrip("/") for prefix in given if prefix.rstrip("/")))


def _strip(path: str, prefixes: list[str]) -> str:
    # Twice, where uvicorn has prepended it to a path that had it already.
    for start in (prefix * times for prefix in prefixes for times in (2, 1)):
        bare = path.removeprefix(start)
        if bare != path and bare.startswith((SOCKET_PATH, API_PATH)):
            return bare
    return path
