"""Clauses of the contract: abilities that are claimed work, and all others raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from realtime_drf.exceptions import (
    InvalidEvent,
    InvalidRequest,
    InvalidSignature,
    UnsupportedFeature,
)
from realtime_drf.grants import AuthorizationRequest, Denial, Grant, Identity
from realtime_drf.names import parse_channel_name
from realtime_drf.testing.contract.evidence import expecting, fail
from realtime_drf.testing.contract.harness import Harness
from realtime_drf.transports.base import BaseTransport, ChannelInfo
from realtime_drf.webhook_events import WebhookEvent

ASKED = AuthorizationRequest(socket_id="1.2", channels=("private-x",))

CALLS: dict[str, dict[str, Callable[[BaseTransport], Any]]] = {
    "supports_channel_info": {
        "channel_info()": lambda transport: transport.channel_info("x"),
        "occupied_channels()": lambda transport: transport.occupied_channels(),
    },
    "supports_disconnecting_users": {
        "disconnect_user()": lambda transport: transport.disconnect_user("7"),
    },
    "supports_authorization": {
        "read_authorization()": lambda transport: transport.read_authorization({}),
        "answer_authorization()": lambda transport: transport.answer_authorization(
            ASKED, [Denial(channel="private-x")]
        ),
    },
    "supports_user_authentication": {
        "read_user_authentication()": lambda transport: transport.read_user_authentication({}),
        "answer_user_authentication()": lambda transport: transport.answer_user_authentication(
            "1.2", Identity(user_id="7")
        ),
    },
    "supports_presence": {"members()": lambda transport: transport.members("presence-x")},
    "supports_webhooks": {"read_webhook()": lambda transport: transport.read_webhook({}, b"{}")},
}
"""The methods of each ability."""


class Claims(Harness):
    """Tests that flags and methods agree."""

    def test_what_is_not_claimed_raises_unsupported_feature(self) -> None:
        with self.transport() as transport:
            for ability, calls in CALLS.items():
                if getattr(transport, ability):
                    continue
                for name, call in calls.items():
                    reason = f"{ability} is not set, so {name} cannot answer"
                    with expecting(UnsupportedFeature, since=reason):
                        call(transport)

    def test_what_is_claimed_is_written(self) -> None:
        with self.transport() as transport:
            for ability, calls in CALLS.items():
                for name in calls if getattr(transport, ability) else ():
                    method = name.removesuffix("()")
                    if getattr(type(transport), method) is getattr(BaseTransport, method):
                        fail(f"{ability} is set, and {name} is that of the base, which raises.")
            if transport.supports_exclusion and not transport.is_socket_id(self.create_socket_id()):
                fail(
                    "supports_exclusion is set, and is_socket_id() rejects the id of a connection."
                )

    def test_occupied_channels_are_reported(self) -> None:
        with self.transport() as transport:
            self.require(transport, "supports_channel_info")
            occupied, vacant = self.channel("occupied"), self.channel("vacant")
            self.occupy(occupied)
            for channel in (occupied, vacant):
                info = transport.channel_info(channel)
                if (info.name, info.occupied) != (channel, channel == occupied):
                    fail(f"{channel}: {info}")
            listed = transport.occupied_channels(occupied[:-3])
            if occupied not in listed or vacant in transport.occupied_channels():
                fail(f"Only {occupied} is occupied, and {listed} are listed.")
            _check_listing(transport.occupied_channels())
            with expecting(InvalidEvent, since="'no channel' is not a channel name"):
                transport.channel_info("no channel")

    def test_a_user_is_disconnected(self) -> None:
        with self.transport() as transport:
            self.require(transport, "supports_disconnecting_users")
            before = len(self.disconnected_users())
            transport.disconnect_user("7")
            found = self.wait_for(lambda: list(self.disconnected_users())[before:])
            if found != ["7"]:
                fail(f"User 7 should be disconnected, and {found} were.")

    def test_a_denied_client_gets_nothing_and_a_granted_one_an_answer(self) -> None:
        channel = f"private-{self.channel()}"
        with self.transport() as transport:
            self.require(transport, "supports_authorization")
            asked = transport.read_authorization(self.authorization_data(channel))
            if asked.channels != (channel,):
                fail(f"{channel} was requested, and {asked} was read.")
            denied = transport.answer_authorization(asked, [Denial(channel=channel)])
            if denied.status < 400:
                fail(f"The answer to a denied client has status {denied.status}.")
            granted = transport.answer_authorization(asked, [Grant(channel=channel)])
            if granted.status != 200 or granted.body == denied.body:
                fail(f"The answer to a granted client has status {granted.status}.")

    def test_the_service_admits_only_clients_that_were_granted(self) -> None:
        channel, other = (f"private-{self.channel(name)}" for name in ("one", "other"))
        with self.transport() as transport:
            self.require(transport, "supports_authorization")
            asked = transport.read_authorization(self.authorization_data(channel))
            denied = transport.answer_authorization(asked, [Denial(channel=channel)])
            granted = transport.answer_authorization(asked, [Grant(channel=channel)])
            if self.admits(channel, denied):
                fail("The service admits a client that was denied.")
            if not self.admits(channel, granted):
                fail("The service does not admit a client that was granted.")
            if self.admits(other, granted):
                fail("The service admits a client to a channel that it was not granted.")

    def test_a_malformed_request_for_a_channel_is_refused(self) -> None:
        with self.transport() as transport:
            self.require(transport, "supports_authorization")
            data = self.authorization_data("private-x")
            requests: list[dict[str, Any]] = [{name: [{}] for name in data}]
            if self.needs_channels:
                requests += [{}, dict.fromkeys(data)]
            for malformed in requests:
                with expecting(InvalidRequest, since=f"{malformed} does not name a channel"):
                    transport.read_authorization(malformed)

    def test_a_webhook_is_read_and_a_forged_one_is_not(self) -> None:
        with self.transport() as transport:
            self.require(transport, "supports_webhooks")
            headers, body = self.create_webhook()
            reported = transport.read_webhook(headers, body)
            if not reported or not all(isinstance(each, WebhookEvent) for each in reported):
                fail(f"A webhook was read as {reported}.")
            for each in reported:
                parse_channel_name(each.channel)
            for forged in ((headers, body + b" "), (headers, b"{}"), ({}, body)):
                with expecting(InvalidSignature, since="the webhook is not from the service"):
                    transport.read_webhook(*forged)


def _check_listing(listed: dict[str, ChannelInfo]) -> None:
    for name, info in listed.items():
        parse_channel_name(name)
        if not isinstance(info, ChannelInfo) or info.name != name or not info.occupied:
            fail(f"{name} is listed as {info}.")
