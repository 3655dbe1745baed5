"""Settings of the example: one todo list, open to everyone, and two users with channels of theirs.

``REALTIME`` says what carries the events: "console" (the default), "pusher", "ably" or "memory".
With "pusher", either ``PUSHER_URL`` or the variables of `PUSHER_VARIABLES` name the app; with
"ably", ``ABLY_API_KEY`` or the variables of `ABLY_VARIABLES`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "an example has no secrets"  # noqa: S105
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
ROOT_URLCONF = "example.urls"
WSGI_APPLICATION = "example.wsgi.application"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "realtime_drf",
    "todos",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("EXAMPLE_DATABASE", BASE_DIR / "db.sqlite3"),
    }
}
REST_FRAMEWORK = {
    # Sessions come first: a refusal is then a 403, for which no browser asks for a password.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.BasicAuthentication",
    ],
    # The todos are for everyone; the channels ask by themselves who somebody is.
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
}

PUSHER_VARIABLES = {
    "PUSHER_APP_ID": "app_id",
    "PUSHER_KEY": "key",
    "PUSHER_SECRET": "secret",
    "PUSHER_CLUSTER": "cluster",
    "PUSHER_HOST": "host",
    "PUSHER_PORT": "port",
    "PUSHER_SSL": "ssl",
    "PUSHER_ENCRYPTION_MASTER_KEY_BASE64": "encryption_master_key_base64",
}
"""What may be set in the environment, and the option of the transport that it becomes."""

ABLY_VARIABLES = {
    "ABLY_API_KEY": "key",
    "ABLY_ENDPOINT": "endpoint",
    "ABLY_PORT": "port",
    "ABLY_TLS": "tls",
    "ABLY_USE_TOKEN_AUTH": "use_token_auth",
    "ABLY_ENCRYPTION_MASTER_KEY_BASE64": "encryption_master_key_base64",
}


def get_options(variables: dict[str, str]) -> dict[str, Any]:
    """Return the transport's options; with none of them it looks for its own variable itself."""
    options: dict[str, Any] = {
        option: os.environ[name] for name, option in variables.items() if name in os.environ
    }
    if "port" in options:
        options["port"] = int(options["port"])
    for flag in {"ssl", "tls", "use_token_auth"} & set(options):
        options[flag] = options[flag].lower() in ("1", "true", "yes", "on")
    return options


def get_transport() -> dict[str, Any]:
    """Return the entry of REALTIME_TRANSPORTS that the environment asks for."""
    name = os.environ.get("REALTIME", "console")
    if name == "console":
        return {"TRANSPORT": "realtime_drf.transports.console.ConsoleTransport"}
    if name == "memory":
        return {"TRANSPORT": "realtime_drf.transports.memory.MemoryTransport"}
    if name == "pusher":
        return {
            "TRANSPORT": "realtime_drf.transports.pusher.PusherTransport",
            "OPTIONS": get_options(PUSHER_VARIABLES),
        }
    if name == "ably":
        return {
            "TRANSPORT": "realtime_drf.transports.ably.AblyTransport",
            "OPTIONS": get_options(ABLY_VARIABLES),
        }
    raise ImproperlyConfigured(
        f"REALTIME is 'console', 'pusher', 'ably' or 'memory', not {name!r}."
    )


REALTIME_TRANSPORTS = {"default": get_transport()}

if os.environ.get("REALTIME", "console") == "console":
    # W003 says that nobody can subscribe to the channels of realtime.py, and nobody subscribes to a
    # terminal. With any other transport it is worth hearing.
    SILENCED_SYSTEM_CHECKS = ["realtime_drf.W003"]
