"""Tokens for Ably's clients: what the policies allow, and nothing more."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.test import APIClient

from realtime_drf.channels import PresenceChannel, PrivateChannel, UserChannel
from realtime_drf.transports import transports
from tests.services.ably_app import App, Refusal, Session
from tests.todos.models import TodoList

pytest.importorskip("ably")
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("policies")]

MASTER_KEY = base64.b64encode(b"k" * 32).decode()
PUBLIC = {"public:*": ["subscribe"]}
ABLY = "realtime_drf.transports.ably.AblyTransport"


@pytest.fixture
def app() -> App:
    """The app whose key signs, as the service knows it."""
    return App()


@pytest.fixture(autouse=True)
def _configured(settings: Settings, app: App) -> None:
    settings.REALTIME_TRANSPORTS = {
        "default": {
            "TRANSPORT": ABLY,
            "OPTIONS": {"key": app.key, "encryption_master_key_base64": MASTER_KEY},
        },
        "plain": {"TRANSPORT": ABLY, "OPTIONS": {"key": app.key, "prefix": "blog:"}},
        "token": {"TRANSPORT": ABLY, "OPTIONS": {"token": "x" * 20}},
        "memory": {"TRANSPORT": "realtime_drf.transports.memory.MemoryTransport"},
    }


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def client(ann: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(ann)
    return client


@pytest.fixture
def mine() -> str:
    """The name of a channel to which ann may subscribe."""
    return f"private-lists.{TodoList.objects.create(name='ann').pk}"


def ask(client: Any, *channels: str, alias: str = "", **data: Any) -> Any:
    """Request a token as ably-js does if it is set to POST."""
    return client.post(f"/realtime/auth/{alias}", {"channel_names": json.dumps(channels), **data})


def ask_as_echo(client: Any, channel: str | None, token: str | None = None) -> Any:
    return client.post("/realtime/auth/", {"channel_name": channel, "token": token}, format="json")


def entered(app: App, answer: Any) -> Session:
    """Connect with what was answered, and return as whom and with which rights."""
    assert answer.status_code == 200, answer.content
    if answer["Content-Type"] == "application/jwt":
        return app.enter_with_token(answer.content.decode())
    content = json.loads(answer.content)
    token = content["token"] if "token" in content else app.exchange(content)["token"]
    return app.enter_with_token(token)


# What a token holds


@pytest.mark.parametrize("form", ["request", "jwt", "object"])
def test_a_token_is_for_what_the_policies_allow(
    app: App, client: APIClient, ann: User, mine: str, form: str
) -> None:
    theirs = f"private-lists.{TodoList.objects.create(name='bob').pk}"
    asked = (mine, theirs, "presence-boards.a", "private-unknown", "news", "private:x y")
    session = entered(app, ask(client, *asked, format=form))
    assert session.capability == {
        mine.replace("private-", "private:"): ["subscribe"],
        "presence:boards.a": ["presence", "subscribe"],
        **PUBLIC,
    }
    assert session.client_id == str(ann.pk)
    assert session.expires == pytest.approx(time.time() + 3600, abs=5)


@pytest.mark.parametrize("form", ["request", "jwt", "object"])
def test_who_asks_for_nothing_gets_the_public_channels(app: App, form: str) -> None:
    for names in ((), ("news", "public:more")):
        session = entered(app, ask(APIClient(), *names, format=form))
        assert (session.capability, session.client_id) == (PUBLIC, None)


def test_names_are_canonical_or_ablys(app: App, client: APIClient, mine: str) -> None:
    wire = mine.replace("private-", "private:")
    for name in (mine, wire):
        for data in (
            {"channel_names": [name]},
            {"channel_names[]": [name]},
            {"channel_names": json.dumps([name])},
            {"channel_name": name},
        ):
            session = entered(app, client.post("/realtime/auth/", data))
            assert set(session.capability) == {wire, "public:*"}


def test_a_prefix_stands_before_all(app: App, client: APIClient, mine: str) -> None:
    session = entered(app, ask(client, mine, alias="plain/"))
    wire = f"blog:{mine.replace('private-', 'private:')}"
    assert session.capability == {wire: ["subscribe"], "blog:public:*": ["subscribe"]}


def test_ably_js_may_ask_by_get_and_nobody_keeps_the_answer(
    app: App, client: APIClient, mine: str
) -> None:
    url = "/realtime/auth/"
    answer = client.get(url, {"channel_names": json.dumps([mine]), "format": "jwt"})
    assert mine.replace("private-", "private:") in entered(app, answer).capability
    assert answer["Cache-Control"] == "no-store"
    assert ask(client, mine)["Cache-Control"] == "no-store"
    assert client.get("/realtime/auth/memory/").status_code == 405


class IsRead(BasePermission):
    """A permission that goes by the method alone."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return request.method in SAFE_METHODS

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        return request.method in SAFE_METHODS


