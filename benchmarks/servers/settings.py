"""Settings of the servers that are Django projects; the environment says which one this is."""

from __future__ import annotations

import os
from typing import Any

_NAME = os.environ["BENCHMARK_SERVER"]
_REDIS = os.environ.get("BENCHMARK_REDIS")

SECRET_KEY = "not a secret, a benchmark"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = f"benchmarks.servers.{_NAME}"
INSTALLED_APPS = ["rest_framework", "realtime_drf"] if _NAME == "ours" else []
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
CHANNEL_LAYERS: dict[str, Any] = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [_REDIS]},
    }
    if _REDIS
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"},
}
REALTIME_TRANSPORTS = {
    "default": {
        "TRANSPORT": "realtime_drf.transports.channels.ChannelsTransport",
        "OPTIONS": {
            "app_id": "ours",
            "key": "benchmark-key",
            "secret": "benchmark-secret",
            "http_api": True,
            **({"store": _REDIS} if _REDIS else {}),
        },
        "ON_ERROR": "raise",
    },
}
