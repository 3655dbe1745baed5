"""The settings that the README of drf_model_pusher asks for, and what any project has."""

SECRET_KEY = "not a secret, a test"
ROOT_URLCONF = "urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

PUSHER_APP_ID = "4711"
PUSHER_KEY = "key"
PUSHER_SECRET = "secret"
PUSHER_CLUSTER = "eu"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "example",
    "realtime_drf",
]
