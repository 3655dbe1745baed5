"""Serve the example under ASGI: Django, its static files, and the protocol of Pusher beside it."""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from realtime_drf import RealtimeServer

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example.settings")

# The handler for files is for development, as with runserver, which brings its own.
application = RealtimeServer(ASGIStaticFilesHandler(get_asgi_application()))
