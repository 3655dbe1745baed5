"""A project in a process of its own, whose events to vacant channels are skipped.

Run as ``python -m tests.soak.site PORT``. The environment variable SOAK says the rest, as JSON: the
options of the Pusher transport, the cache's location, and by what times of occupancy are divided.
"""

from __future__ import annotations

import json
import os
import sys
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application


def configure(options: dict[str, Any], cache: str) -> None:
    settings.configure(
        SECRET_KEY="soak",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="tests.soak.urls",
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "realtime_drf"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        CACHES={
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": cache,
            }
        },
        REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": ["tests.soak.people.Names"]},
        REALTIME_TRANSPORTS={
            "default": {
                "TRANSPORT": "realtime_drf.transports.pusher.PusherTransport",
                "OPTIONS": options,
                "SKIP_VACANT": "all",
            }
        },
        LOGGING={
            "version": 1,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "loggers": {"realtime_drf": {"handlers": ["console"], "level": "INFO"}},
        },
    )
    django.setup()


def flush(factor: float) -> None:
    """Divide what is waited for, so that a short run sees as much as a long one."""
    from realtime_drf.occupancy import knowledge, vacancy

    for name in ("SKEW", "GRACE", "VACATED_FOR", "LISTED_FOR", "BELIEVED_FOR", "COOLDOWN"):
        for module in (knowledge, vacancy):
            if hasattr(module, name):
                setattr(module, name, getattr(module, name) / factor)


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's
        pass


def main() -> None:
    given = json.loads(os.environ["SOAK"])
    configure(given["options"], given["cache"])
    flush(given["factor"])
    application = get_wsgi_application()
    with make_server("127.0.0.1", int(sys.argv[1]), application, Server, QuietHandler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
