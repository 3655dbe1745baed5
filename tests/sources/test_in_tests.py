"""In a test that is rolled back, rows are published as they are after a commit."""

from __future__ import annotations

import pytest

from realtime_drf.testing import Outbox
from tests.sources.notes import NoteBackend
from tests.sources.test_views import NoteViewSet, call
from tests.todos.models import Note


@pytest.mark.django_db
def test_a_view_publishes_a_row_once(realtime_outbox: Outbox) -> None:
    type("Backend", (NoteBackend,), {})
    call(NoteViewSet, "post", {"title": "a"})
    call(NoteViewSet, "patch", {"title": "b"}, pk=Note.objects.get().pk)
    call(NoteViewSet, "delete", pk=Note.objects.get().pk)
    assert [(event.name, event.socket_id) for event in realtime_outbox] == [
        ("note.create", "1.1"),
        ("note.update", "1.1"),
        ("note.delete", "1.1"),
    ]
