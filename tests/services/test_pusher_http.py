"""The stand-in for Pusher's HTTP API takes what the real one takes, and fails as ordered."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.services import faults
from tests.services.process import accepts_connections
from tests.services.pusher_http import PusherService, Received
from tests.services.pusher_rules import string_to_sign
from tests.services.pusher_sdk import pusher_sdk

requests = pytest.importorskip("requests")
errors = pytest.importorskip("pusher.errors")

MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def sdk(pusher_service: PusherService) -> Iterator[Any]:
    """Return the SDK for the stand-in."""
    with pusher_sdk(pusher_service, encryption_master_key_base64=MASTER_KEY) as client:
        yield client


class TestPusherService:
    """The stand-in takes what the real service takes, and nothing else."""

    def test_records_each_channel_of_a_trigger(
        self, pusher_service: PusherService, sdk: Any
    ) -> None:
        assert sdk.trigger(["a", "private-b"], "saved", {"id": 1}, "12.34") == {}
        assert pusher_service.received == [
            Received("a", "saved", '{"id": 1}', "12.34"),
            Received("private-b", "saved", '{"id": 1}', "12.34"),
        ]
        [request] = pusher_service.requests
        assert (request.method, request.path) == ("POST", "/apps/4711/events")
        assert request.body["channels"] == ["a", "private-b"]
        assert request.query["auth_version"] == "1.0"
        assert request.headers["content-type"] == "application/json"

    def test_one_connection_serves_many_requests(
        self, pusher_service: PusherService, sdk: Any
    ) -> None:
        for number in range(5):
            sdk.trigger("a", "saved", {"id": number})
        assert pusher_service.connections == 1

    def test_records_a_batch_in_order(self, pusher_service: PusherService, sdk: Any) -> None:
        sdk.trigger_batch([{"channel": c, "name": "n", "data": c} for c in "xyz"])
        assert [event.channel for event in pusher_service.received] == ["x", "y", "z"]

    def test_refuses_a_batch_whole(self, pusher_service: PusherService, sdk: Any) -> None:
        good = {"channel": "a", "name": "n", "data": "{}"}
        with pytest.raises(errors.PusherBadRequest):
            sdk.trigger_batch([good, {**good, "channel": "a b"}], already_encoded=True)
        with pytest.raises(errors.PusherBadRequest, match="between 1 and 10"):
            sdk.trigger_batch([good] * 11, already_encoded=True)
        assert pusher_service.received == []

    def test_takes_encrypted_events_and_events_to_users(
        self, pusher_service: PusherService, sdk: Any
    ) -> None:
        sdk.trigger("private-encrypted-a", "saved", {"id": 1})
        sdk.send_to_user("user-7", "hello", {})
        encrypted, direct = pusher_service.received
        assert set(json.loads(encrypted.data)) == {"nonce", "ciphertext"}
        assert direct.channel == "#server-to-user-user-7"

    def test_answers_from_what_is_occupied(self, pusher_service: PusherService, sdk: Any) -> None:
        pusher_service.occupied = {"a": {"subscription_count": 2}, "presence-b": {"users": ["7"]}}
        assert sdk.channels_info() == {"channels": {"a": {}, "presence-b": {}}}
        assert sdk.channels_info("presence-", ["user_count"]) == {
            "channels": {"presence-b": {"user_count": 1}}
        }
        assert sdk.channel_info("a", ["subscription_count"]) == {
            "occupied": True,
            "subscription_count": 2,
        }
        assert sdk.channel_info("c") == {"occupied": False}
        assert sdk.users_info("presence-b") == {"users": [{"id": "7"}]}
        with pytest.raises(errors.PusherBadRequest, match="filter_by_prefix"):
            sdk.channels_info("a", ["user_count"])
        with pytest.raises(errors.PusherBadRequest, match="presence channels"):
            sdk.users_info("a")

    def test_ends_a_users_connections_under_the_app_only(
        self, pusher_service: PusherService, sdk: Any
    ) -> None:
        path = "/apps/4711/users/user-7/terminate_connections"
        assert signed(pusher_service, path, {}).status_code == 200
        assert pusher_service.terminated == ["user-7"]
        # The SDK posts to a path without the app.
        with pytest.raises(errors.PusherBadStatus, match="404"):
            sdk.terminate_user_connections("user-7")

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"data": "é" * 5_120}, 200),
            ({"data": "é" * 5_120 + "x"}, 413),
            ({"data": {"id": 1}}, 400),
            ({"name": "n" * 200}, 200),
            ({"name": "n" * 201}, 400),
            ({"channels": [f"c{n}" for n in range(100)]}, 200),
            ({"channels": [f"c{n}" for n in range(101)]}, 400),
            ({"channels": []}, 400),
            ({"channels": ["c" * 164]}, 200),
            ({"channels": ["c" * 165]}, 400),
            ({"channels": ["Az09_-=@,.;"]}, 200),
            ({"channels": ["a:b"]}, 400),
            ({"channels": ["a\n"]}, 400),
            ({"channels": ["#other"]}, 400),
            ({"channels": ["#server-to-user-1", "a"]}, 400),
            ({"channels": ["private-encrypted-a"]}, 400),
            ({"channels": ["private-encrypted-a", "a"]}, 400),
            ({"socket_id": "1.2"}, 200),
            ({"socket_id": "1.2; drop"}, 400),
            ({"socket_id": None}, 400),
        ],
        ids=repr,
    )
    def test_holds_to_the_limits(
        self, pusher_service: PusherService, change: dict[str, Any], status: int
    ) -> None:
        event = {"name": "saved", "data": "{}", "channels": ["a"], **change}
        answer = signed(pusher_service, "/apps/4711/events", event)
        assert answer.status_code == status, answer.text
        assert bool(pusher_service.received) is (status == 200)

    def test_takes_a_limit_of_its_own(self, pusher_service: PusherService, sdk: Any) -> None:
        pusher_service.data_limit = 5
        with pytest.raises(errors.PusherBadStatus, match="413"):
            sdk.trigger("a", "saved", "123456")

    def test_quotes_what_was_signed_when_the_secret_is_wrong(
        self, pusher_service: PusherService
    ) -> None:
        with (
            pusher_sdk(pusher_service, secret="wrong") as client,
            pytest.raises(errors.PusherBadAuth) as caught,
        ):
            client.trigger("a", "saved", {})
        [request] = pusher_service.requests
        assert json.dumps(string_to_sign(request)) in str(caught.value)
        assert request.query["auth_signature"] in str(caught.value)
        assert pusher_service.secret not in str(caught.value)

    @pytest.mark.parametrize(
        ("seconds", "status"), [(600, 200), (-600, 200), (601, 401), (-601, 401)]
    )
    def test_refuses_a_stale_timestamp(self, seconds: int, status: int) -> None:
        now = int(time.time())
        with PusherService(clock=lambda: now + seconds) as service:
            event = {"name": "saved", "data": "{}", "channels": ["a"]}
            assert signed(service, "/apps/4711/events", event, now=now).status_code == status

    def test_refuses_a_body_that_was_not_signed(self, pusher_service: PusherService) -> None:
        event = {"name": "saved", "data": "{}", "channels": ["a"]}
        answer = signed(pusher_service, "/apps/4711/events", event, tamper=b" ")
        assert (answer.status_code, "body_md5" in answer.text) == (401, True)

    def test_refuses_other_keys_other_apps_and_a_disabled_app(
        self, pusher_service: PusherService, sdk: Any
    ) -> None:
        with (
            pusher_sdk(pusher_service, key="other") as stranger,
            pytest.raises(errors.PusherBadAuth, match="auth_key"),
        ):
            stranger.trigger("a", "saved", {})
        assert signed(pusher_service, "/apps/1/events", {}).status_code == 404
        pusher_service.disabled = True
        with pytest.raises(errors.PusherForbidden):
            sdk.trigger("a", "saved", {})

    def test_reset_forgets_everything(self, pusher_service: PusherService, sdk: Any) -> None:
        pusher_service.disabled = True
        pusher_service.fail_next(faults.Close(), times=3)
        pusher_service.reset()
        assert sdk.trigger("a", "saved", {}) == {}
        pusher_service.reset()
        assert (pusher_service.requests, pusher_service.received) == ([], [])


class TestFaults:
    """Each ordered fault meets one request, and the caller sees what it names."""

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            (faults.Status(503, "later", {"Retry-After": "1"}), errors.PusherBadStatus),
            (faults.Status(204), errors.PusherBadStatus),
            (faults.Status(799, "no such status"), errors.PusherBadStatus),
            (faults.Html(), json.JSONDecodeError),
            (faults.Hang(), requests.ReadTimeout),
            (faults.Reset(), requests.ConnectionError),
            (faults.Close(), requests.ConnectionError),
            (faults.Half(), requests.ConnectionError),
            (faults.HalfThenClose(), requests.exceptions.ChunkedEncodingError),
            (faults.Garbage(), requests.ConnectionError),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, faults.Fault) else None,
    )
    def test_fails_one_request(
        self, pusher_service: PusherService, fault: faults.Fault, error: type[Exception]
    ) -> None:
        pusher_service.fail_next(fault)
        with pusher_sdk(pusher_service, timeout=0.2) as client:
            with pytest.raises(error):
                client.trigger("a", "lost", {})
            assert pusher_service.received == []
            client.trigger("a", "saved", {})
        assert [event.name for event in pusher_service.received] == ["saved"]
        assert len(pusher_service.requests) == 2

    def test_reset_is_a_reset(self, pusher_service: PusherService, sdk: Any) -> None:
        pusher_service.fail_next(faults.Reset())
        with pytest.raises(requests.ConnectionError, match="reset by peer"):
            sdk.trigger("a", "lost", {})

    def test_faults_are_used_in_order(self, pusher_service: PusherService, sdk: Any) -> None:
        pusher_service.fail_next(faults.Status(500), times=2)
        pusher_service.fail_next(faults.Status(429))
        for status in ("500", "500", "429"):
            with pytest.raises(errors.PusherBadStatus, match=status):
                sdk.trigger("a", "lost", {})
        assert sdk.trigger("a", "saved", {}) == {}
        assert pusher_service.connections == 1

    def test_a_slow_answer_comes_after_the_event_went_out(
        self, pusher_service: PusherService
    ) -> None:
        slow = faults.Slow()
        pusher_service.fail_next(slow)
        with (
            pusher_sdk(pusher_service, timeout=0.2) as client,
            pytest.raises(requests.ReadTimeout),
        ):
            client.trigger("a", "saved", {})
        assert [event.name for event in pusher_service.received] == ["saved"]
        slow.release()
        pusher_service.fail_next(slow)
        with pusher_sdk(pusher_service) as client:
            assert client.trigger("a", "saved", {}) == {}

    def test_stopping_ends_what_hangs(self) -> None:
        with PusherService() as service:
            for fault in (faults.Hang(), faults.Slow()):
                service.fail_next(fault)
                with (
                    pusher_sdk(service, timeout=0.1) as client,
                    pytest.raises(requests.ReadTimeout),
                ):
                    client.trigger("a", "lost", {})
            started = time.monotonic()
        assert time.monotonic() - started < 2

    def test_refuses_connections_for_a_while(self, pusher_service: PusherService, sdk: Any) -> None:
        sdk.trigger("a", "first", {})
        port = pusher_service.port
        with pusher_service.refuse():
            with pytest.raises(requests.ConnectionError, match="refused"):
                sdk.trigger("a", "lost", {})
            assert not accepts_connections(port)
        sdk.trigger("a", "second", {})
        assert pusher_service.port == port
        assert [event.name for event in pusher_service.received] == ["first", "second"]

    def test_a_closed_port_refuses(self) -> None:
        with PusherService.closed_port() as port:
            assert not accepts_connections(port)


def signed(
    service: PusherService, path: str, body: Any, tamper: bytes = b"", *, now: int | None = None
) -> Any:
    """Post a signed body as it stands, which the SDK would check or change before."""
    content = json.dumps(body).encode()
    query = {
        "auth_key": service.key,
        "auth_timestamp": str(int(time.time()) if now is None else now),
        "auth_version": "1.0",
        "body_md5": hashlib.md5(content).hexdigest(),
    }
    to_sign = "\n".join(["POST", path, "&".join(f"{k}={v}" for k, v in sorted(query.items()))])
    signature = hmac.new(service.secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    with requests.Session() as session:
        return session.post(
            f"{service.url}{path}",
            params={**query, "auth_signature": signature},
            data=content + tamper,
            timeout=5,
        )
