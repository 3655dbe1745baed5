"""SECRET_KEY is replaced as Django's documentation says, and no client is rejected meanwhile."""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.test import override_settings

pytest.importorskip("channels")

from realtime_drf.conf import derive_secrets
from realtime_drf.grants import Grant, Identity
from realtime_drf.pusher_protocol.signatures import Signer
from tests.server.harness import Client, Site
from tests.server.http_caller import Api

OLD, OLDER, NEW, GONE = "the old key", "the older key", "the new key", "a key not listed"
ROTATING: Final = {"SECRET_KEY": NEW, "SECRET_KEY_FALLBACKS": [OLD, OLDER]}


def derived(secret_key: str) -> str:
    """Return the secret of a process that has this SECRET_KEY alone."""
    with override_settings(SECRET_KEY=secret_key, SECRET_KEY_FALLBACKS=[]):
        (secret,) = derive_secrets("default:4242")
    return secret


def subscribe(client: Client, secret_key: str) -> Any:
    token = Signer("app-key", derived(secret_key)).channel_token(
        client.socket_id, Grant(channel="private-a")
    )
    client.subscribe("private-a", **token)
    return client.events()[-1][0]


def sign_in(client: Client, secret_key: str) -> Any:
    token = Signer("app-key", derived(secret_key)).user_token(
        client.socket_id, Identity(user_id="7")
    )
    client.say({"event": "pusher:signin", "data": token})
    return client.events()[0][0]


@pytest.mark.parametrize("secret_key", [NEW, OLD, OLDER])
def test_tokens_of_a_key_that_is_listed_are_accepted(secret_key: str) -> None:
    with Site(secret=None, settings=ROTATING) as site:
        client = site.connect()
        assert subscribe(client, secret_key) == "pusher_internal:subscription_succeeded"
        assert sign_in(client, secret_key) == "pusher:signin_success"


def test_tokens_of_a_key_that_is_not_listed_are_refused() -> None:
    with Site(secret=None, settings=ROTATING) as site:
        client = site.connect()
        assert subscribe(client, GONE) == "pusher:subscription_error"
        assert sign_in(client, GONE) == "pusher:error"


def test_a_secret_of_the_settings_has_nothing_to_do_with_the_keys() -> None:
    with Site(secret="test-secret", settings=ROTATING) as site:
        client = site.connect()
        assert subscribe(client, NEW) == subscribe(client, OLD) == "pusher:subscription_error"
        client.join("private-a")
        assert client.events()[-1][0] == "pusher_internal:subscription_succeeded"


def test_what_is_signed_is_signed_with_the_newest_key() -> None:
    with Site(secret=None, settings=ROTATING) as site:
        signature = site.transport.signer.sign("text")
    assert signature == Signer("app-key", derived(NEW)).sign("text")


def test_requests_to_the_http_api_are_accepted_alike() -> None:
    with override_settings(**ROTATING):
        api = Api(secret=None)
    for secret_key, status in ((NEW, 200), (OLD, 200), (OLDER, 200), (GONE, 401)):
        assert api.call("GET", "/channels", secret=derived(secret_key))[0] == status
