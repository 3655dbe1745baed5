"""The endpoints stand in a project's OpenAPI schema, and cost it no warning."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.pages import ROOT
from tests.processes import environment

COMMAND = ("spectacular", "--fail-on-warn", "--validate", "--format", "openapi-json")


@pytest.fixture(scope="module")
def schema() -> Any:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "django", *COMMAND],
        cwd=ROOT,
        env=environment(DJANGO_SETTINGS_MODULE="tests.settings_schema"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_what_clients_post_to_is_described(schema: Any) -> None:
    assert {"/realtime/auth/", "/realtime/user-auth/"} <= set(schema["paths"])
    assert not [path for path in schema["paths"] if "health" in path]  # no part of the API
    for path in ("/realtime/auth/", "/realtime/user-auth/"):
        operation = schema["paths"][path]["post"]
        assert operation["description"]
        # pusher-js posts a form.
        forms = {"application/x-www-form-urlencoded", "multipart/form-data", "application/json"}
        assert set(operation["requestBody"]["content"]) == forms
        assert set(operation["responses"]) == {"200"}


def test_requests_and_answers_are_described(schema: Any) -> None:
    components = schema["components"]["schemas"]
    channels, users = components["ChannelAuthorization"], components["UserAuthentication"]
    assert set(channels["properties"]) == {
        *("socket_id", "channel_name", "channel_names"),
        *("auth", "channel_data", "shared_secret"),
    }
    assert set(users["properties"]) == {"socket_id", "auth", "user_data"}
