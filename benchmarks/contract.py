"""What it takes to write the contract of 100 backends, beside what drf-spectacular takes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.db.models import F
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry
from rest_framework import serializers
from rest_framework.views import APIView

from benchmarks.articles.models import Article
from benchmarks.figures import Figure, Kind, side_by_side
from realtime_drf import PrivateChannel, RealtimeBackend
from realtime_drf.backends import registry
from realtime_drf.contract.documents import make_asyncapi
from realtime_drf.contract.reading import read_contract
from realtime_drf.contract.typescript import write_typescript

DESCRIPTION = "The contract of 100 backends, each with a channel and a serializer of its own"
BACKENDS = 100


class StateSerializer(serializers.Serializer[Any]):
    """A serializer within others."""

    state = serializers.ChoiceField(choices=["open", "closed"], allow_null=True)
    changed = serializers.DateTimeField()
    tags = serializers.ListField(child=serializers.CharField())


def define_backends() -> list[Any]:
    """Define the backends, and return their serializers."""
    return [serializer for number in range(BACKENDS) for serializer in _define(number)]


def _define(number: int) -> Iterator[Any]:
    class Meta:
        model = Article
        fields = "__all__"

    attributes = {"Meta": Meta, "state": StateSerializer(), "price": serializers.FloatField()}
    serializer = type(f"Kind{number}Serializer", (serializers.ModelSerializer,), attributes)
    channel = type(
        f"Kind{number}Channel",
        (PrivateChannel,),
        {"pattern": f"kinds-{number}.<int:pk>", "authorize": lambda *args, **kwargs: True},
    )
    type(
        f"Kind{number}Backend",
        (RealtimeBackend,),
        {"serializer_class": serializer, "channels": ["kinds", channel(pk=F("pk"))]},
    )
    yield serializer


def describe(serializer_classes: list[Any]) -> None:
    """Describe serializers by drf-spectacular alone."""
    view: Any = APIView()
    view.request = None
    schema: Any = AutoSchema()
    schema.registry, schema.view = ComponentRegistry(), view
    schema.method, schema.path = "GET", "/"
    for serializer_class in serializer_classes:
        schema.resolve_serializer(serializer_class, "response")
    assert len(schema.registry.build({})["schemas"]) == BACKENDS + 1


def write_contract() -> None:
    """Read the contract and write it as TypeScript and as AsyncAPI."""
    contract = read_contract()
    assert len(contract.channels) == BACKENDS + 1
    write_typescript(contract)
    json.dumps(make_asyncapi(contract))


def measure(*, quick: bool = False) -> list[Figure]:
    registry._backends.clear()
    serializer_classes = define_backends()
    ours, theirs = side_by_side(
        write_contract, lambda: describe(serializer_classes), rounds=2 if quick else 10
    )
    return [
        Figure("contract_seconds", ours, 2, "seconds to read and to write it twice", Kind.WALL),
        Figure(
            "contract_to_schemas_ratio",
            ours / theirs,
            2,
            "time, of drf-spectacular's for the serializers alone",
            Kind.WALL,
        ),
        Figure("schemas_seconds", theirs, None, "seconds of that", Kind.CONTROL),
    ]
