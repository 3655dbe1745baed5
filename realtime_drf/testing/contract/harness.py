"""What an implementer provides to the contract, and how its clauses see what arrived."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import unittest
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import monotonic, sleep
from typing import Any, NoReturn, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_drf.events import Event
from realtime_drf.grants import Answer
from realtime_drf.names import ChannelKind
from realtime_drf.testing import strategies
from realtime_drf.testing.contract.evidence import Arrivals, Received
from realtime_drf.transports.base import BaseTransport

__all__ = ["Harness"]

T = TypeVar("T")


class Harness:
    """The connection between the contract, a transport and its service.

    Write `create_transport` and `received`. The rest has a default; a clause whose hook is not
    written is skipped, and its reason names the hook. In pytest, prepare the service in a fixture
    with ``autouse=True``, or in ``setup_method``; in a class that is a ``unittest.TestCase`` as
    well, in ``setUp``.
    """

    __test__ = False
    realtime_contract: str
    """Name in the matrix: by default that of the class, without "Test" and "Contract"."""

    # What must be written

    def create_transport(self, **options: Any) -> BaseTransport:
        """Return a new transport that reaches the service; pass `options` to its constructor.

        Called once or more in a test, which closes what it returns. Every clause needs this.
        """
        raise NotImplementedError

    def received(self) -> Sequence[Received]:
        """Return all that the service received since the test began, in order.

        One entry for each channel of each event. What comes late may be missing at first: the
        contract calls this again, for `patience` seconds. Every clause needs this.
        """
        raise NotImplementedError

    # What may be said of the service

    patience = 5.0
    """Seconds to wait for what has not arrived yet."""

    max_examples = 25
    """Examples of each property that Hypothesis tries."""

    in_process = False
    """The service is in the memory of this process, so what a forked child sends is not seen."""

    keeps_text = True
    """Data arrives as exactly the text that was sent; if False, as JSON of the same values."""

    secrets: Sequence[str] = ()
    """Keys and secrets of the transport, which must not be shown.

    ``test_no_secret_is_shown`` is skipped without any.
    """

    needs_channels = True
    """An authorization request that does not name a channel is malformed."""

    channel_kinds: Iterable[ChannelKind] | None = None
    """Kinds of channels that `received` sees; by default all that the transport supports."""

    event_names: st.SearchStrategy[str] = strategies.event_names()
    """Names of events to try."""

    data: st.SearchStrategy[Any] = strategies.json_values()
    """Data of events to try."""

    # Hooks that may be written

    def watch(self, channels: Sequence[str]) -> None:
        """Make `received` include what is sent to these channels from now on.

        For services that one must subscribe to; called before anything is sent to them.
        """

    def create_socket_id(self) -> str:
        """Return the id of a connection that can be excluded: well-formed, by default as Pusher's.

        Used where ``supports_exclusion`` is set.
        """
        return "1234.5678"

    def create_unreachable_transport(self) -> BaseTransport:
        """Return a transport whose service does not answer: a closed port, a server that is down.

        Skipped without it: that the error is TransportUnavailable with all events in ``unsent``,
        and that neither the constructor nor ``check()`` connects.
        """
        self.miss("create_unreachable_transport")

    def create_refused_transport(self) -> BaseTransport:
        """Return a transport whose service rejects what it sends, for a wrong password, say.

        Skipped without it: that the error is EventRejected with all events in ``unsent``.
        """
        self.miss("create_refused_transport")

    def create_confused_transport(self) -> BaseTransport:
        """Return a transport whose service gives an invalid answer: a web page, say.

        Skipped without it: that the error is a TransportError.
        """
        self.miss("create_confused_transport")

    def intercept(
        self, transport: BaseTransport, before: Callable[[Sequence[Event]], None]
    ) -> None:
        """Call ``before(events)`` before each call to the service.

        An error that it raises stands for the answer of the service. The default replaces the
        instance's ``send_batch``; override it where a transport sends events in another way.
        """
        send_batch = transport.send_batch

        def intercepted(events: Sequence[Event]) -> None:
            before(events)
            send_batch(events)

        vars(transport)["send_batch"] = intercepted

    def occupy(self, channel: str) -> None:
        """Subscribe a client to a channel, and return when the service knows.

        Used where ``supports_channel_info`` is set.
        """
        self.miss("occupy")

    def disconnected_users(self) -> Sequence[str]:
        """Return the ids of the users whom the service was asked to disconnect so far.

        Used where ``supports_disconnecting_users`` is set.
        """
        self.miss("disconnected_users")

    def authorization_data(self, channel: str) -> Mapping[str, Any]:
        """Return what a client posts to subscribe to a channel; by default as pusher-js does.

        Used where ``supports_authorization`` is set.
        """
        return {"socket_id": self.create_socket_id(), "channel_name": channel}

    def admits(self, channel: str, answer: Answer) -> bool:
        """Return whether the service accepts a subscription with this answer.

        The client is that of `authorization_data`.
        """
        self.miss("admits")

    def create_webhook(self) -> tuple[Mapping[str, str], bytes]:
        """Return the headers and the body of a genuine webhook of the service.

        Used where ``supports_webhooks`` is set.
        """
        self.miss("create_webhook")

    # What the clauses use

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__test__" not in vars(cls):
            cls.__test__ = cls.create_transport is not Harness.create_transport
        if "realtime_contract" not in vars(cls):
            cls.realtime_contract = cls.__name__.replace("Test", "").replace("Contract", "")

    def miss(self, hook: str) -> NoReturn:
        """Skip the running clause because a hook is missing."""
        self.skip(f"{hook}() is not given")

    def skip(self, reason: str) -> NoReturn:
        """Skip the running clause; pytest and unittest both understand this."""
        raise unittest.SkipTest(reason)

    def require(self, transport: BaseTransport, ability: str) -> None:
        """Skip the running clause where the transport does not claim an ability."""
        if not getattr(transport, ability):
            self.skip(f"{ability} is not claimed")

    @contextlib.contextmanager
    def transport(self, **options: Any) -> Iterator[BaseTransport]:
        """Yield a new transport, and close it."""
        with contextlib.closing(self.create_transport(**options)) as transport:
            yield transport

    def try_examples(
        self, strategy: st.SearchStrategy[T], check: Callable[[T], None], examples: int = 0
    ) -> None:
        """Check a property with as many examples as the service is fast enough for."""
        # Not a decorator of the clause: the strategy depends on the transport, and Hypothesis would
        # take a property that several classes inherit for one.
        settings(
            deadline=None,
            max_examples=examples or self.max_examples,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        )(given(strategy)(check))()

    def channel(self, name: str = "channel") -> str:
        """Return the name of a public channel that no other test uses."""
        return f"contract-{secrets.token_hex(6)}-{name}"

    def kinds(self, transport: BaseTransport) -> list[ChannelKind]:
        """Return the kinds of channels that the transport supports and `received` shows."""
        supported = {ChannelKind.PUBLIC, ChannelKind.PRIVATE, ChannelKind.PRESENCE}
        if transport.supports_encryption:
            supported.add(ChannelKind.ENCRYPTED)
        if transport.supports_user_events:
            supported.add(ChannelKind.USER)
        shown = set(ChannelKind if self.channel_kinds is None else self.channel_kinds)
        return [kind for kind in ChannelKind if kind in supported & shown]

    @contextlib.contextmanager
    def arrivals(self, transport: BaseTransport, channels: Iterable[str]) -> Iterator[Arrivals]:
        """Collect what arrives on some channels while the block runs.

        At its end a marker is sent to each channel. What the service receives before the marker is
        everything, so there is no need to wait longer.
        """
        names = list(dict.fromkeys(channels))
        self.watch(names)
        before = _by_channel(self.received())
        arrived = Arrivals(names, keeps_text=self.keeps_text)
        yield arrived
        marker = f"contract.marker.{next(_numbers)}"
        transport.send([Event(marker, names)])
        start = monotonic()
        while True:
            now = _by_channel(self.received())
            new = {name: now.get(name, [])[len(before.get(name, [])) :] for name in names}
            if all(any(each.name == marker for each in new[name]) for name in names):
                break
            waited = monotonic() - start
            if waited > self.patience:
                self.patience /= 10  # Hypothesis shrinks the example: do not wait as long each time
                arrived.end(new, marker, missing=True)
            sleep(0.001 + waited / 2)  # reading what arrived takes time, too
        arrived.end(new, marker)

    def wait_for(self, read: Callable[[], Sequence[T]]) -> Sequence[T]:
        """Return what is read as soon as it is not empty, or after `patience` seconds."""
        start = monotonic()
        while not (found := read()) and monotonic() - start < self.patience:
            sleep(0.005)
        return found

    def send_all(self, transport: BaseTransport, events: Sequence[Event]) -> None:
        """Send events, none of which may be rejected, and check that exactly these arrive."""
        with self.arrivals(transport, _channels(events)) as arrived:
            transport.send(events)
        arrived.check(events, transport)


_numbers = itertools.count(1)


def _channels(events: Iterable[Event]) -> list[str]:
    return [channel for event in events for channel in event.channels]


def _by_channel(received: Iterable[Received]) -> dict[str, list[Received]]:
    found: dict[str, list[Received]] = {}
    for each in received:
        found.setdefault(each.channel, []).append(each)
    return found
