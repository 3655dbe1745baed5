from __future__ import annotations

import io

import pytest

from realtime_drf import Event, publish
from realtime_drf.channels import UserChannel
from realtime_drf.exceptions import EventRejected, InvalidEvent, PayloadTooLarge, UnsupportedFeature
from realtime_drf.transports import transports
from realtime_drf.transports.console import ConsoleTransport
from realtime_drf.transports.memory import MemoryTransport


def test_the_outbox_holds_what_was_sent() -> None:
    transport = transports["default"]
    assert isinstance(transport, MemoryTransport)
    publish(Event("a", ["x", "private-y"], {"n": 1}))
    assert [(e.name, e.channels, e.data) for e in transport.outbox] == [
        ("a", ("x", "private-y"), {"n": 1})
    ]
    transport.clear()
    assert transport.outbox == []


def test_what_the_outbox_shows_cannot_be_changed_from_outside() -> None:
    memory = MemoryTransport()
    memory.send([Event("a", "x", {"tags": []})])
    memory.outbox[0].data["tags"].append("changed")
    assert memory.outbox[0].data == {"tags": []}


def test_subscribers_receive_on_their_channels_but_for_the_excluded_one() -> None:
    memory = MemoryTransport()
    sender = memory.subscribe("x", "y", socket_id="1.1")
    other = memory.subscribe("x", socket_id="2.2")
    memory.send([Event("a", ["x", "y"], 1, socket_id="1.1"), Event("b", "y"), Event("c", "z")])
    assert [(e.name, e.channels) for e in sender.received] == [("b", ("y",))]
    assert [(e.name, e.channels) for e in other.received] == [("a", ("x",))]
    other.unsubscribe()
    other.unsubscribe()
    memory.send([Event("d", "x")])
    assert len(other.received) == 1


def test_a_cache_channel_gives_its_last_event_to_who_subscribes_later() -> None:
    memory = MemoryTransport()
    early = memory.subscribe("cache-x", "x")
    memory.send([Event("a", "cache-x"), Event("b", ["cache-x", "x"], 1), Event("c", "x")])
    memory.clear()
    late = memory.connect()
    late.subscribe("cache-x")
    late.subscribe("cache-x")
    late.subscribe("x")
    for subscriber in (late, memory.subscribe("cache-x")):
        assert [(e.name, e.channels, e.data) for e in subscriber.received] == [
            ("b", ("cache-x",), 1)
        ]
    assert [e.name for e in early.received] == ["a", "b", "b", "c"]
    late.unsubscribe("cache-x")
    late.subscribe("cache-x")
    assert len(late.received) == 2


def test_it_knows_who_is_on_a_channel() -> None:
    memory = MemoryTransport()
    memory.subscribe("presence-a", "b", socket_id="1.1")
    memory.subscribe("presence-a", socket_id="2.2")
    assert memory.channel_info("presence-a").subscription_count == 2
    assert not memory.channel_info("c").occupied
    assert list(memory.occupied_channels()) == ["b", "presence-a"]
    assert list(memory.occupied_channels("presence-")) == ["presence-a"]
    with pytest.raises(InvalidEvent):
        memory.subscribe("no channel")


def test_it_refuses_what_pusher_would_refuse() -> None:
    memory = MemoryTransport()
    fits, too_large = Event("a", "x", "ä" * 5119), Event("b", "x", "ä" * 5120)
    with pytest.raises(PayloadTooLarge, match=r"10,242 bytes; 10,240 are allowed") as caught:
        memory.send([too_large, fits])
    assert caught.value.unsent == (too_large,)
    assert memory.outbox == [fits]
    MemoryTransport(payload_limit=None).send([too_large])


def test_it_counts_the_bytes_of_encrypted_data_as_pusher_does() -> None:
    memory = MemoryTransport()
    memory.send([Event("a", "private-encrypted-x", "x" * 7_600), Event("a", "x", "x" * 8_500)])
    with pytest.raises(PayloadTooLarge, match="11,423 bytes"):
        memory.send([Event("a", ["x", "private-encrypted-x"], "x" * 8_500)])


def test_it_sends_to_users_and_encrypted_channels() -> None:
    memory = MemoryTransport()
    memory.send([Event("a", [UserChannel(7), "private-encrypted-x"])])
    assert len(memory.outbox) == 1


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(UnsupportedFeature, match="'default'> cannot disconnect a user"):
        MemoryTransport().disconnect_user("7")


def test_the_console_shows_each_event() -> None:
    stream = io.StringIO()
    ConsoleTransport(stream=stream).send(
        [Event("todo.update", ["x", "private-y"], {"ä": 1}, socket_id="12.34"), Event("b", "x")]
    )
    assert stream.getvalue().splitlines() == [
        'todo.update to x, private-y (not to its sender) {"ä":1}',
        "b to x null",
    ]


@pytest.mark.parametrize("token", ["undefined", "null", "", "12.", "12.34, 56.78", "²1.2"])
def test_the_console_does_not_claim_to_leave_out_what_is_no_socket_id(token: str) -> None:
    stream = io.StringIO()
    ConsoleTransport(stream=stream).send([Event("a", "x", socket_id=token)])
    assert stream.getvalue() == "a to x null\n"


def test_the_console_writes_to_standard_output_in_colour_if_that_is_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console = ConsoleTransport()
    console.send([Event("a", "x")])
    assert capsys.readouterr().out == "a to x null\n"

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    console.send([Event("a", "x")])
    assert "\x1b[" in terminal.getvalue()


def test_the_console_prints_no_secrets_of_encrypted_channels() -> None:
    stream = io.StringIO()
    with pytest.raises(EventRejected, match="cannot encrypt") as caught:
        ConsoleTransport(stream=stream).send([Event("a", "private-encrypted-x", "hidden")])
    assert isinstance(caught.value.__cause__, UnsupportedFeature)
    assert stream.getvalue() == ""
