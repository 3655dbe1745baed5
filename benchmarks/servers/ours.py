"""Our server around a Django project; events come by its HTTP API."""

from __future__ import annotations

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.servers.settings"

urlpatterns: list[Any] = []
django_application = get_asgi_application()

from realtime_drf.server import RealtimeServer  # noqa: E402  after the settings

application = RealtimeServer(django_application)
