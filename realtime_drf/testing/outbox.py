"""An outbox for tests: every transport in memory, and one list of what they sent."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, overload

from django.test import override_settings
from django.utils.module_loading import import_string

from realtime_drf.conf import get_aliases, get_entries
from realtime_drf.events import Event
from realtime_drf.exceptions import AccessRefused, EventRejected, TransportError
from realtime_drf.names import NamedChannel
from realtime_drf.signals import publish_failed
from realtime_drf.testing.commits import committing
from realtime_drf.testing.matching import ANYTHING, Sent, Wanted, describe
from realtime_drf.testing.swap import in_memory
from realtime_drf.transports import transports
from realtime_drf.transports.base import Limits
from realtime_drf.transports.memory import MemoryTransport

_MEMORY_LIMIT: Final[int] = inspect.signature(MemoryTransport).parameters["payload_limit"].default

_active: list[Outbox] = []
"""The outboxes of the open blocks, the innermost last."""


class Outbox(Sequence[Event]):
    """The events that all transports sent, in order, and the faults of their service.

    It is a sequence of events. Those that were not sent because of a fault are not in it.
    """

    def __init__(
        self, sleep: Callable[[float], None] = time.sleep, *, validate: bool = False
    ) -> None:
        self.sent: list[Sent] = []
        self.latency = 0.0
        """Seconds that each call to the service takes."""
        self._faults: list[tuple[str | None, type[TransportError] | TransportError]] = []
        self._sleep = sleep
        self._find_broken = _load_validation() if validate else None
        self._unchecked: list[Event] = []

    # What was sent

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        return [each.event for each in self.sent][index]

    def __len__(self) -> int:
        return len(self.sent)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {describe(self.sent)}>"

    def by(self, transport: str) -> list[Event]:
        """Return the events that one transport sent, by its alias."""
        return [each.event for each in self.sent if each.transport == transport]

    def clear(self) -> None:
        """Forget what was sent so far."""
        self.sent.clear()

    def snapshot(self, *, mask: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Return what was sent as plain data that is the same in every run, to compare or to store.

        Args:
            mask: keys, at any depth of the data, whose values are replaced by ``"<key>"``: ids,
                times, and whatever else differs from run to run.
        """
        return [
            {
                "transport": each.transport,
                "name": each.event.name,
                "channels": list(each.event.channels),
                "data": _masked(each.event.data, frozenset(mask)),
                "excludes_sender": each.event.socket_id is not None,
            }
            for each in self.sent
        ]

    # Assertions

    def assert_published(
        self,
        name: str,
        *,
        channel: str | NamedChannel | None = None,
        data: Any = ANYTHING,
        times: int | None = None,
        transport: str | None = None,
    ) -> list[Event]:
        """Check that an event was sent, and return those that match.

        Args:
            channel: one of its channels.
            data: a part of its data; see `realtime_drf.testing.matching.data_mismatch`.
            times: how many must match; by default at least one.
            transport: alias of the transport that sent it.

        Raises:
            AssertionError: with everything that was sent, and how each event of that name differs.
        """
        __tracebackhide__ = True
        wanted = Wanted(name, channel, data, transport)
        found = [each.event for each in self.sent if wanted.mismatch(each) is None]
        if len(found) != times if times is not None else not found:
            expected = "at least once" if times is None else f"{times} time(s)"
            raise AssertionError(
                f"Expected {expected}, found {len(found)} time(s): {wanted}\n"
                f"{describe(self.sent, wanted)}"
            )
        return found

    def assert_nothing_published(self) -> None:
        """Check that nothing was sent."""
        __tracebackhide__ = True
        if self.sent:
            raise AssertionError(f"Expected nothing.\n{describe(self.sent)}")

    # Faults

    def fail_next(
        self,
        error: type[TransportError] | TransportError,
        *,
        times: int = 1,
        transport: str | None = None,
    ) -> None:
        """Make the next calls to the service fail, after the failures already requested.

        The events that were not sent are in the error's ``unsent``, as with a real service. An
        EventRejected rejects the first event of a call, and the others are sent.

        Args:
            error: a class such as TransportUnavailable, or an instance.
            transport: alias of the transport that fails; by default the one that is called next.
        """
        self._faults += [(transport, error)] * times

    def record_call(
        self, transport: str, events: Sequence[Event]
    ) -> tuple[Sequence[Event], TransportError | None]:
        """Record a call to the service; return what was sent, and the error of the rest."""
        # All transports have the outermost outbox; faults of inner blocks come first.
        outboxes = _active[::-1] if self in _active else [self]
        if latency := max(outbox.latency for outbox in outboxes):
            self._sleep(latency)
        errors = (outbox._next_error(transport) for outbox in outboxes)
        error = next(filter(None, errors), None)
        sent: Sequence[Event] = events
        if error is not None:
            rejects_one = isinstance(error, EventRejected) and not isinstance(error, AccessRefused)
            sent = events[1:] if rejects_one else ()
            error.unsent = tuple(events[: len(events) - len(sent)])
        for outbox in outboxes:
            outbox.sent += [Sent(transport, event) for event in sent]
            if outbox._find_broken is not None:
                outbox._unchecked += events
        return sent, error

    def _check_data(self) -> None:
        """Raise AssertionError if the data of an event broke its schema, with ``validate``."""
        if self._find_broken is not None and (errors := self._find_broken(self._unchecked)):
            raise AssertionError("\n".join(errors))

    def _next_error(self, transport: str) -> TransportError | None:
        for index, (alias, error) in enumerate(self._faults):
            if alias in (None, transport):
                del self._faults[index]
                if isinstance(error, TransportError):
                    return error
                return error(f"{error.__name__}, as requested by fail_next().")
        return None


