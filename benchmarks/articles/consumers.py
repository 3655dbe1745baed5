"""The observer of djangochannelsrestframework, which is measured beside."""

from __future__ import annotations

from typing import Any

from djangochannelsrestframework.observer import model_observer
from rest_framework.serializers import ModelSerializer


def observe(model: type[Any], serializer_class: type[ModelSerializer[Any]]) -> None:
    """Send what is saved to a group of the channel layer, as its documentation shows it."""

    @model_observer(model, serializer_class=serializer_class)
    async def activity(self: Any, message: Any, **kwargs: Any) -> None:
        """Do nothing: nobody is subscribed."""

    _observers.append(activity)


_observers: list[Any] = []
"""Signals refer to their receivers weakly."""
