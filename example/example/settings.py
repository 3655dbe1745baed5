"""Settings of the example: a board that is open to everyone, and lists that are not.

``REALTIME`` in the environment says what carries the events: see `example.transport`.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from example.transport import get_name, get_transport

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "an example has no secrets"  # noqa: S105
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
ROOT_URLCONF = "example.urls"
WSGI_APPLICATION = "example.wsgi.application"
ASGI_APPLICATION = "example.asgi.application"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
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
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("EXAMPLE_DATABASE", BASE_DIR / "board.sqlite3"),
    }
}
REST_FRAMEWORK = {
    # The first one says that a refusal is a 403, for which no browser asks for a password.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "todos.people.WindowAuthentication",
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.BasicAuthentication",
    ],
    # The public lists are for everyone; views and channels ask by themselves who somebody is.
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
}

# What carries the events

REALTIME = get_name()
REALTIME_TRANSPORTS = {"default": get_transport(REALTIME, SECRET_KEY)}

if REALTIME == "channels":
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    if find_spec("daphne"):
        INSTALLED_APPS.insert(0, "daphne")  # its runserver serves WebSockets, Django's does not

if REALTIME == "console":
    # W003 says that nobody can subscribe to the channels of realtime.py, and nobody subscribes to a
    # terminal. With any other transport it matters.
    SILENCED_SYSTEM_CHECKS = ["realtime_drf.W003"]

# pusher-js, unchanged: from npm if it was installed there, else from where Pusher has it

STATIC_URL = "static/"
PUSHER_JS_DIR = Path(
    os.environ.get("EXAMPLE_PUSHER_JS", BASE_DIR / "node_modules" / "pusher-js" / "dist" / "web")
)
if (PUSHER_JS_DIR / "pusher.min.js").is_file():
    STATICFILES_DIRS = [("pusher-js", PUSHER_JS_DIR)]
    PUSHER_JS = f"/{STATIC_URL}pusher-js/pusher.min.js"
else:
    PUSHER_JS = "https://js.pusher.com/8.4.0/pusher.min.js"
