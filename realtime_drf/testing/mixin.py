"""A mixin for test cases of unittest and Django."""

from __future__ import annotations

import unittest
from typing import TYPE_CHECKING, Any, ClassVar

from realtime_drf.events import Event
from realtime_drf.testing.client import RealtimeClient
from realtime_drf.testing.outbox import Outbox, captured_events

if TYPE_CHECKING:
    _Base = unittest.TestCase
else:
    _Base = object


class RealtimeTestMixin(_Base):
    """The fixtures of the pytest plugin for a test case; list it before Django's class.

    Each test has ``self.realtime_outbox``, which has the events that were published, in Django's
    ``TestCase`` as well as in ``TransactionTestCase``.
    """

    realtime_outbox: Outbox

    realtime_validate: ClassVar[bool] = False
    """Fail a test that publishes data which breaks its schema, as `captured_events` does."""

    def setUp(self) -> None:
        outbox = captured_events(validate=self.realtime_validate)
        self.realtime_outbox = self.enterContext(outbox)
        super().setUp()

    def realtime_client(self, user: Any = None, *, transport: str = "default") -> RealtimeClient:
        """Return a new connection of a user."""
        return RealtimeClient(user, transport=transport)

    def assert_published(self, name: str, **expected: Any) -> list[Event]:
        """Check an event as `Outbox.assert_published` does."""
        return self.realtime_outbox.assert_published(name, **expected)

    def assert_nothing_published(self) -> None:
        """Check the outbox as `Outbox.assert_nothing_published` does."""
        self.realtime_outbox.assert_nothing_published()
