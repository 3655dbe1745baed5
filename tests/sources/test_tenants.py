"""Tenants with equal keys: what is done to rows of one reaches no account of another."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from realtime_drf import publish_change
from realtime_drf.changes import Change
from realtime_drf.transports import transports
from tests.examples import scaled
from tests.recording import PATH, RecordingTransport
from tests.services.pusher_http import PusherService
from tests.sources.notes import Mirror, NoteBackend, ShelfChannel, clear, find_truth
from tests.todos.models import Note, Shelf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

DATABASES, SHELVES, KEYS = ("default", "other"), (1, 2), (1, 2, 3)
ACCOUNTS = [f"{using}-{shelf}" for using in DATABASES for shelf in SHELVES]
"""The aliases of four tenants: two in each database, whose rows and shelves have equal keys."""


revisions = itertools.count(1000, 1000)
"""Of new rows: one with a key that was used before must not begin below the version of that row."""


class TenantBackend(NoteBackend):
    """Notes whose database and shelf decide on the account; the channel has the shelf."""

    channels = (ShelfChannel(pk=F("shelf_id")),)

    class Meta:
        abstract = True

    def get_transport(self, change: Change[Note]) -> str:
        return f"{change.using}-{change.instance.shelf_id}"


def owned(using: str, shelf: int) -> dict[str, Any]:
    """Return the fields of a tenant's row, whose title only this tenant may see."""
    return {"shelf_id": shelf, "title": f"{using}-{shelf}"}


def save(using: str, key: int, shelf: int) -> None:
    note = Note.objects.using(using).filter(pk=key).first()
    note = note or Note(pk=key, revision=next(revisions))
    note.shelf_id, note.title = shelf, f"{using}-{shelf}"  # type: ignore[attr-defined]
    note.save(using=using)


def delete(using: str, key: int, shelf: int) -> None:
    if note := Note.objects.using(using).filter(pk=key).first():
        note.delete()


def update(using: str, key: int, shelf: int) -> None:
    Note.objects.using(using).filter(pk__gte=key).update(**owned(using, shelf))


def create_many(using: str, key: int, shelf: int) -> None:
    missing = set(KEYS) - set(Note.objects.using(using).values_list("pk", flat=True))
    Note.objects.using(using).bulk_create(
        [Note(pk=each, revision=next(revisions), **owned(using, shelf)) for each in sorted(missing)]
    )


def update_many(using: str, key: int, shelf: int) -> None:
    notes = list(Note.objects.using(using).filter(pk__lte=key))
    for note in notes:
        note.shelf_id, note.title = shelf, f"{using}-{shelf}"  # type: ignore[attr-defined]
    Note.objects.using(using).bulk_update(notes, ["shelf", "title"])


def delete_many(using: str, key: int, shelf: int) -> None:
    Note.objects.using(using).filter(shelf=shelf).delete()


def publish(using: str, key: int, shelf: int) -> None:
    publish_change(Note.objects.using(using).filter(shelf=shelf), action="update")


def move_to_the_other_database(using: str, key: int, shelf: int) -> None:
    delete(using, key, shelf)
    [other] = set(DATABASES) - {using}
    save(other, key, shelf)


Write = Callable[[str, int, int], None]
WRITES: list[Write] = [
    *(save, delete, update, create_many, update_many, delete_many),
    *(publish, move_to_the_other_database),
]
programs = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(WRITES),
            st.sampled_from(DATABASES),
            st.sampled_from(KEYS),
            st.sampled_from(SHELVES),
        ),
        min_size=1,
        max_size=4,
    ),
    max_size=6,
)
"""Transactions over both databases, and what is written in each."""


def start_with_shelves() -> None:
    """Delete all rows, and create the shelves of each database."""
    for using in DATABASES:
        clear(using)
        Shelf.objects.using(using).bulk_create(
            [Shelf(pk=pk, name=f"{using}-{pk}") for pk in SHELVES]
        )


def take_events(mirrors: dict[str, Mirror]) -> None:
    """Give each tenant what its account was sent, which may contain no name of another."""
    for account, mirror in mirrors.items():
        transport = transports[account]
        assert isinstance(transport, RecordingTransport)
        for batch in transport.batches:
            mirror.take(batch)
            for event in batch:
                assert event.channels == (f"private-shelves.{account[-1]}",)
                text = json.dumps(event.data)
                assert [each for each in ACCOUNTS if each in text] in ([], [account])
        transport.batches.clear()


@pytest.fixture
def accounts(settings: Settings) -> None:
    """An account for each tenant, and none else: an event to another alias is an error."""
    settings.REALTIME_TRANSPORTS = {
        "default": {"TRANSPORT": PATH},
        **{account: {"TRANSPORT": PATH} for account in ACCOUNTS},
    }
    type("Backend", (TenantBackend,), {})


@given(program=programs)
@hypothesis_settings(
    max_examples=scaled(60), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_tenants_with_equal_keys_receive_their_own_rows_alone(accounts: None, program: Any) -> None:
    start_with_shelves()
    for account in ACCOUNTS:
        transport: Any = transports[account]
        transport.batches.clear()  # of an example that failed
    mirrors = {account: Mirror() for account in ACCOUNTS}
    for commit in program:
        with transaction.atomic("default"), transaction.atomic("other"):
            for write, using, key, shelf in commit:
                write(using, key, shelf)
        take_events(mirrors)
    default: Any = transports["default"]
    assert default.batches == []
    for using in DATABASES:
        truth = find_truth(using)
        for shelf in SHELVES:
            channel = f"private-shelves.{shelf}"
            known = mirrors[f"{using}-{shelf}"].known
            assert known == ({channel: truth[channel]} if channel in truth else {})


@pytest.fixture
def services(settings: Settings) -> Iterator[dict[str, PusherService]]:
    """A Pusher app of its own for each tenant, each with other credentials."""
    pytest.importorskip("pusher")
    with ExitStack() as stack:
        services = {
            account: stack.enter_context(
                PusherService(app_id=f"{number}", key=f"key-{number}", secret=f"secret-{number}")
            )
            for number, account in enumerate(ACCOUNTS[:2], start=1)
        }
        settings.REALTIME_TRANSPORTS = {
            account: {
                "TRANSPORT": "realtime_drf.transports.pusher.PusherTransport",
                "OPTIONS": {
                    "app_id": each.app_id,
                    "key": each.key,
                    "secret": each.secret,
                    "host": each.host,
                    "port": each.port,
                    "ssl": False,
                },
            }
            for account, each in services.items()
        }
        yield services


@pytest.mark.end_to_end
def test_each_tenant_has_credentials_of_its_own(services: dict[str, PusherService]) -> None:
    """The service refuses what another app's secret has signed."""
    type("Backend", (TenantBackend,), {})
    start_with_shelves()
    save("default", 1, 1)
    save("default", 1, 2)
    received = [
        [(each.channel, each.name, json.loads(each.data).get("title")) for each in service.received]
        for service in services.values()
    ]
    assert received == [
        [
            ("private-shelves.1", "note.create", "default-1"),
            ("private-shelves.1", "note.delete", None),
        ],
        [("private-shelves.2", "note.create", "default-2")],
    ]
