"""A project of several audiences, whose contract the tests read."""

from __future__ import annotations

from typing import Any, TypedDict

from django.db.models import F
from rest_framework import serializers

from realtime_drf import (
    PresenceChannel,
    PrivateChannel,
    PublicChannel,
    RealtimeBackend,
    UserChannel,
)
from realtime_drf.channels import registry
from realtime_drf.contract import declare
from tests.todos.models import Note, Parcel, Seat


class ShelfChannel(PrivateChannel):
    pattern = "shelves.<int:pk>"

    def authorize(self, request: Any, pk: int) -> bool:
        return True


class StaffChannel(PrivateChannel):
    pattern = "staff.<slug:team>"

    def authorize(self, request: Any, team: str) -> bool:
        return True


class RoomChannel(PresenceChannel):
    pattern = "rooms.<uuid:room>.<int:floor>"

    def authorize(self, request: Any, room: Any, floor: int) -> bool:
        return True


class LobbyChannel(PublicChannel):
    pattern = "<slug:name>"


class DoorChannel(PublicChannel):
    pattern = "floors.<int:floor>.doors-<str:door>-open"


class SecretChannel(PrivateChannel):
    pattern = "<str:name>.<int:number>"

    def authorize(self, request: Any, name: str, number: int) -> bool:
        return True


# These are the policies of no other test.
for _channel in (ShelfChannel, StaffChannel, RoomChannel, LobbyChannel, DoorChannel, SecretChannel):
    registry.channels.remove(_channel)


class NoteSerializer(serializers.ModelSerializer[Note]):
    labels = serializers.SlugRelatedField("name", many=True, read_only=True)
    secret = serializers.CharField(write_only=True)

    class Meta:
        model = Note
        fields = ("id", "title", "shelf", "labels", "revision", "secret")


class StaffNoteSerializer(NoteSerializer):
    class Meta(NoteSerializer.Meta):
        fields = (*NoteSerializer.Meta.fields, "is_hidden")  # type: ignore[assignment]


class ParcelSerializer(serializers.ModelSerializer[Parcel]):
    class Meta:
        model = Parcel
        fields = ("id", "state", "due", "price", "label")


class SeatSerializer(serializers.ModelSerializer[Seat]):
    class Meta:
        model = Seat
        fields = ("row", "number", "taken")


class ImportResult(TypedDict):
    rows: int
    errors: list[str]


def define() -> None:
    """Define backends for several audiences, of rows with several kinds of keys, and own events."""
    registry.channels = [ShelfChannel, StaffChannel, RoomChannel]

    class NoteBackend(RealtimeBackend[Note]):
        serializer_class = NoteSerializer
        channels = ("notes", ShelfChannel(pk=F("shelf_id")))
        version_field = "revision"
        refresh_above = 100

    class StaffNoteBackend(RealtimeBackend[Note]):
        serializer_class = StaffNoteSerializer
        channels = (StaffChannel(team="editors"),)

    class ParcelBackend(RealtimeBackend[Parcel]):
        serializer_class = ParcelSerializer
        channels = (UserChannel(F("country_id")), "cache-parcels")
        actions = ("create", "delete")

    class SeatBackend(RealtimeBackend[Seat]):
        serializer_class = SeatSerializer
        channels = ("seats",)

    declare("import.finished", [UserChannel, "notes"], ImportResult)
    declare("notes.sorted", "notes", NoteSerializer(many=True))
    declare("closing", ShelfChannel)