class OutboxTransport(MemoryTransport):
    """A memory transport whose calls an outbox records, and can make fail.

    Options:
        outbox: where calls are recorded.
    """

    development_only = False  # it replaces a project's transport, so it passes the checks

    def __init__(self, *, outbox: Outbox, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._outbox = outbox

    def send_batch(self, events: Sequence[Event]) -> None:
        sent, error = self._outbox.record_call(self.alias, events)
        super().send_batch(sent)
        if error is not None:
            raise error


@contextlib.contextmanager
def captured_events(*, validate: bool = False) -> Iterator[Outbox]:
    """Yield an outbox of what is published while the block runs, with any transports.

    All aliases are replaced by memory transports. In a transaction of Django's ``TestCase`` events
    are sent when the code under test would have committed. Blocks may be nested: each outbox gets
    what is published within its own block.

    Args:
        validate: whether to raise an AssertionError at the end of the block if the data of an event
            is not what the contract says, which ``manage.py realtime_contract`` writes.
    """
    outbox = Outbox(validate=validate)
    if _active:
        with _activated(outbox):
            yield outbox
        return
    with override_settings(REALTIME_TRANSPORTS=swapped_entries(outbox)), activated(outbox):
        yield outbox


@contextlib.contextmanager
def activated(outbox: Outbox) -> Iterator[None]:
    """Send events at the commits of tests, to an outbox whose transports are configured."""
    with committing(), _activated(outbox):
        yield


def swapped_entries(outbox: Outbox) -> Mapping[str, Any]:
    """Return REALTIME_TRANSPORTS with all aliases replaced by transports of an outbox.

    Each has the payload limit of the transport that it replaces.
    """
    path = f"{OutboxTransport.__module__}.{OutboxTransport.__qualname__}"
    entries = get_entries()
    swapped = in_memory(entries, transport=path)
    for alias, entry in swapped.items():
        limit = _default_limit(entries.get(alias, {}).get("TRANSPORT"))
        entry["OPTIONS"] = {"payload_limit": limit, **entry["OPTIONS"], "outbox": outbox}
    return swapped


def current_outbox() -> Outbox:
    """Return the outbox of the innermost block, or one of what is in the memory transports."""
    if _active:
        return _active[-1]
    outbox = Outbox()
    for alias in get_aliases():
        transport = transports[alias]
        if not isinstance(transport, MemoryTransport):
            raise TypeError(
                f"{transport!r} is not in memory: use the fixture realtime_outbox, "
                "captured_events(), or RealtimeTestMixin."
            )
        outbox.sent += [Sent(alias, event) for event in transport.outbox]
    return outbox


def assert_published(name: str, **expected: Any) -> list[Event]:
    """Check an event as `Outbox.assert_published` does, in the outbox of the running test."""
    __tracebackhide__ = True
    return current_outbox().assert_published(name, **expected)


def assert_nothing_published() -> None:
    """Check that the outbox of the running test is empty."""
    __tracebackhide__ = True
    current_outbox().assert_nothing_published()


@contextlib.contextmanager
def _activated(outbox: Outbox) -> Iterator[None]:
    _active.append(outbox)
    try:
        with _raising_errors():
            yield
    finally:
        _active.remove(outbox)
    outbox._check_data()


@contextlib.contextmanager
def _raising_errors() -> Iterator[None]:
    """Raise, at the end of the block, what a backend raised after a commit, when nobody could."""
    errors: list[Exception] = []

    def note(sender: Any, events: Sequence[Event], error: Exception, **kwargs: Any) -> None:
        if not events:  # else a transport failed, which is no bug
            errors.append(error)

    publish_failed.connect(note)
    try:
        yield
    finally:
        publish_failed.disconnect(note)
    for error in errors:
        raise error


def _load_validation() -> Callable[[Iterable[Event]], list[str]]:
    from realtime_drf.contract.validating import find_broken  # which needs an extra

    return find_broken


def _default_limit(path: Any) -> int | None:
    """Return the payload limit that a class declares, without an instance; else that of memory."""
    try:
        transport_class = import_string(path)
        own = [vars(cls) for cls in transport_class.__mro__]
    except Exception:  # noqa: BLE001  its SDK may be missing, which its check reports
        return _MEMORY_LIMIT
    for init in [names["__init__"] for names in own if "__init__" in names]:
        option = inspect.signature(init).parameters.get("payload_limit")
        if option is not None and option.default is not option.empty:
            limit: int | None = option.default
            return limit
    limits = getattr(transport_class, "limits", Limits())
    return limits.payload_bytes or _MEMORY_LIMIT


def _masked(data: Any, keys: frozenset[str]) -> Any:
    if isinstance(data, dict):
        return {
            key: f"<{key}>" if key in keys else _masked(value, keys) for key, value in data.items()
        }
    if isinstance(data, list):
        return [_masked(value, keys) for value in data]
    return data
