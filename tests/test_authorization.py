"""Who may hear it: asked over HTTP as clients ask, decided by policies, signed by a transport."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core import checks
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.http import Http404
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.test import APIClient

from realtime_drf import Event, publish
from realtime_drf.authorization import decide, disconnect_user
from realtime_drf.channels import PresenceChannel, PrivateChannel, UserChannel
from realtime_drf.exceptions import InvalidRequest, UnsupportedFeature
from realtime_drf.grants import Answer, AuthorizationRequest, Denial, Grant
from realtime_drf.transports import transports
from realtime_drf.transports.base import BaseTransport
from realtime_drf.transports.memory import MemoryTransport
from tests.policies import BulkChannel, ListChannel
from tests.services.pusher_http import PusherService
from tests.todos.models import TodoList

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("policies")]

MASTER_KEY = base64.b64encode(b"k" * 32).decode()
KEY, SECRET = "278d425bdf160c739803", "7ad3773142a6692b25b8"


@pytest.fixture
def memory() -> MemoryTransport:
    transport = transports["default"]
    assert isinstance(transport, MemoryTransport)
    return transport


@pytest.fixture
def pusher(settings: Settings) -> None:
    """Make Pusher the default; it signs without asking anybody."""
    pytest.importorskip("pusher")
    settings.REALTIME_TRANSPORTS = {
        "default": {
            "TRANSPORT": "realtime_drf.transports.pusher.PusherTransport",
            "OPTIONS": {
                "app_id": "1",
                "key": KEY,
                "secret": SECRET,
                "encryption_master_key_base64": MASTER_KEY,
            },
        },
        "tenant": {
            "TRANSPORT": "realtime_drf.transports.pusher.PusherTransport",
            "OPTIONS": {"app_id": "2", "key": "other-key", "secret": "other-secret"},
        },
        "console": {"TRANSPORT": "realtime_drf.transports.console.ConsoleTransport"},
    }


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", password="pw")


@pytest.fixture
def client(ann: User) -> APIClient:
    """A client that is signed in as ann."""
    client = APIClient()
    client.force_authenticate(ann)
    return client


@pytest.fixture
def mine() -> TodoList:
    return TodoList.objects.create(name="ann")


def ask(client: Any, *channels: str, socket_id: str = "1.1", **extra: Any) -> Any:
    """Ask as pusher-js does: form-encoded, one channel or many."""
    data: dict[str, Any] = {"socket_id": socket_id, **extra}
    if len(channels) == 1:
        data["channel_name"] = channels[0]
    elif channels:
        data["channel_names"] = list(channels)
    return client.post("/realtime/auth/", data)


def sign(text: str, secret: str = SECRET) -> str:
    """Sign as Pusher's documentation says, with nothing of ours."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/json, application/json", 200),  # of @ably/laravel-echo in a browser
        ("application/json, text/plain", 415),
        ("text/plain, text/plain", 415),
        ("text/plain", 415),
        ("", 415),
    ],
)
def test_json_may_say_twice_what_it_is(client: APIClient, content_type: str, status: int) -> None:
    body = json.dumps({"socket_id": "1.1", "channel_name": "private-open"})
    response = client.generic("POST", "/realtime/auth/", body, content_type=content_type)
    assert response.status_code == status


# Decisions


def test_a_channel_that_no_policy_claims_is_logged_by_its_name(
    client: APIClient, mine: TodoList, caplog: pytest.LogCaptureFixture
) -> None:
    ask(client, "private-list.5", f"private-lists.{mine.pk}", "todos", "private-todos:5")
    [record] = [each for each in caplog.records if each.name == "realtime_drf"]
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        "Denied 3 channel(s) that no policy matches, or more than one: "
        "'private-list.5', 'todos', 'private-todos:5'"
    )


