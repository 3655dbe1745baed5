"""Settings of the benchmarks: one database in memory."""

from __future__ import annotations

SECRET_KEY = "not a secret, a benchmark"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "realtime_drf",
    "benchmarks.articles",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
REALTIME_TRANSPORTS = {
    "default": {"TRANSPORT": "realtime_drf.transports.memory.MemoryTransport"},
    "skipping": {
        "TRANSPORT": "realtime_drf.transports.memory.MemoryTransport",
        "SKIP_VACANT": True,
    },
}
CACHES = {
    "default": {
        "BACKEND": "benchmarks.counting.CountingCache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    },
}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
