"""Clauses of the contract: making a transport, what logs and errors show, and pickling."""

from __future__ import annotations

import contextlib
import inspect
import logging
import pickle
import traceback
import unittest
from collections.abc import Iterator

from realtime_drf.events import Event
from realtime_drf.exceptions import InvalidTransport, PayloadTooLarge, TransportError
from realtime_drf.testing.contract.evidence import check_unsent, expecting, fail
from realtime_drf.testing.contract.harness import Harness
from realtime_drf.transports.base import BaseTransport


class Making(Harness):
    """Tests of the constructor."""

    def test_an_unknown_option_is_refused(self) -> None:
        parameters = inspect.signature(self.create_transport).parameters.values()
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            self.skip("create_transport() takes no **options")
        refusals: list[type[Exception]] = [TypeError, ValueError, InvalidTransport]
        with expecting(*refusals, since="no_such_option is not an option") as caught:
            self.create_transport(no_such_option=1).close()
        if "no_such_option" not in str(caught.error):
            fail(f"The error must name the unknown option: {caught.error!r}")

    def test_a_limit_in_its_options_is_kept(self) -> None:
        with self.transport() as transport:
            if "payload_limit" not in inspect.signature(type(transport)).parameters:
                self.skip("it has no option payload_limit")
        with self.transport(payload_limit=100) as transport:
            channel = self.channel()
            self.send_all(transport, [Event("e", channel, "x" * 50)])
            with expecting(PayloadTooLarge, since="payload_limit is 100"):
                transport.send([Event("e", channel, "x" * 101)])

    def test_its_alias_is_kept(self) -> None:
        with self.transport() as transport:
            if transport.alias != "default" or "default" not in repr(transport):
                fail(f"Its alias must be 'default' by default, and in its repr: {transport!r}")

    def test_making_and_checking_it_needs_no_service(self) -> None:
        transport = self.create_unreachable_transport()
        try:
            if not isinstance(transport.check(), list):
                fail("check() must return a list of messages.")
        finally:
            transport.close()


class Showing(Harness):
    """Tests of what logs and errors show."""

    def test_no_secret_is_shown(self) -> None:
        if not self.secrets:
            self.skip("secrets is not given")
        event = Event("e", self.channel())
        with _logging() as logged:
            with self.transport() as transport:
                shown = [repr(transport), *map(repr, transport.check())]
                self.send_all(transport, [event])
            for create in (
                self.create_unreachable_transport,
                self.create_refused_transport,
                self.create_confused_transport,
            ):
                with contextlib.suppress(unittest.SkipTest):
                    shown += _errors(create(), event)
        for text in [*shown, *logged]:
            for secret in self.secrets:
                if secret in text:
                    fail(f"A secret is shown: {text.replace(secret, '<the secret>')}")


class Travelling(Harness):
    """Tests of what a task queue passes from one process to another."""

    def test_a_pickled_event_is_the_same_event(self) -> None:
        socket_id = self.create_socket_id()
        event = Event("travels", self.channel(), {"ä": [1]}, socket_id=socket_id)
        copy = pickle.loads(pickle.dumps(event))  # noqa: S301  it is our own
        if (copy, copy.id, copy.socket_id) != (event, event.id, socket_id):
            fail(f"{event} became {copy}.")
        with self.transport() as transport:
            self.send_all(transport, [copy])

    def test_a_pickled_error_knows_what_did_not_go(self) -> None:
        events = [Event("travels", self.channel(), 1)]
        with (
            contextlib.closing(self.create_unreachable_transport()) as transport,
            expecting(TransportError, since="the service is unreachable") as caught,
        ):
            transport.send(events)
        error = caught.error
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301  it is our own
        if type(copy) is not type(error) or str(copy) != str(error):
            fail(f"{error!r} became {copy!r}.")
        check_unsent(copy, events)


class _Collector(logging.Handler):
    """A handler that keeps what is logged, with tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


@contextlib.contextmanager
def _logging() -> Iterator[list[str]]:
    """Yield everything that is logged while the block runs, down to DEBUG."""
    root, collector = logging.getLogger(), _Collector()
    level = root.level
    root.addHandler(collector)
    root.setLevel(logging.DEBUG)
    try:
        yield collector.texts
    finally:
        root.setLevel(level)
        root.removeHandler(collector)


def _errors(transport: BaseTransport, event: Event) -> list[str]:
    """Return what a log shows about a transport that fails."""
    with contextlib.closing(transport):
        try:
            transport.send([event])
        except TransportError as exc:
            return [repr(transport), repr(exc), *traceback.format_exception(exc)]
    return [repr(transport)]
