"""Clauses of the contract: events arrive once, in order and unchanged, but not at the sender."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from realtime_drf.events import Event
from realtime_drf.exceptions import EventRejected, InvalidEvent, UnsupportedFeature
from realtime_drf.names import ChannelKind, build_channel_name
from realtime_drf.testing import strategies
from realtime_drf.testing.contract.evidence import expecting, fail
from realtime_drf.testing.contract.harness import Harness

DRF_DATA = {
    "price": decimal.Decimal("10.50"),
    "at": datetime.datetime(2030, 1, 31, 12, 30, tzinfo=datetime.UTC),
    "for": datetime.timedelta(hours=1),
    "key": uuid.UUID(int=7),
    "nothing": None,
    "many": [1, 2.5, True, {"Ö": "\N{PARTY POPPER}"}],
}
"""Data as serializers return it."""

DIFFICULT_TEXT = "\0\t\n\r\x1b\x7f\u2028\ufeff\\\"'</script>&amp;%00+ü\N{PARTY POPPER}"

MALFORMED_SOCKET_IDS = ("", " ", "none", "1.2\n", "1.2.3", "<script>", "1" * 500)


class Arrival(Harness):
    """Tests of what arrives."""

    def test_each_event_arrives_once_on_each_of_its_channels(self) -> None:
        one, other, third = (self.channel(name) for name in ("one", "other", "third"))
        with self.transport() as transport:
            self.send_all(transport, [Event("alone", one, 1)])
            self.send_all(transport, [Event("several", [one, other, third], 2)])
            mixed = [Event("a", [one, other]), Event("b", third), Event("c", [third, one])]
            self.send_all(transport, mixed)

    def test_the_same_event_sent_twice_arrives_twice(self) -> None:
        with self.transport() as transport:
            if transport.supports_idempotency:
                self.skip("supports_idempotency is claimed")
            event = Event("again", [self.channel(), self.channel()], 1)
            self.send_all(transport, [event, event])
            self.send_all(transport, [event])

    def test_a_batch_that_is_sent_again_arrives_once(self) -> None:
        with self.transport() as transport:
            self.require(transport, "supports_idempotency")
            channels = [self.channel("one"), self.channel("other")]
            alone = Event("alone", channels, 1)
            together = [Event(f"e{n}", channels[n % 2 :], n) for n in range(10)]
            with self.arrivals(transport, channels) as arrived:
                for _ in range(3):
                    transport.send([alone])
                for _ in range(3):
                    transport.send(together)
            arrived.check([alone, *together], transport)

    def test_an_event_arrives_as_often_as_it_is_published(self) -> None:
        # A project may define an event as a constant: each publish gives it a new id.
        event = Event("reload", [self.channel("one"), self.channel("other")])
        published = [event.as_published() for _ in range(4)]
        with self.transport() as transport:
            with self.arrivals(transport, event.channels) as arrived:
                transport.send(published[:1])
                transport.send(published[1:2])
                transport.send(published[2:])
            arrived.check(published, transport)

    def test_events_arrive_in_order(self) -> None:
        names = [self.channel(str(number)) for number in range(5)]
        sets = st.lists(st.lists(st.sampled_from(names), min_size=1, unique=True), max_size=30)

        def check(channel_sets: list[list[str]]) -> None:
            events = [Event(f"e{n}", channels, n) for n, channels in enumerate(channel_sets)]
            with self.arrivals(transport, names) as arrived:
                transport.send(events)
            arrived.check(events, transport)

        with self.transport() as transport:
            self.try_examples(sets, check)

    def test_batches_arrive_in_order(self) -> None:
        channels = [self.channel("one"), self.channel("other")]
        events = [Event(f"e{n}", channels[: 1 + n % 2], n) for n in range(20)]
        with self.transport() as transport:
            with self.arrivals(transport, channels) as arrived:
                for event in events:
                    transport.send([event])
            arrived.check(events, transport)

    def test_data_arrives_as_it_was_rendered(self) -> None:
        channel = self.channel()
        with self.transport() as transport:
            self.send_all(transport, [Event("drf", channel, DRF_DATA), Event("none", channel)])
            self.try_examples(
                self.data, lambda data: self.send_all(transport, [Event("any", channel, data)])
            )

    def test_text_arrives_unchanged(self) -> None:
        channel = self.channel()
        with self.transport() as transport:
            self.send_all(transport, [Event("text", channel, DIFFICULT_TEXT)])
            self.try_examples(
                strategies.texts(),
                lambda text: self.send_all(transport, [Event("text", channel, text)] * 2),
            )

    def test_nothing_to_send_is_no_call(self) -> None:
        calls: list[Sequence[Event]] = []
        with self.transport() as transport:
            self.intercept(transport, calls.append)
            transport.send([])
        if calls:
            fail("The service was called for no events.")


class Names(Harness):
    """Tests of which names are accepted."""

    def test_legal_names_pass(self) -> None:
        with self.transport() as transport:
            channels = strategies.channel_names(self.kinds(transport))

            def check(drawn: tuple[str, list[str]]) -> None:
                name, names = drawn
                self.send_all(transport, [Event(name, names, 1), Event(name, names[0], 2)])

            self.try_examples(
                st.tuples(
                    self.event_names, st.lists(channels, min_size=1, max_size=3, unique=True)
                ),
                check,
            )

    def test_the_longest_names_pass(self) -> None:
        with self.transport() as transport:
            for kind in self.kinds(transport):
                room = 164 - len(build_channel_name(kind, "x")) + 1
                length = 128 if kind is ChannelKind.USER else room
                self.send_all(transport, [Event("e" * 200, build_channel_name(kind, "x" * length))])

    def test_illegal_names_are_refused_before_io(self) -> None:
        channel = self.channel()
        with self.transport() as transport:
            calls: list[Sequence[Event]] = []
            self.intercept(transport, calls.append)
            for name in strategies.ILLEGAL_CHANNEL_NAMES:
                # Event() rejects it, so it is set in the one way that is not checked.
                event = Event("illegal", channel).to([name])
                refusals: list[type[Exception]] = [InvalidEvent, EventRejected]
                with expecting(*refusals, since=f"channel {name[:40]!r} is illegal"):
                    transport.send([event])
            if calls:
                fail(f"Illegal names reached the service: {calls}")

    def test_unsupported_channel_kinds_are_refused_before_io(self) -> None:
        with self.transport() as transport:
            refused = []
            if not transport.supports_encryption:
                refused.append("private-encrypted-x")
            if not transport.supports_user_events:
                refused.append("#server-to-user-7")
            if not refused:
                self.skip("it claims to support all kinds of channels")
            calls: list[Sequence[Event]] = []
            self.intercept(transport, calls.append)
            channel = self.channel()
            for name in refused:
                reason = f"it does not claim to support {name}"
                with expecting(EventRejected, since=reason) as caught:
                    transport.send([Event("refused", [channel, name])])
                if not isinstance(caught.error.__cause__, UnsupportedFeature):
                    fail(f"{name}: the cause of {caught.error!r} must be UnsupportedFeature.")
            if calls:
                fail(f"Events to unsupported channels reached the service: {calls}")

    def test_wire_names_translate_back(self) -> None:
        with self.transport() as transport:
            kinds = [kind for kind in ChannelKind if kind in self.kinds(transport)]

            def check(names: list[str]) -> None:
                wire = [transport.to_wire_name(name) for name in names]
                if [transport.from_wire_name(name) for name in wire] != names:
                    fail(f"{names} become {wire}, which do not become {names} again.")

            channels = strategies.channel_names(kinds)
            self.try_examples(st.lists(channels, min_size=1, max_size=5), check, examples=100)


class Exclusion(Harness):
    """Tests of excluding the sender."""

    def test_the_sender_alone_is_excluded(self) -> None:
        socket_id = self.create_socket_id()
        one, other = self.channel("one"), self.channel("other")
        with self.transport() as transport:
            self.send_all(transport, [Event("alone", one, 1, socket_id=socket_id)])
            self.send_all(transport, [Event("several", [one, other], 2, socket_id=socket_id)])
            self.send_all(
                transport,
                [
                    Event("nobody", [one, other], 3),
                    Event("sender", one, 4, socket_id=socket_id),
                    Event("nobody again", [other, one], 5),
                    Event("sender again", [other, one], 6, socket_id=socket_id),
                ],
            )

    def test_a_malformed_socket_id_excludes_nobody(self) -> None:
        channel = self.channel()
        with self.transport() as transport:
            malformed = [each for each in MALFORMED_SOCKET_IDS if not transport.is_socket_id(each)]
            if not malformed:
                self.skip("it accepts any socket id")
            self.send_all(transport, [Event("e", channel, 1, socket_id=each) for each in malformed])

    def test_the_socket_id_of_the_sender_is_not_published(self) -> None:
        socket_id = self.create_socket_id()
        channels = [self.channel("one"), self.channel("other")]
        data: list[Any] = [{"id": 1}, [], "text", None, {"nested": {"list": [1]}}]
        events = [
            Event("e", channels[: 1 + n % 2], each, socket_id=socket_id)
            for n, each in enumerate(data)
        ]
        with self.transport() as transport:
            with self.arrivals(transport, channels) as arrived:
                transport.send(events)
            shown = [each for found in arrived.by_channel.values() for each in found]
        for each in shown:
            if any(socket_id in text for text in (each.channel, each.name, each.data)):
                fail(f"The socket id of the sender is sent to everyone: {each}")
