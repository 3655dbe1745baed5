"""Settings of the tests: two databases on SQLite, and two on PostgreSQL where there is one."""

from __future__ import annotations

import os
from typing import Any

SECRET_KEY = "not a secret, a test, and long enough to sign tokens with"
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "tests.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "rest_framework",
    "rest_framework.authtoken",
    "realtime_drf",
    "tests.todos",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
# Users are made in many tests, and nobody's password is worth the time of a good hash.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

DATABASES: dict[str, dict[str, Any]] = {
    alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    for alias in ("default", "other")
}
if port := os.environ.get("REALTIME_TEST_POSTGRES_PORT"):
    for alias in ("postgres", "postgres_other"):
        DATABASES[alias] = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": alias,
            "HOST": "127.0.0.1",
            "PORT": port,
            "USER": "postgres",
        }

REALTIME_TRANSPORTS = {
    "default": {"TRANSPORT": "realtime_drf.transports.memory.MemoryTransport"},
    "other": {"TRANSPORT": "realtime_drf.transports.memory.MemoryTransport"},
}
