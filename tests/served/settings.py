"""Settings of a project that serves browsers itself; the environment says the rest, as JSON."""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403

ROOT_URLCONF = "tests.served.urls"
ASGI_APPLICATION = "tests.served.asgi.application"
ALLOWED_HOSTS = ["*"]
CHANNEL_LAYERS = json.loads(os.environ.get("SERVED_LAYERS", "{}"))
REALTIME_TRANSPORTS = {
    "default": {
        "TRANSPORT": "realtime_drf.transports.channels.ChannelsTransport",
        "OPTIONS": json.loads(os.environ.get("SERVED_OPTIONS", "{}")),
    }
}
