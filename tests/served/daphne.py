"""The same with daphne's runserver."""

from __future__ import annotations

from tests.served.settings import *  # noqa: F403
from tests.served.settings import INSTALLED_APPS

DEBUG = True
INSTALLED_APPS = ["daphne", *INSTALLED_APPS, "django.contrib.staticfiles"]
STATIC_URL = "static/"
