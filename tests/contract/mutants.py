"""A service in memory, a transport that is right, and others that are wrong in one way each."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from realtime_drf.events import Event
from realtime_drf.exceptions import (
    AccessRefused,
    EventRejected,
    InvalidSignature,
    PayloadTooLarge,
    TransportUnavailable,
)
from realtime_drf.grants import Answer, AuthorizationRequest, Denial, Grant
from realtime_drf.testing import Received
from realtime_drf.transports.base import BaseTransport, ChannelInfo, Limits
from realtime_drf.webhook_events import WebhookEvent

PASSWORD = "open sesame"


class VendorError(Exception):
    """What the SDK of this service raises."""


class Service:
    """Take messages, if it can be reached and the password is right."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.occupied: set[str] = set()
        self.disconnected: list[str] = []
        self.confused = False

    def post(self, password: str, messages: Sequence[tuple[str, str, str, str | None]]) -> None:
        if self.confused:
            raise ValueError("<html>")
        if password != PASSWORD:
            raise VendorError(f"401 wrong password {password}")
        if len(messages) > 20 or any(len(data.encode()) > 1000 for _, _, data, _ in messages):
            raise VendorError("413 too large")
        self.received += [Received(*message) for message in messages]


class Good(BaseTransport):
    """A transport that keeps the contract."""

    limits = Limits(payload_bytes=1000, channels_per_event=4, events_per_call=5)
    supports_exclusion = True
    supports_channel_info = True
    supports_authorization = True
    supports_disconnecting_users = True
    supports_webhooks = True

    def __init__(
        self,
        *,
        service: Service | None,
        password: str = PASSWORD,
        payload_limit: int = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.password = password
        self.limits = Limits(payload_bytes=payload_limit, channels_per_event=4, events_per_call=5)

    def is_socket_id(self, token: str) -> bool:
        return re.fullmatch(r"\d+\.\d+", token) is not None

    def send_batch(self, events: Sequence[Event]) -> None:
        self.post([message for event in events for message in self.messages(event)])

    def messages(self, event: Event) -> list[tuple[str, str, str, str | None]]:
        return [(channel, event.name, event.body, event.socket_id) for channel in event.channels]

    def post(self, messages: Sequence[tuple[str, str, str, str | None]]) -> None:
        if self.service is None:
            raise TransportUnavailable("Nobody answers.") from OSError("refused")
        try:
            self.service.post(self.password, messages)
        except VendorError as exc:
            raise AccessRefused("The service refuses us.") from VendorError(str(exc)[:3])
        except ValueError as exc:
            raise TransportUnavailable("Its answer could not be read.") from exc

    def channel_info(self, channel: str) -> ChannelInfo:
        Event("any", channel)
        return ChannelInfo(name=channel, occupied=channel in self.get_service().occupied)

    def occupied_channels(self, prefix: str = "") -> dict[str, ChannelInfo]:
        names = [name for name in self.get_service().occupied if name.startswith(prefix)]
        return {name: self.channel_info(name) for name in names}

    def get_service(self) -> Service:
        if self.service is None:
            raise TransportUnavailable("Nobody answers.")
        return self.service

    def read_authorization(self, data: Mapping[str, Any]) -> AuthorizationRequest:
        from realtime_drf.pusher_protocol.signatures import read_authorization

        return read_authorization(data)

    def answer_authorization(
        self, asked: AuthorizationRequest, decisions: Sequence[Grant | Denial]
    ) -> Answer:
        [decision] = decisions
        if isinstance(decision, Denial):
            return Answer(status=403, body={})
        return Answer(status=200, body={"token": decision.channel})

    def disconnect_user(self, user_id: str) -> None:
        self.get_service().disconnected.append(user_id)

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> list[WebhookEvent]:
        if headers.get("X-Length") != str(len(body)):  # as good as a signature, for a test
            raise InvalidSignature("It is not signed.")
        return [WebhookEvent(kind="channel_occupied", channel=body.decode(), time_ms=0)]


class DropsOne(Good):
    def messages(self, event: Event) -> Any:
        return super().messages(event)[: max(1, len(event.channels) - 1)]


class DoublesOne(Good):
    def post(self, messages: Any) -> None:
        super().post([*messages, messages[-1]] if len(messages) > 1 else messages)


class KnowsNothingAgain(Good):
    supports_idempotency = True


class Reorders(Good):
    def post(self, messages: Any) -> None:
        super().post(messages[::-1])


class ExcludesNobody(Good):
    def messages(self, event: Event) -> Any:
        return [(*message[:3], None) for message in super().messages(event)]


class ExcludesEverybody(Good):
    def send_batch(self, events: Sequence[Event]) -> None:
        super().send_batch([event for event in events if event.socket_id is None])


class ExcludesForTheWholeBatch(Good):
    def post(self, messages: Any) -> None:
        excluded = next((message[3] for message in messages if message[3]), None)
        super().post([(*message[:3], excluded) for message in messages])


class ExcludesMalformedTokens(Good):
    def is_socket_id(self, token: str) -> bool:
        return re.match(r"\d+\.\d+$", token) is not None

    def _with_exclusion_checked(self, event: Event) -> Event:
        return event


class LeaksTheSocketId(Good):
    def messages(self, event: Event) -> Any:
        def leaking(body: str) -> str:
            data = json.loads(body)
            return json.dumps(
                {**data, "socket": event.socket_id} if isinstance(data, dict) else data
            )

        return [(c, n, leaking(b) if s else b, s) for c, n, b, s in super().messages(event)]


class MutatesData(Good):
    def messages(self, event: Event) -> Any:
        return [(c, n, b.replace("\u2028", " "), s) for c, n, b, s in super().messages(event)]


class RendersAgain(Good):
    def messages(self, event: Event) -> Any:
        return [(c, n, json.dumps(json.loads(b)), s) for c, n, b, s in super().messages(event)]


class SwallowsErrors(Good):
    def send_batch(self, events: Sequence[Event]) -> None:
        with contextlib.suppress(TransportUnavailable, EventRejected):
            super().send_batch(events)


class LetsAVendorErrorOut(Good):
    def post(self, messages: Any) -> None:
        self.get_service().post(self.password, messages)


class TakesARefusalForUnavailability(Good):
    def post(self, messages: Any) -> None:
        try:
            super().post(messages)
        except AccessRefused as exc:
            raise TransportUnavailable("Something is wrong.") from exc


class AcceptsIllegalNames(Good):
    def validate(self, event: Event) -> None:
        if self.wire_size(event) > (self.limits.payload_bytes or 0):
            raise PayloadTooLarge("Too large.", unsent=[event])


class SendsHalfOfALargeBatch(Good):
    def pack(self, events: Sequence[Event]) -> Iterable[Sequence[Event]]:
        return list(super().pack(events))[:2]


class PacksTooMuch(Good):
    def pack(self, events: Sequence[Event]) -> Iterable[Sequence[Event]]:
        return [events[start : start + 6] for start in range(0, len(events), 6)]


class CutsWhatIsTooLarge(Good):
    def validate(self, event: Event) -> None:
        pass


class CountsCharacters(Good):
    def wire_size(self, event: Event) -> int:
        return len(event.body)


class IsOffByOne(Good):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        limit = (self.limits.payload_bytes or 0) + 1
        self.limits = Limits(payload_bytes=limit, channels_per_event=4, events_per_call=5)


class RefusesCompanions(Good):
    def send(self, events: Sequence[Event]) -> None:
        for event in events:
            self.validate(event)
        super().send(events)


class IgnoresAnUnknownOption(Good):
    def __init__(self, *, service: Service | None, password: str = PASSWORD, **kwargs: Any) -> None:
        known = {name: kwargs[name] for name in ("alias", "payload_limit") if name in kwargs}
        super().__init__(service=service, password=password, **known)


class IgnoresALimit(Good):
    def __init__(self, *, payload_limit: int = 1000, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class ForgetsItsAlias(Good):
    def __init__(self, *, alias: str = "", **kwargs: Any) -> None:
        super().__init__(alias=f"my {alias}", **kwargs)


class IsNotThreadSafe(Good):
    pending: Sequence[Event] = ()

    def send_batch(self, events: Sequence[Event]) -> None:
        self.pending = events
        time.sleep(0)  # another thread's turn
        super().send_batch(self.pending)


class ForgetsWhatDidNotGo(Good):
    def send(self, events: Sequence[Event]) -> None:
        try:
            super().send(events)
        except (TransportUnavailable, EventRejected) as exc:
            exc.unsent = tuple(exc.unsent[1:])
            raise


class RetriesWhatWent(Good):
    def send(self, events: Sequence[Event]) -> None:
        try:
            super().send(events)
        except TransportUnavailable as exc:
            exc.unsent = tuple(events)
            raise


class DropsTheGuiltyBatch(Good):
    def _send_call(self, call: Sequence[Event], sent: Any) -> Any:
        try:
            self.send_batch(call)
        except EventRejected as exc:
            return [exc]
        sent.update((event.id, channel) for event in call for channel in event.channels)
        return []


class CannotBeReopened(Good):
    closed = False

    def close(self) -> None:
        self.closed = True

    def post(self, messages: Any) -> None:
        if self.closed:
            raise TransportUnavailable("It is closed.")
        super().post(messages)


class SharesItsSocketWithChildren(Good):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pid = os.getpid()

    def post(self, messages: Any) -> None:
        if self.pid != os.getpid():
            raise TransportUnavailable("The answers are mixed up.")
        super().post(messages)


class ForgetsToAwait(Good):
    async def asend(self, events: Sequence[Event]) -> None:
        for event in reversed(events):
            await super().asend([event])


class ConnectsWhenMade(Good):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.get_service()


class ShowsItsPassword(Good):
    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.alias!r} {self.password}>"


class QuotesThePassword(Good):
    def post(self, messages: Any) -> None:
        if self.service is None:
            super().post(messages)
        try:
            self.get_service().post(self.password, messages)
        except VendorError as exc:
            raise AccessRefused("The service refuses us.") from exc


class ClaimsWhatItHasNot(Good):
    supports_user_authentication = True


class ClaimsPresence(Good):
    supports_presence = True


class DoesNotSayWhatItCannot(Good):
    def read_user_authentication(self, data: Mapping[str, Any]) -> str:
        return ""


class KnowsMembersUnclaimed(Good):
    def members(self, channel: str) -> list[str]:
        return []


class DisconnectsNobody(Good):
    def disconnect_user(self, user_id: str) -> None:
        pass


class DoesNotVerifyWebhooks(Good):
    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> list[WebhookEvent]:
        return [WebhookEvent(kind="channel_occupied", channel="x", time_ms=0)]


class ReadsNoMalformedRequest(Good):
    def read_authorization(self, data: Mapping[str, Any]) -> AuthorizationRequest:
        return AuthorizationRequest(socket_id=data["socket_id"], channels=(data["channel_name"],))


class TripsOverNonsense(Good):
    def post(self, messages: Any) -> None:
        if self.service is not None and self.service.confused:
            raise ValueError("<html>")
        super().post(messages)


class NeverRecovers(Good):
    broken = False

    def send(self, events: Sequence[Event]) -> None:
        if self.broken:
            raise TransportUnavailable("It failed before.", unsent=events)
        try:
            super().send(events)
        except TransportUnavailable:
            self.broken = True
            raise


class IsSilentInCoroutines(Good):
    async def asend(self, events: Sequence[Event]) -> None:
        with contextlib.suppress(TransportUnavailable):
            await super().asend(events)


class SendsEachEventOnce(Good):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sent: set[str] = set()

    def send_batch(self, events: Sequence[Event]) -> None:
        super().send_batch([event for event in events if event.id not in self.sent])
        self.sent |= {event.id for event in events}


class KnowsEventsByTheirContent(Good):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sent: set[Event] = set()

    def send_batch(self, events: Sequence[Event]) -> None:
        super().send_batch([event for event in events if event not in self.sent])
        self.sent |= set(events)


class HoldsTheLastBack(Good):
    held: Sequence[Any] = ()

    def post(self, messages: Any) -> None:
        if len(messages) == 2 and not self.held:
            self.held = messages
        else:
            super().post([*messages, *self.held])
            self.held = ()


class CallsForNothing(Good):
    def pack(self, events: Sequence[Event]) -> Iterable[Sequence[Event]]:
        return list(super().pack(events)) or [[]]


class CarriesAnyKind(Good):
    def _refuse(self, event: Event, ability: str) -> None:
        pass


class LosesChannels(Good):
    def split_channels(self, event: Event) -> Iterator[Event]:
        yield event.to(event.channels[:4])


class ShortensNames(Good):
    def messages(self, event: Event) -> Any:
        return [(channel[:100], *rest) for channel, *rest in super().messages(event)]


class LowersNames(Good):
    def messages(self, event: Event) -> Any:
        return [(channel.lower(), *rest) for channel, *rest in super().messages(event)]


class SaysThatAllIsOccupied(Good):
    def channel_info(self, channel: str) -> ChannelInfo:
        return ChannelInfo(name=channel, occupied=True)


class GrantsWhoeverAsks(Good):
    def answer_authorization(
        self, asked: AuthorizationRequest, decisions: Sequence[Grant | Denial]
    ) -> Answer:
        return Answer(status=200, body={"token": asked.channels[0]})


class GrantsEveryChannel(Good):
    def answer_authorization(
        self, asked: AuthorizationRequest, decisions: Sequence[Grant | Denial]
    ) -> Answer:
        answer = super().answer_authorization(asked, decisions)
        return Answer(status=200, body={"token": "*"}) if answer.status == 200 else answer


class ConfusesNames(Good):
    def to_wire_name(self, channel: str) -> str:
        return channel.replace(";", "_")


class CannotBePickled(Good):
    def post(self, messages: Any) -> None:
        if self.service is None:
            raise _Unpicklable("Nobody", "answers.")
        super().post(messages)


class _Unpicklable(TransportUnavailable):
    def __init__(self, who: str, what: str) -> None:
        super().__init__(f"{who} {what}")


CAUGHT: dict[type[Good], str] = {
    DropsOne: "each_event_arrives_once_on_each_of_its_channels",
    DoublesOne: "each_event_arrives_once_on_each_of_its_channels",
    KnowsNothingAgain: "a_batch_that_is_sent_again_arrives_once",
    Reorders: "events_arrive_in_order",
    ExcludesNobody: "the_sender_alone_is_excluded",
    ExcludesEverybody: "the_sender_alone_is_excluded",
    ExcludesForTheWholeBatch: "the_sender_alone_is_excluded",
    ExcludesMalformedTokens: "a_malformed_socket_id_excludes_nobody",
    LeaksTheSocketId: "the_socket_id_of_the_sender_is_not_published",
    MutatesData: "text_arrives_unchanged",
    RendersAgain: "data_arrives_as_it_was_rendered",
    SwallowsErrors: "an_unreachable_service_is_unavailable",
    LetsAVendorErrorOut: "a_refusal_is_a_rejection",
    TakesARefusalForUnavailability: "a_refusal_is_a_rejection",
    AcceptsIllegalNames: "illegal_names_are_refused_before_io",
    SendsHalfOfALargeBatch: "a_batch_larger_than_any_limit_is_split_without_reordering",
    PacksTooMuch: "no_call_exceeds_the_limits",
    CutsWhatIsTooLarge: "data_above_the_limit_is_refused_before_io",
    CountsCharacters: "the_size_is_counted_in_bytes",
    IsOffByOne: "data_up_to_the_limit_arrives",
    RefusesCompanions: "an_event_too_large_is_refused_whole_and_its_companions_go",
    IgnoresAnUnknownOption: "an_unknown_option_is_refused",
    IgnoresALimit: "a_limit_in_its_options_is_kept",
    ForgetsItsAlias: "its_alias_is_kept",
    IsNotThreadSafe: "threads_share_it",
    ForgetsWhatDidNotGo: "what_did_not_go_is_unsent_and_the_rest_arrived",
    RetriesWhatWent: "what_did_not_go_is_unsent_and_the_rest_arrived",
    DropsTheGuiltyBatch: "a_refused_event_costs_no_other",
    CannotBeReopened: "a_closed_transport_opens_again",
    SharesItsSocketWithChildren: "a_forked_child_sends_and_its_parent_goes_on",
    ForgetsToAwait: "coroutines_share_it",
    ConnectsWhenMade: "making_and_checking_it_needs_no_service",
    ShowsItsPassword: "no_secret_is_shown",
    QuotesThePassword: "no_secret_is_shown",
    ClaimsWhatItHasNot: "what_is_claimed_is_written",
    ClaimsPresence: "what_is_claimed_is_written",
    DoesNotSayWhatItCannot: "what_is_not_claimed_raises_unsupported_feature",
    KnowsMembersUnclaimed: "what_is_not_claimed_raises_unsupported_feature",
    SaysThatAllIsOccupied: "occupied_channels_are_reported",
    GrantsWhoeverAsks: "a_denied_client_gets_nothing_and_a_granted_one_an_answer",
    GrantsEveryChannel: "the_service_admits_only_clients_that_were_granted",
    ConfusesNames: "wire_names_translate_back",
    DisconnectsNobody: "a_user_is_disconnected",
    DoesNotVerifyWebhooks: "a_webhook_is_read_and_a_forged_one_is_not",
    ReadsNoMalformedRequest: "a_malformed_request_for_a_channel_is_refused",
    TripsOverNonsense: "an_answer_that_makes_no_sense_is_an_error_of_ours",
    NeverRecovers: "it_works_again_after_a_failure",
    IsSilentInCoroutines: "asend_reports_what_was_not_sent",
    SendsEachEventOnce: "the_same_event_sent_twice_arrives_twice",
    KnowsEventsByTheirContent: "an_event_arrives_as_often_as_it_is_published",
    HoldsTheLastBack: "batches_arrive_in_order",
    CallsForNothing: "nothing_to_send_is_no_call",
    CarriesAnyKind: "unsupported_channel_kinds_are_refused_before_io",
    LosesChannels: "an_event_of_many_channels_reaches_them_all",
    ShortensNames: "the_longest_names_pass",
    LowersNames: "legal_names_pass",
    CannotBePickled: "a_pickled_error_knows_what_did_not_go",
}
"""Each mutant, and the clause that catches it."""
