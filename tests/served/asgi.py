from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.served.settings")
application = get_asgi_application()

from realtime_drf.server import RealtimeServer  # noqa: E402  settings are read first

application = RealtimeServer(application)
