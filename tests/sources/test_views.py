"""What a view does to rows that are observed: one event each, not to the sender of its subject."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from rest_framework.permissions import AllowAny
from rest_framework.test import APIRequestFactory
from rest_framework.viewsets import ModelViewSet

from realtime_drf import Event, RealtimeViewMixin
from tests.recording import RecordingTransport
from tests.sources.notes import NoteBackend, NoteSerializer
from tests.todos.models import Label, Note, Shelf

pytestmark = pytest.mark.django_db(transaction=True)


class NoteViewSet(RealtimeViewMixin, ModelViewSet):  # type: ignore[type-arg]
    queryset = Note.objects.all()
    serializer_class = NoteSerializer
    permission_classes = (AllowAny,)
    authentication_classes = ()


@pytest.fixture(autouse=True)
def _backend() -> None:
    class Backend(NoteBackend):
        pass


def call(view: type[Any], method: str, data: Any = None, **kwargs: Any) -> None:
    actions = {"post": "create", "patch": "partial_update", "delete": "destroy"}
    request = getattr(APIRequestFactory(), method)(
        "/", data, format="json", headers={"X-Pusher-Socket-Id": "1.1"}
    )
    response = view.as_view({method: actions[method]})(request, **kwargs)
    assert response.status_code < 300, response.data


def list_news(recording: RecordingTransport) -> list[tuple[str, Any, str | None]]:
    """Return what was sent since the last time: names, titles or keys, whom it leaves out."""
    events: list[Event] = [event for batch in recording.batches for event in batch]
    recording.batches.clear()
    return [
        (event.name, event.data.get("title", event.data["id"]), event.socket_id) for event in events
    ]


class InTransaction(NoteViewSet):
    @transaction.atomic
    def dispatch(self, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(*args, **kwargs)


class SavingTwice(NoteViewSet):
    def perform_update(self, serializer: Any) -> None:
        with transaction.atomic():
            serializer.save()
        serializer.instance.labels.set([Label.objects.create(name="new")])


@pytest.mark.parametrize("view", [NoteViewSet, InTransaction, SavingTwice])
def test_a_change_of_a_view_is_one_event_and_not_for_its_sender(
    view: type[Any], recording: RecordingTransport
) -> None:
    call(view, "post", {"title": "a"})
    assert list_news(recording) == [("note.create", "a", "1.1")]
    pk = Note.objects.get().pk
    call(view, "patch", {"title": "b"}, pk=pk)
    assert list_news(recording) == [("note.update", "b", "1.1")]
    call(view, "delete", pk=pk)
    assert list_news(recording) == [("note.delete", pk, "1.1")]


def test_what_a_view_does_to_other_rows_is_for_its_sender_too(
    recording: RecordingTransport,
) -> None:
    class Numbering(NoteViewSet):
        def perform_create(self, serializer: Any) -> None:
            Note.objects.update(title="moved")
            super().perform_create(serializer)

    Note.objects.create(title="other")
    list_news(recording)
    call(Numbering, "post", {"title": "a"})
    assert list_news(recording) == [("note.update", "moved", None), ("note.create", "a", "1.1")]


def test_what_was_committed_before_a_view_raises_is_published(
    recording: RecordingTransport,
) -> None:
    class Failing(NoteViewSet):
        def perform_create(self, serializer: Any) -> None:
            super().perform_create(serializer)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        call(Failing, "post", {"title": "a"})
    assert [name for name, *_ in list_news(recording)] == ["note.create"]


def test_a_move_by_a_view_leaves_one_channel_and_comes_to_another(
    recording: RecordingTransport,
) -> None:
    one, other = Shelf.objects.create(name="one"), Shelf.objects.create(name="other")
    note = Note.objects.create(title="a", shelf=one)
    recording.batches.clear()
    call(NoteViewSet, "patch", {"shelf": other.pk}, pk=note.pk)
    [batch] = recording.batches
    assert [(event.name, event.channels, event.socket_id) for event in batch] == [
        ("note.delete", (f"private-shelves.{one.pk}",), "1.1"),
        ("note.update", ("notes",), "1.1"),
        ("note.create", (f"private-shelves.{other.pk}",), "1.1"),
    ]
    assert batch[0].data == {"id": note.pk, "revision": 1}
