"""Views, serializers and backends of tests, made in a line each."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from rest_framework import serializers, viewsets
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory

from realtime_drf.backends import RealtimeBackend
from realtime_drf.mixins import RealtimeViewMixin

HANDLERS = {"post": "create", "put": "update", "patch": "partial_update", "delete": "destroy"}


def make_serializer(
    model: type[Model], *fields: str, **declared: Any
) -> type[serializers.ModelSerializer[Any]]:
    """Return a ModelSerializer with the given fields; what is declared stands in its body."""
    meta = type("Meta", (), {"model": model, "fields": list(fields)})
    return type("Made", (serializers.ModelSerializer,), {"Meta": meta, **declared})


def make_backend(
    serializer_class: type[serializers.BaseSerializer[Any]], **hooks: Any
) -> type[RealtimeBackend[Any]]:
    """Return a backend that sends to "all", in the place of all others of its model.

    It does not observe: what is published is what the view with the mixin publishes.
    """
    body = {
        "serializer_class": serializer_class,
        "get_channels": lambda self, change: ["all"],
        "observe": False,
    }
    return type("MadeBackend", (RealtimeBackend,), {**body, **hooks})


def make_view(
    queryset: Any, serializer_class: type[serializers.BaseSerializer[Any]], /, **body: Any
) -> type[Any]:
    """Return a viewset with the mixin, which lets everybody in."""
    own = {"queryset": queryset, "serializer_class": serializer_class, "permission_classes": ()}
    bases = (RealtimeViewMixin, viewsets.ModelViewSet)
    return type("MadeViewSet", bases, {"authentication_classes": (), **own, **body})


def call(
    view: type[Any],
    method: str,
    data: Any = None,
    *,
    action: str | None = None,
    format: str = "json",  # noqa: A002  the name is DRF's
    **kwargs: Any,
) -> Response:
    """Call a viewset as a router would."""
    request = getattr(APIRequestFactory(), method)("/", data, format=format)
    response = view.as_view({method: action or HANDLERS[method]})(request, **kwargs)
    assert isinstance(response, Response)
    return response.render()
