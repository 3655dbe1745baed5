"""Hyperlinks without a request: relative URLs, in one version of the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import NoReverseMatch, URLResolver, get_resolver
from rest_framework.fields import DictField, ListField
from rest_framework.relations import HyperlinkedRelatedField, ManyRelatedField
from rest_framework.reverse import reverse
from rest_framework.serializers import ListSerializer, Serializer
from rest_framework.settings import api_settings


def link_without_request(field: Any, within: tuple[type[Any], ...] = ()) -> None:
    """Have the hyperlinks in a serializer find the URLs of versioned views.

    DRF asks the request for the version. Without one, `reverse_versioned` chooses it.
    """
    if isinstance(field, HyperlinkedRelatedField):
        if field.reverse is reverse:  # else the field has its own
            field.reverse = reverse_versioned
    elif isinstance(field, ManyRelatedField):
        link_without_request(field.child_relation, within)
    elif isinstance(field, ListSerializer | ListField | DictField):
        link_without_request(field.child, within)
    elif isinstance(field, Serializer) and type(field) not in within:  # some nest themselves
        for nested in field.fields.values():
            link_without_request(nested, (*within, type(field)))


def reverse_versioned(
    viewname: str,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    request: Any = None,
    format: str | None = None,  # noqa: A002  the name is DRF's
    **extra: Any,
) -> str:
    """Reverse a URL, in a version of the API if there is none without.

    The version is ``DEFAULT_VERSION`` of DRF's settings, or the first of ``ALLOWED_VERSIONS``, or
    the first namespace of the URLconf that has the view.
    """
    try:
        return reverse(viewname, args, kwargs, request, format, **extra)
    except NoReverseMatch:
        for name, values in _versioned(viewname, kwargs or {}):
            try:
                return reverse(name, args, values, request, format, **extra)
            except NoReverseMatch:
                continue
        raise


def _versioned(viewname: str, kwargs: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    versions = [api_settings.DEFAULT_VERSION, *(api_settings.ALLOWED_VERSIONS or ())]
    for version in filter(None, versions):
        yield f"{version}:{viewname}", kwargs
        yield viewname, {**kwargs, api_settings.VERSION_PARAM: version}
    for namespace in _walk_namespaces(get_resolver()):
        yield f"{namespace}:{viewname}", kwargs


def _walk_namespaces(resolver: URLResolver, within: tuple[str, ...] = ()) -> Iterator[str]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            path = (*within, pattern.namespace) if pattern.namespace else within
            if pattern.namespace:
                yield ":".join(path)
            yield from _walk_namespaces(pattern, path)