class IsReadOfObject(IsRead):
    """One that goes by it on objects only."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return True


@pytest.mark.parametrize("ask_by", ["get", "head", "post"])
def test_permissions_see_a_post_whichever_method_asks(
    client: APIClient, ann: User, mine: str, ask_by: str
) -> None:
    class Readers(PrivateChannel):
        pattern = "readers"
        permission_classes = (IsRead,)

        def authorize(self, request: Any) -> bool:
            return True

    class Lists(PrivateChannel):
        pattern = "readable.<int:pk>"
        permission_classes = (IsReadOfObject,)
        queryset = TodoList.objects.all()

    class Policy(PrivateChannel):
        pattern = "policy"

        def authorize(self, request: Any) -> bool:
            return bool(request.method in SAFE_METHODS)

    class Readable(UserChannel):
        permission_classes = (IsRead,)

    pk = mine.rpartition(".")[2]
    send = getattr(client, ask_by)
    names = ["private-readers", f"private-readable.{pk}", "private-policy", f"user:{ann.pk}"]
    answers = [send("/realtime/auth/", {"channel_names": json.dumps([name])}) for name in names]
    answers.append(send("/realtime/user-auth/"))
    assert [answer.status_code for answer in answers] == [403] * 5


def test_what_a_client_would_like_to_be_is_not_looked_at(
    app: App, client: APIClient, ann: User, mine: str
) -> None:
    wishes = {
        "clientId": "8",
        "capability": '{"*":["*"]}',
        "ttl": "86400000",
        "timestamp": "1",
        "nonce": "x" * 16,
        "user_id": "8",
    }
    session = entered(app, ask(client, mine, **wishes))
    assert session.client_id == str(ann.pk)
    assert set(session.capability) == {mine.replace("private-", "private:"), "public:*"}
    assert session.expires == pytest.approx(time.time() + 3600, abs=5)


# Who may publish


class ChatChannel(PrivateChannel):
    def authorize(self, request: Any, pk: int) -> bool:
        return True

    async def authorize_publish(self, request: Any, pk: int) -> bool:
        return pk == 1


class BrokenChannel(PresenceChannel):
    def authorize(self, request: Any) -> bool:
        return True

    def authorize_publish(self, request: Any) -> Any:
        return "yes"


def test_a_client_publishes_only_where_the_policy_says(
    app: App, client: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    type("Chat", (ChatChannel,), {"pattern": "chat.<int:pk>"})
    type("Odd", (BrokenChannel,), {"pattern": "odd"})
    session = entered(app, ask(client, "private-chat.1", "private-chat.2", "presence-odd"))
    assert session.capability == {
        "private:chat.1": ["publish", "subscribe"],
        "private:chat.2": ["subscribe"],
        **PUBLIC,
    }
    assert "authorize_publish() must return a bool" in caplog.text


# The user's own channel


@pytest.mark.parametrize("name", ["#server-to-user-{}", "user:{}"])
def test_the_channel_of_a_user_is_for_that_user(
    app: App, client: APIClient, ann: User, name: str
) -> None:
    session = entered(app, ask(client, name.format(ann.pk), name.format(ann.pk + 1)))
    assert session.capability == {f"user:{ann.pk}": ["subscribe"], **PUBLIC}
    assert ask(client, name.format(ann.pk + 1)).status_code == 403
    assert ask(APIClient(), name.format(ann.pk)).status_code == 403


def test_a_user_who_may_not_sign_in_gets_403(client: APIClient, ann: User) -> None:
    class Nobody(UserChannel):
        permission_classes = (~IsAuthenticated,)

    assert ask(client, f"user:{ann.pk}").status_code == 403
    assert client.post("/realtime/user-auth/").status_code == 403


@pytest.mark.parametrize("form", ["request", "jwt", "object"])
def test_signing_in_is_a_token_for_that_channel(
    app: App, client: APIClient, ann: User, form: str
) -> None:
    for answer in (
        client.post("/realtime/user-auth/", {"format": form}),
        client.get("/realtime/user-auth/", {"format": form}),
    ):
        session = entered(app, answer)
        assert session.client_id == str(ann.pk)
        assert session.capability == {f"user:{ann.pk}": ["subscribe"], **PUBLIC}
    assert APIClient().post("/realtime/user-auth/").status_code == 403
    assert client.post("/realtime/user-auth/", {"format": "xml"}).status_code == 400


# What is refused, and how


def test_a_refusal_is_final_where_nothing_is_granted(client: APIClient, mine: str) -> None:
    answer = ask(client, "private-staff", "private-unknown")
    assert answer.status_code == 403
    assert answer.json() == {"error": {"code": 40300, "statusCode": 403, "message": "Forbidden"}}
    assert ask(client, "private-staff", mine).status_code == 200


@pytest.mark.parametrize(
    "data",
    [
        {"channel_name": ["a", "b"]},
        {"channel_names": [7]},
        {"channel_names": "[7]"},
        {"channel_names": "[" * 5_000},
        {"channel_names": '["\\ud800"]'},
        {"format": "xml"},
        {"token": "not.a-token.x"},
        {"token": 7},
        {"token": f"x.{base64.urlsafe_b64encode(b'[]').decode()}.x"},
    ],
    ids=range(9),
)
def test_what_is_malformed_is_a_400(client: APIClient, data: Any) -> None:
    answer = client.post("/realtime/auth/", data, format="json")
    assert answer.status_code == 400, answer.content


@pytest.fixture
def _rooms(policies: None) -> None:
    class Room(PrivateChannel):
        pattern = "ably-rooms.<int:pk>"

        def authorize(self, request: Any, pk: int) -> bool:
            return True


@pytest.mark.usefixtures("_rooms")
def test_a_client_may_have_as_many_channels_as_the_account_allows(
    app: App, client: APIClient, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"private-ably-rooms.{n}" for n in range(251)]
    assert len(entered(app, ask(client, *names[:200])).capability) == 201
    # With 403 ably-js gives up; after any other status it would ask again and again.
    answer = ask(client, *names[:201])
    assert answer.status_code == 403
    error = {"code": 40300, "statusCode": 403, "message": "A client may have 200 channels."}
    assert answer.json() == {"error": error}
    assert "201 channels was denied by <AblyTransport 'default'>" in caplog.text
    options = {"key": app.key, "max_channels": 250}
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": ABLY, "OPTIONS": options}}
    assert len(entered(app, ask(client, *names[:250])).capability) == 251
    assert ask(client, *names).status_code == 403


@pytest.mark.usefixtures("_rooms")
def test_echo_is_refused_one_channel_too_many_and_keeps_the_others(
    app: App, client: APIClient, settings: Settings
) -> None:
    options = {"key": app.key, "max_channels": 3}
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": ABLY, "OPTIONS": options}}
    token = None
    for number in range(3):
        token = ask_as_echo(client, f"private:ably-rooms.{number}", token).json()["token"]
    assert ask_as_echo(client, "private:ably-rooms.3", token).status_code == 403
    renewed = ask_as_echo(client, None, token).json()["token"]
    assert len(app.enter_with_token(renewed).capability) == 4


def test_an_id_that_would_be_everybodys_is_refused(
    client: APIClient, mine: str, caplog: pytest.LogCaptureFixture
) -> None:
    for pk in ("*", "7\n8"):
        client.force_authenticate(User(pk=pk))  # type: ignore[misc]
        assert ask(client).status_code == 403
    assert "not a valid client id of Ably" in caplog.text


def test_a_token_in_place_of_the_key_authorizes_nobody(client: APIClient, mine: str) -> None:
    assert ask(client, mine, alias="token/").status_code == 404
    assert not transports["token"].supports_authorization  # type: ignore[attr-defined]


def test_info_that_has_no_form_is_refused_and_logged(
    client: APIClient, mine: str, caplog: pytest.LogCaptureFixture
) -> None:
    cls = type(
        "Odd",
        (PresenceChannel,),
        {
            "pattern": "nan",
            "authorize": lambda self, request: True,
            "get_user_info": lambda self, request: {"x": float("nan")},
        },
    )
    assert ask(client, cls().name).status_code == 403  # type: ignore[call-arg]
    assert ask(client, cls().name, mine).status_code == 200  # type: ignore[call-arg]
    assert "presence-nan cannot be granted" in caplog.text


# laravel-echo, and what a client must know besides


def test_echo_is_told_who_it_is_on_a_presence_channel(
    app: App, client: APIClient, ann: User
) -> None:
    answer = ask_as_echo(client, "presence:boards.a")
    assert answer.json()["info"] == {"name": "Zoë", "board": "a"}
    session = entered(app, answer)
    assert session.capability == {"presence:boards.a": ["presence", "subscribe"], **PUBLIC}


def test_echo_keeps_the_channels_that_it_has_as_long_as_the_policies_allow(
    app: App, client: APIClient, mine: str
) -> None:
    first = ask_as_echo(client, mine.replace("private-", "private:")).json()["token"]
    second = ask_as_echo(client, "presence:boards.a", first).json()["token"]
    wire = mine.replace("private-", "private:")
    assert set(app.enter_with_token(second).capability) == {wire, "presence:boards.a", "public:*"}
    renewed = ask_as_echo(client, None, second).json()["token"]
    assert app.enter_with_token(renewed).capability == app.enter_with_token(second).capability
    TodoList.objects.all().delete()
    renewed = ask_as_echo(client, None, second).json()["token"]
    assert set(app.enter_with_token(renewed).capability) == {"presence:boards.a", "public:*"}
    # The one that is asked for decides, whatever else the token holds.
    assert ask_as_echo(client, "private:staff", second).status_code == 403


def test_a_forged_token_gains_nothing(app: App, client: APIClient) -> None:
    claims = {"x-ably-capability": '{"*":["*"],"private:staff":["*"],"presence:boards.a":["*"]}'}
    forged = f"x.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()}.x"
    session = entered(app, ask_as_echo(client, None, forged))
    assert session.capability == {"presence:boards.a": ["presence", "subscribe"], **PUBLIC}


def test_the_key_of_an_encrypted_channel_goes_to_whom_may_hear_it(
    app: App, client: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    name = "private-encrypted-safe.1"
    content = ask(client, name, "private-encrypted-safe.2", format="object").json()
    key = hashlib.sha256(name.encode() + b"k" * 32).digest()
    assert content["channels"] == {
        "private:encrypted-safe.1": {"cipher_key": base64.b64encode(key).decode()}
    }
    caplog.set_level(logging.ERROR)
    assert ask(client, name, alias="plain/").status_code == 403
    assert "no master key is configured" in caplog.text


def test_the_stand_in_refuses_what_the_service_would(app: App, client: APIClient) -> None:
    content = ask(client).json()
    for change in ({"clientId": "8"}, {"capability": '{"*":["*"]}'}, {"timestamp": 1}):
        with pytest.raises(Refusal):
            app.exchange({**content, **change})
    app.exchange(content)
    with pytest.raises(Refusal):  # a nonce counts once
        app.exchange(content)
    token = ask(client, format="jwt").content.decode()
    with pytest.raises(Refusal):
        app.enter_with_token(token[:-4] + "AAAA")
