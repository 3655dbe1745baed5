"""Who a client is, the project's authentication says: each class of DRF's, and JSON Web Tokens."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.authentication import (
    BasicAuthentication,
    SessionAuthentication,
    TokenAuthentication,
)
from rest_framework.authtoken.models import Token
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from realtime_drf.views import TransportView

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("policies")]

CSRF_TOKEN = "a" * 32


def basic(user: User) -> str:
    return "Basic " + base64.b64encode(f"{user.get_username()}:pw".encode()).decode()


def token(user: User) -> str:
    return f"Token {Token.objects.create(user=user).key}"


def jwt(user: User) -> str:
    return f"Bearer {AccessToken.for_user(user)}"


IN_A_HEADER = pytest.mark.parametrize(
    ("authentication", "credentials"),
    [(BasicAuthentication, basic), (TokenAuthentication, token), (JWTAuthentication, jwt)],
    ids=["basic", "token", "jwt"],
)


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", password="pw")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that has the endpoints use these classes, as a project's default would."""

    def use(*classes: Any) -> None:
        monkeypatch.setattr(TransportView, "authentication_classes", classes)

    return use


def strict(**headers: str) -> Client:
    """Return a client that asks for a CSRF token wherever Django would."""
    return Client(enforce_csrf_checks=True, headers=headers)


def subscribe(client: Client, channel: str = "presence-boards.a", **headers: str) -> Any:
    data = {"socket_id": "1.1", "channel_name": channel}
    return client.post("/realtime/auth/", data, headers=headers)


def sign_in(client: Client, **headers: str) -> Any:
    return client.post("/realtime/user-auth/", {"socket_id": "1.1"}, headers=headers)


@IN_A_HEADER
def test_credentials_in_a_header_are_the_users(
    use: Callable[..., None], ann: User, authentication: Any, credentials: Callable[[User], str]
) -> None:
    use(authentication)
    client = strict(Authorization=credentials(ann))
    subscribed, signed_in = subscribe(client), sign_in(client)
    assert (subscribed.status_code, signed_in.status_code) == (200, 200)
    assert json.loads(subscribed.json()["channel_data"])["user_id"] == str(ann.pk)
    assert json.loads(signed_in.json()["user_data"])["id"] == str(ann.pk)


@IN_A_HEADER
def test_wrong_credentials_in_a_header_are_a_401(
    use: Callable[..., None], ann: User, authentication: Any, credentials: Callable[[User], str]
) -> None:
    use(authentication)
    right = credentials(ann)
    scheme = right.partition(" ")[0]
    mallory = base64.b64encode(b"ann:wrong").decode()
    for wrong in (scheme, f"{scheme} {mallory}", f"{right} more", f"{right[:-8]}"):
        client = strict(Authorization=wrong)
        # Not even what is open to all: who shows credentials means to be somebody.
        for answer in (subscribe(client), subscribe(client, "private-open"), sign_in(client)):
            assert answer.status_code == 401, wrong
            assert "auth" not in answer.json()


@IN_A_HEADER
def test_no_credentials_are_nobody(
    use: Callable[..., None], authentication: Any, credentials: Any
) -> None:
    use(authentication)
    assert subscribe(strict()).status_code == 403
    assert sign_in(strict()).status_code == 403
    assert subscribe(strict(), "private-open").status_code == 200


def test_users_who_may_no_longer_log_in_are_refused(use: Callable[..., None], ann: User) -> None:
    use(BasicAuthentication, TokenAuthentication, JWTAuthentication)
    headers = [basic(ann), token(ann), jwt(ann)]
    ann.is_active = False
    ann.save()
    for header in headers:
        assert subscribe(strict(Authorization=header)).status_code == 401


def test_a_token_for_something_else_is_none(use: Callable[..., None], ann: User) -> None:
    use(JWTAuthentication)
    header = f"Bearer {RefreshToken.for_user(ann)}"
    assert subscribe(strict(Authorization=header)).status_code == 401


def test_a_session_needs_a_csrf_token_and_nobody_else_does(
    use: Callable[..., None], ann: User
) -> None:
    use(SessionAuthentication, JWTAuthentication)
    client = strict()
    client.force_login(ann)
    client.cookies["csrftoken"] = CSRF_TOKEN
    for ask in (subscribe, sign_in):
        assert ask(client).status_code == 403
        assert ask(client, **{"X-CSRFToken": "b" * 32}).status_code == 403
        assert ask(client, **{"X-CSRFToken": CSRF_TOKEN}).status_code == 200
        assert ask(strict(Authorization=jwt(ann))).status_code == 200


def test_a_session_that_is_over_is_nobodys(use: Callable[..., None], ann: User) -> None:
    use(SessionAuthentication)
    client = strict()
    client.force_login(ann)
    client.logout()
    client.cookies["csrftoken"] = CSRF_TOKEN
    assert subscribe(client, **{"X-CSRFToken": CSRF_TOKEN}).status_code == 403