def test_names_that_a_client_makes_up_fill_no_log(
    client: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    ask(client, *(f"private-{n}\n{'x' * 5_000}" for n in range(100)))
    ask(client, "#server-to-user-7")
    [record] = [each for each in caplog.records if each.name == "realtime_drf"]
    assert record.getMessage().startswith("Denied 100 channel(s)")
    assert len(record.getMessage()) < 2_000
    assert "\n" not in record.getMessage()


def test_a_policy_lets_in_and_keeps_out(client: APIClient, mine: TodoList) -> None:
    theirs = TodoList.objects.create(name="bob")
    assert ask(client, f"private-lists.{mine.pk}").status_code == 200
    assert ask(client, f"private-lists.{theirs.pk}").status_code == 403
    assert ask(client, f"private-async.{mine.pk}").status_code == 200
    assert ask(client, f"private-async.{theirs.pk}").status_code == 403


@pytest.mark.parametrize(
    "channel",
    [
        "private-nobody.knows",
        "private-lists.007",
        "private-lists.x",
        "presence-lists.1",
        "private-cache-open",
        "private-kept",
        "private-encrypted-open",
        "private-unwritten",
        "private-staff",
        "private-twice.5",
        "private-broken.truthy",
        "private-broken.raises",
        "private-broken.denies",
        "presence-boards.secret",
        "presence-boards.huge",
        "private-encrypted-safe.2",
        "news",
        "#server-to-user-1",
        "private-",
        "no channel",
        "private-" + "x" * 200,
    ],
)
def test_what_no_policy_allows_is_refused(client: APIClient, channel: str) -> None:
    response = client.post(
        "/realtime/auth/", {"socket_id": "1.1", "channel_name": channel}, format="json"
    )
    assert response.status_code == 403
    assert response.json() == {"error": "Forbidden"}


@pytest.mark.parametrize("channel", ["private-open", "private-cache-kept", "presence-boards.a"])
def test_what_a_policy_allows_is_granted(client: APIClient, channel: str) -> None:
    assert ask(client, channel).status_code == 200


def test_a_policy_that_fails_is_logged_and_one_that_says_no_is_not(
    client: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    ask(client, "private-broken.denies")
    assert not [record for record in caplog.records if record.name == "realtime_drf"]
    ask(client, "private-broken.raises")
    ask(client, "private-broken.truthy")
    ask(client, "private-unwritten")
    ask(client, "private-twice.5")
    assert "a policy that fails" in caplog.text
    assert "must return a bool, not 1" in caplog.text
    assert "has no authorize()" in caplog.text
    assert "several classes match it: TwiceChannel, TwiceAgainChannel" in caplog.text


@pytest.mark.parametrize("refusal", [PermissionDenied, Http404, NotAuthenticated])
def test_a_policy_may_raise_to_say_no(
    client: APIClient, caplog: pytest.LogCaptureFixture, refusal: type[Exception]
) -> None:
    class RefusingChannel(PrivateChannel):
        pattern = "refusing"

        def authorize(self, request: Any) -> bool:
            raise refusal

    assert ask(client, "private-refusing").status_code == 403
    assert not [record for record in caplog.records if record.name == "realtime_drf"]


@pytest.mark.parametrize("method", ["has_permission", "has_object_permission"])
def test_a_permission_that_fails_lets_nobody_in_and_is_logged(
    client: APIClient, mine: TodoList, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    def fail(*args: Any) -> bool:
        raise RuntimeError("a permission that fails")

    class GuardedChannel(PrivateChannel):
        pattern = "guarded.<int:pk>"
        queryset = TodoList.objects.all()
        permission_classes = (type("Failing", (BasePermission,), {method: fail}),)

        def authorize(self, request: Any, pk: int) -> bool:
            return True

    assert ask(client, f"private-guarded.{mine.pk}").status_code == 403
    assert "a permission that fails" in caplog.text


def test_nobody_is_let_in_without_a_user_unless_the_channel_says_so(mine: TodoList) -> None:
    anonymous = APIClient()
    assert ask(anonymous, f"private-lists.{mine.pk}").status_code == 403
    assert ask(anonymous, "private-open").status_code == 200
    assert ask(anonymous, "presence-boards.a").status_code == 403


def test_the_projects_default_permissions_are_not_asked(
    client: APIClient, settings: Settings
) -> None:
    settings.REST_FRAMEWORK = {
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"]
    }
    assert ask(client, "private-open").status_code == 200


class Never(BasePermission):
    async def has_permission(self, request: Any, view: Any) -> bool:  # type: ignore[override]
        return False


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("permission", [Never, Never & AllowAny, AllowAny & Never])
def test_an_async_permission_lets_nobody_in(client: APIClient, permission: Any) -> None:
    class Channel(PrivateChannel):
        pattern = "never"
        permission_classes = (permission,)

        def authorize(self, request: Any) -> bool:
            return True

    assert ask(client, "private-never").status_code == 403
    messages = [m.msg for m in checks.run_checks(tags=["realtime_drf"]) if m.obj is Channel]
    assert any("Never.has_permission() is async" in message for message in messages)


# Many channels


def test_many_channels_have_a_result_each(client: APIClient, mine: TodoList) -> None:
    names = ["private-open", "private-lists.0", f"private-lists.{mine.pk}", "private-nothing"]
    for data, kind in (
        ({"channel_names": names}, "json"),
        ({"channel_names": names}, "multipart"),
        ({"channel_names[]": names}, "multipart"),
    ):
        response = client.post("/realtime/auth/", {"socket_id": "1.1", **data}, format=kind)
        assert response.status_code == 200
        statuses = {name: result["status"] for name, result in response.json().items()}
        assert statuses == dict(zip(names, [200, 403, 200, 403], strict=True))
        assert "auth" in response.json()["private-open"]["data"]


def test_what_one_of_many_raises_is_not_held_against_the_others(client: APIClient) -> None:
    names = [f"private-raising.{pk}" for pk in (1, 2, 3, 4)]

    class RaisingChannel(PrivateChannel):
        pattern = "raising.<int:pk>"

        def authorize(self, request: Any, pk: int) -> bool:
            if pk == 2:
                raise Http404
            return pk != 4 or bool(1 / 0)

    answer = ask(client, *names).json()
    assert [answer[name]["status"] for name in names] == [200, 403, 200, 403]


def test_user_info_that_raises_is_not_held_against_other_channels(
    client: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    class RoomChannel(PresenceChannel):
        pattern = "rooms.<slug:name>"

        def authorize(self, request: Any, name: str) -> bool:
            return True

        def get_user_info(self, request: Any, name: str) -> dict[str, Any]:
            if name == "broken":
                raise RuntimeError("user info that fails")
            return {"name": name}

    names = ["presence-rooms.broken", "presence-rooms.whole", "private-open"]
    answer = ask(client, *names).json()
    assert [answer[name]["status"] for name in names] == [403, 200, 200]
    assert "user info that fails" in caplog.text


def test_many_channels_of_one_policy_cost_the_queries_of_one(
    client: APIClient, mine: TodoList
) -> None:
    counts = []
    for number in (1, 40):
        names = [BulkChannel(pk=mine.pk + offset).name for offset in range(number)]
        with CaptureQueriesContext(
            connection,
        ) as queries:
            response = client.post(
                "/realtime/auth/", {"socket_id": "1.1", "channel_names": names}, format="json"
            )
        assert response.json()[names[0]]["status"] == 200
        counts.append(len(queries))
    assert counts[0] == counts[1] == 1


def test_each_name_is_decided_once(ann: User, mine: TodoList) -> None:
    class Request:
        user = ann

    name = ListChannel(pk=mine.pk).name
    decisions = decide(Request(), [name, "private-x", name])
    assert decisions == [Grant(channel=name), Denial(channel="private-x"), Grant(channel=name)]


# Requests


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"socket_id": "1.1"},
        {"channel_name": "private-open"},
        {"socket_id": "", "channel_name": "private-open"},
        {"socket_id": "1", "channel_name": "private-open"},
        {"socket_id": "1.1:private-x", "channel_name": "private-open"},
        {"socket_id": "1.1\n", "channel_name": "private-open"},
        {"socket_id": 1.1, "channel_name": "private-open"},
        {"socket_id": "1.1", "channel_name": 7},
        {"socket_id": "1.1", "channel_name": {"a": 1}},
        {"socket_id": "1.1", "channel_name": ["private-open", "private-x"]},
        {"socket_id": "1.1", "channel_names": "private-open", "channel_name": "private-open"},
        {"socket_id": "1.1", "channel_names": [7]},
        {"socket_id": "1.1", "channel_names": []},
        {"socket_id": "1.1", "channel_names": ["private-open"] * 101},
        [],
        "text",
        7,
        None,
    ],
)
def test_a_malformed_request_is_a_400(client: APIClient, data: Any) -> None:
    assert client.post("/realtime/auth/", data, format="json").status_code == 400


def test_what_is_not_even_json_is_a_400(client: APIClient) -> None:
    for body in ("{", b"\xff", "[" * 100_000):
        response = client.post("/realtime/auth/", body, content_type="application/json")
        assert response.status_code == 400


@pytest.mark.parametrize("field", ['"channel_name": "\\ud800"', '"channel_names": ["\\ud800"]'])
def test_text_that_is_none_is_a_400(client: APIClient, field: str) -> None:
    body = '{"socket_id": "1.1", ' + field + "}"
    response = client.post("/realtime/auth/", body, content_type="application/json")
    assert response.status_code == 400


def test_other_methods_and_aliases_are_not_there(client: APIClient) -> None:
    assert client.get("/realtime/auth/").status_code == 405
    data = {"socket_id": "1.1", "channel_name": "private-open"}
    assert client.post("/realtime/auth/nowhere/", data).status_code == 404
    assert client.post("/realtime/auth/other/", data).status_code == 200


@pytest.mark.usefixtures("pusher")
def test_a_transport_that_cannot_authorize_is_not_found(client: APIClient) -> None:
    data = {"socket_id": "1.1", "channel_name": "private-open"}
    assert client.post("/realtime/auth/console/", data).status_code == 404
    assert client.post("/realtime/user-auth/console/", data).status_code == 404


class Minimal:
    """Satisfy the protocol of transports, and no more."""

    def __init__(self, *, alias: str) -> None:
        self.alias = alias

    def validate(self, event: Event) -> None:
        """Take everything."""

    def send(self, events: Any) -> None:
        """Send nothing."""

    async def asend(self, events: Any) -> None:
        """Send nothing."""

    def disconnect_user(self, user_id: str) -> None:
        """Disconnect nobody."""

    def check(self, **kwargs: Any) -> list[Any]:
        return []


def test_a_transport_of_the_protocol_alone_is_not_found_by_the_views(
    client: APIClient, settings: Settings
) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": "tests.test_authorization.Minimal"}}
    for url in ("auth", "user-auth", "webhooks"):
        assert client.post(f"/realtime/{url}/", {"socket_id": "1.1"}).status_code == 404
    publish(Event("a", "x"))


# Tokens of Pusher


@pytest.mark.usefixtures("pusher")
def test_tokens_are_those_of_pushers_documentation(client: APIClient, ann: User) -> None:
    text = "1.1:private-open"
    assert ask(client, "private-open").json() == {"auth": f"{KEY}:{sign(text)}"}

    answer = ask(client, "presence-boards.a").json()
    data = answer["channel_data"]
    assert json.loads(data) == {
        "user_id": str(ann.pk),
        "user_info": {"name": "Zoë", "board": "a"},
    }
    assert answer["auth"] == f"{KEY}:{sign(f'1.1:presence-boards.a:{data}')}"
    bare = ask(client, "presence-boards.bare").json()
    assert json.loads(bare["channel_data"]) == {"user_id": str(ann.pk)}

    answer = ask(client, "private-encrypted-safe.1").json()
    secret = hashlib.sha256(b"private-encrypted-safe.1" + b"k" * 32).digest()
    assert answer == {
        "auth": f"{KEY}:{sign('1.1:private-encrypted-safe.1')}",
        "shared_secret": base64.b64encode(secret).decode(),
    }


@pytest.mark.usefixtures("pusher")
def test_tokens_are_those_of_the_sdk(client: APIClient) -> None:
    sdk = pytest.importorskip("pusher").Pusher(
        "1", KEY, SECRET, encryption_master_key_base64=MASTER_KEY
    )
    theirs = sdk.authenticate("private-encrypted-safe.1", "1.1")
    theirs["shared_secret"] = theirs["shared_secret"].decode()
    assert ask(client, "private-encrypted-safe.1").json() == theirs
    assert ask(client, "private-open").json() == sdk.authenticate("private-open", "1.1")


@pytest.mark.usefixtures("pusher")
def test_a_tenant_signs_with_its_own_key(client: APIClient) -> None:
    data = {"socket_id": "1.1", "channel_name": "private-open"}
    answer = client.post("/realtime/auth/tenant/", data).json()
    assert answer == {"auth": f"other-key:{sign('1.1:private-open', 'other-secret')}"}
    # This app has no master key, so nobody could read the channel.
    data["channel_name"] = "private-encrypted-safe.1"
    assert client.post("/realtime/auth/tenant/", data).status_code == 403


# Signing in


@pytest.mark.usefixtures("pusher")
def test_signing_in_is_as_oneself(client: APIClient, ann: User) -> None:
    posted = {"socket_id": "1.1", "user_id": "999", "user_data": '{"id": "999"}'}
    answer = client.post("/realtime/user-auth/", posted).json()
    assert json.loads(answer["user_data"]) == {"id": str(ann.pk)}
    assert answer["auth"] == f"{KEY}:{sign('1.1::user::' + answer['user_data'])}"


@pytest.mark.usefixtures("pusher")
def test_a_user_channel_of_ones_own_says_more(client: APIClient, ann: User) -> None:
    class Person(UserChannel):
        def get_user_info(self, request: Any) -> dict[str, Any]:
            return {"name": request.user.get_username()}

        def get_watchlist(self, request: Any) -> list[Any]:
            return [7, "8"]

    answer = client.post("/realtime/user-auth/", {"socket_id": "1.1"}).json()
    assert json.loads(answer["user_data"]) == {
        "id": str(ann.pk),
        "user_info": {"name": "ann"},
        "watchlist": ["7", "8"],
    }
    Person.get_user_info = lambda self, request: {"name": {1, 2}}  # type: ignore[method-assign]
    assert client.post("/realtime/user-auth/", {"socket_id": "1.1"}).status_code == 403
    Person.get_user_info = lambda self, request: {"name": "x" * 1025}  # type: ignore[method-assign]
    assert client.post("/realtime/user-auth/", {"socket_id": "1.1"}).status_code == 403
    Person.get_user_info = lambda self, request: 1 / 0  # type: ignore[method-assign]
    assert client.post("/realtime/user-auth/", {"socket_id": "1.1"}).status_code == 403


def test_nobody_signs_in_as_nobody() -> None:
    assert APIClient().post("/realtime/user-auth/", {"socket_id": "1.1"}).status_code == 403


def test_signing_in_needs_a_socket_id(client: APIClient) -> None:
    assert client.post("/realtime/user-auth/", {"socket_id": "x"}).status_code == 400
    assert client.post("/realtime/user-auth/", [], format="json").status_code == 400


# The way to the view


def test_sessions_need_a_csrf_token_as_in_any_view_of_drf(ann: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    assert ask(client, "private-open").status_code == 403
    client.cookies["csrftoken"] = token = "a" * 32
    data = {"socket_id": "1.1", "channel_name": "private-open"}
    answer = client.post("/realtime/auth/", data, headers={"X-CSRFToken": token})
    assert answer.status_code == 200


def test_tokens_in_a_header_need_none(ann: User, settings: Settings) -> None:
    header = "Basic " + base64.b64encode(b"ann:pw").decode()
    client = Client(enforce_csrf_checks=True, headers={"Authorization": header})
    assert ask(client, "presence-boards.a").status_code == 200
    wrong = "Basic " + base64.b64encode(b"ann:no").decode()
    client = Client(enforce_csrf_checks=True, headers={"Authorization": wrong})
    assert ask(client, "private-open").status_code in (401, 403)


def test_what_is_accepted_and_the_projects_versions_do_not_matter(
    client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rest_framework.versioning import AcceptHeaderVersioning
    from rest_framework.views import APIView

    monkeypatch.setattr(APIView, "versioning_class", AcceptHeaderVersioning)
    data = {"socket_id": "1.1", "channel_name": "private-open"}
    for accept in ("text/html", "application/json; version=99", "nonsense"):
        answer = client.post("/realtime/auth/", data, headers={"Accept": accept})
        assert answer.status_code == 200
        assert answer["Content-Type"] == "application/json"


def test_requests_are_throttled(client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from rest_framework.throttling import ScopedRateThrottle

    from realtime_drf.views import ChannelAuthorizationView

    monkeypatch.setattr(ChannelAuthorizationView, "throttle_classes", [ScopedRateThrottle])
    monkeypatch.setattr(ScopedRateThrottle, "THROTTLE_RATES", {"realtime": "2/min"})
    answers = [ask(client, "private-open").status_code for _ in range(3)]
    assert answers == [200, 200, 429]


def test_a_denial_rolls_nothing_back_under_atomic_requests(client: APIClient) -> None:
    with transaction.atomic():
        assert ask(client, "private-nothing").status_code == 403
        assert not transaction.get_rollback()
        assert ask(client, "private-open").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_an_asynchronous_server_answers_alike(ann: User, mine: TodoList) -> None:
    async def main() -> list[int]:
        client = AsyncClient()
        await client.aforce_login(ann)
        answers = []
        for channel in (f"private-async.{mine.pk}", f"private-lists.{mine.pk}", "private-no"):
            data = {"socket_id": "1.1", "channel_name": channel}
            answers.append((await client.post("/realtime/auth/", data)).status_code)
        return answers

    assert asyncio.run(main()) == [200, 200, 403]


def test_nothing_secret_is_logged(
    client: APIClient, caplog: pytest.LogCaptureFixture, pusher: None
) -> None:
    with caplog.at_level(logging.DEBUG):
        token = ask(client, "private-open").json()["auth"]
        ask(client, "presence-boards.huge")
        ask(client, "private-broken.raises")
        client.post("/realtime/user-auth/", {"socket_id": "1.1"})
    assert caplog.text
    for secret in (SECRET, MASTER_KEY, token, token.partition(":")[2]):
        assert secret not in caplog.text
        assert secret not in repr(transports["default"])


# Revocation


def test_a_user_is_disconnected_where_the_transport_can(
    settings: Settings, ann: User, pusher_service: PusherService
) -> None:
    pytest.importorskip("pusher")
    settings.REALTIME_TRANSPORTS = {
        "default": {
            "TRANSPORT": "realtime_drf.transports.pusher.PusherTransport",
            "OPTIONS": {
                "app_id": pusher_service.app_id,
                "key": pusher_service.key,
                "secret": pusher_service.secret,
                "host": pusher_service.host,
                "port": pusher_service.port,
                "ssl": False,
            },
        },
        "memory": {"TRANSPORT": "realtime_drf.transports.memory.MemoryTransport"},
    }
    disconnect_user(ann)
    disconnect_user("7")
    assert pusher_service.terminated == [str(ann.pk), "7"]
    with pytest.raises(UnsupportedFeature, match="disconnect a user"):
        disconnect_user(ann, transport="memory")
    transport = transports["default"]
    assert isinstance(transport, BaseTransport)
    transport.close()


# Without a service


@pytest.mark.django_db(transaction=True)
def test_memory_lets_in_whom_the_policies_let_in(
    client: APIClient, memory: MemoryTransport, mine: TodoList
) -> None:
    browser, stranger = memory.connect(), memory.connect()
    channel = f"private-lists.{mine.pk}"
    token = ask(client, channel, socket_id=browser.socket_id).json()
    browser.subscribe(channel, token)
    for refused in ({}, token, {"auth": "memory:"}, {"auth": token["auth"][:-1] + "x"}):
        with pytest.raises(InvalidRequest):
            stranger.subscribe(channel, refused)
    publish(Event("todo.create", channel, socket_id=None))
    publish(Event("todo.update", channel, socket_id=browser.socket_id))
    assert [event.name for event in browser.received] == ["todo.create"]
    assert stranger.received == []


def test_memory_verifies_who_is_present(client: APIClient, memory: MemoryTransport) -> None:
    browser = memory.connect()
    token = ask(client, "presence-boards.a", socket_id=browser.socket_id).json()
    forged = {**token, "channel_data": '{"user_id": "999"}'}
    for refused in (forged, {"auth": token["auth"]}):
        with pytest.raises(InvalidRequest):
            browser.subscribe("presence-boards.a", refused)
    browser.subscribe("presence-boards.a", token)
    browser.subscribe("news")
    with pytest.raises(InvalidRequest, match="signing in"):
        browser.subscribe("#server-to-user-1")
    browser.unsubscribe("news")
    assert browser.channels == {"presence-boards.a"}


def test_tokens_and_socket_ids_stay_out_of_reprs() -> None:
    answer = Answer(status=200, body={"auth": "key:signature"})
    asked = AuthorizationRequest(socket_id="123.456", channels=("x",))
    assert "signature" not in repr(answer)
    assert "123.456" not in repr(asked)


def test_anonymous_users_have_no_identity() -> None:
    class Request:
        user = AnonymousUser()

    assert decide(Request(), ["presence-boards.a"]) == [Denial(channel="presence-boards.a")]
