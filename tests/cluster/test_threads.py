"""gevent and eventlet, as in Celery's pools of these names, are refused before they do harm."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

pytest.importorskip("channels_redis")

from tests.processes import environment
from tests.server.harness import OPTIONS

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}

PROGRAM = """
import django; django.setup()
from django.core.checks import run_checks
from django.db import connection
from realtime_drf import Event, publish

print([each.id for each in run_checks(tags=["realtime_drf"])])
try:
    publish(Event("told", "news", "first"))
except Exception as exc:
    print(type(exc).__name__, exc)
with connection.cursor() as cursor:
    cursor.execute("SELECT 1")
"""


@pytest.mark.end_to_end
@pytest.mark.parametrize("library", PATCHES)
def test_greenlets_are_refused_in_a_sentence_and_may_use_the_database(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    layer = "channels_redis.pubsub.RedisPubSubChannelLayer"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PATCHES[library] + PROGRAM],
        env=environment(
            DJANGO_SETTINGS_MODULE="tests.served.settings",
            SERVED_LAYERS=json.dumps({"default": {"BACKEND": layer}}),
            SERVED_OPTIONS=json.dumps({**OPTIONS, "store": "redis://127.0.0.1:1"}),
        ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    ids, error = done.stdout.splitlines()
    assert "realtime_drf.E001" in ids
    start = f"InvalidTransport REALTIME_TRANSPORTS['default']: {library} has replaced Python's"
    assert error.startswith(start)
    assert error.endswith("as Celery's pools 'prefork' and 'threads' do.")
