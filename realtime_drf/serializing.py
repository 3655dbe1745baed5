"""Serialization for everyone on a channel: without a request, and in one go for many instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Model
from rest_framework.serializers import BaseSerializer

from realtime_drf.hyperlinks import link_without_request


def serialize(
    serializer_class: type[BaseSerializer[Any]],
    instances: Sequence[Model],
    context: dict[str, Any],
    *,
    backend: object,
) -> list[Any]:
    """Return the data of instances, each as a serializer of its own would make it.

    One serializer is used for all where its class leaves it to DRF to make the fields: that is most
    of the cost of an instance.

    Raises:
        Exception: any error of the serializer, with a note that names it and `backend`.
    """
    try:
        if len(instances) > 1 and _is_reusable(serializer_class):
            serializer = _make(serializer_class, instances[0], context)
            return [_represent(serializer, instance) for instance in instances]
        return [_make(serializer_class, instance, context).data for instance in instances]
    except Exception as exc:
        exc.add_note(_explain(serializer_class, context, backend))
        raise


def _make(
    serializer_class: type[BaseSerializer[Any]], instance: Model, context: dict[str, Any]
) -> BaseSerializer[Any]:
    serializer = serializer_class(instance, context=context)
    if context.get("request") is None:
        link_without_request(serializer)
    return serializer


def _represent(serializer: BaseSerializer[Any], instance: Model) -> Any:
    serializer.instance = instance  # methods may read it
    return serializer.to_representation(instance)


def _is_reusable(serializer_class: type[BaseSerializer[Any]]) -> bool:
    """Return whether only `to_representation` uses the instance."""
    return all(
        _get_home(serializer_class, name).startswith("rest_framework.")
        for name in ("__new__", "__init__", "data", "fields", "get_fields")
    )


def _get_home(cls: type[Any], name: str) -> str:
    """Return the module of the class from which a name is inherited."""
    homes = (each.__module__ for each in cls.__mro__ if name in vars(each))
    return next(homes, "rest_framework.")


def _explain(
    serializer_class: type[BaseSerializer[Any]], context: dict[str, Any], backend: object
) -> str:
    text = (
        f"Raised while {type(backend).__module__}.{type(backend).__qualname__} made the data of an "
        f"event with {serializer_class.__module__}.{serializer_class.__qualname__}."
    )
    if context.get("request") is None:
        text += (
            " The data goes to everyone on the channel, so the serializer's context has no request "
            "(None). Give the backend a serializer_class that needs none, or return an anonymous "
            "request from its get_serializer_context()."
        )
    return text
