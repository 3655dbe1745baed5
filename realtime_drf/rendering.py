"""Rendering of data as JSON text: the encoding of DRF's renderer, made exact.

DRF's encoder turns a Decimal into a float and a set into a list in arbitrary order, and lets
colliding keys overwrite each other. Here nothing changes silently: data without an exact JSON form
is rejected, with its path.
"""

from __future__ import annotations

import datetime
import decimal
import ipaddress
import json
import math
import uuid
from collections.abc import Callable, Iterable, Mapping, MappingView, Reversible
from collections.abc import Set as AbstractSet
from typing import Any

from django.core.files.base import File
from django.utils.encoding import force_str
from django.utils.functional import Promise
from rest_framework.utils.encoders import JSONEncoder

from realtime_drf.invalid import InvalidEvent
from realtime_drf.names import is_unicode

__all__ = ["render"]

MAX_DEPTH = 100
"""Levels of nested containers."""

_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode
_drf_default: Callable[[Any], Any] = JSONEncoder().default
_AS_DRF_DOES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)
_PLAIN = frozenset({bool, int})
_AS_TEXT = (
    uuid.UUID,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
)


def render(data: Any) -> str:
    """Render data as compact JSON text.

    Takes None, booleans, numbers, text (lazy, marked safe and of enumerations included), dates,
    times, durations, UUIDs, IP addresses, and mappings and iterables of these. An iterable becomes
    a list: a tuple, an array, a queryset's values, a view of a dict, a generator (it is consumed).
    A Decimal becomes a string with all its digits. The keys of a mapping are text or integers.

    Raises:
        InvalidEvent: with the path of a NaN, infinity, set, bytes, file, model instance, cycle, key
            that would collide, or anything else without an exact form.
    """
    return _encode(_plain(data, (), ()))


def read(text: str) -> Any:
    """Parse JSON text strictly: without NaN, overflowing numbers, or too many levels.

    Raises:
        ValueError: it is not valid JSON.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_read_float)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _plain(value: Any, path: tuple[str | int, ...], within: tuple[int, ...]) -> Any:
    """Return the value as None, bool, int, float, str, list or dict.

    `path` leads to it, and `within` has the ids of the containers around it.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, dict):  # before what takes longer to ask
        return _plain_dict(value, path, _enter(value, path, within))
    if isinstance(value, str | Promise):
        return _text(value, path)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _refusal(path, f"{value} has no JSON form")
        return value
    if isinstance(value, Mapping):
        within = _enter(value, path, within)
        return _plain_dict(value, path, within)
    if isinstance(value, list | tuple):
        within = _enter(value, path, within)
        return [_plain(item, (*path, index), within) for index, item in enumerate(value)]
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            raise _refusal(path, f"{value} has no JSON form")
        return format(value, "f")
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, _AS_DRF_DOES):
        try:
            return _drf_default(value)
        except ValueError as exc:
            raise _refusal(path, str(exc)) from exc
    if hasattr(value, "tolist"):  # arrays and their scalars, as DRF's encoder takes them
        return _plain(value.tolist(), path, within)
    if isinstance(value, Iterable) and not _has_no_list(value):
        within = _enter(value, path, within)
        return [_plain(item, (*path, index), within) for index, item in enumerate(value)]
    raise _refusal(path, _reason(value))


def _has_no_list(value: Iterable[Any]) -> bool:
    """Return whether its items are not the value: they have no order, or are numbers or lines."""
    return (
        isinstance(value, bytes | bytearray | memoryview)
        or (isinstance(value, AbstractSet) and not isinstance(value, Reversible | MappingView))
        or hasattr(value, "_meta")
        or _is_file(value)
    )


def _is_file(value: Any) -> bool:
    # On Django's files, `read` is a property that opens the file, if there is one.
    return isinstance(value, File) or hasattr(value, "read")


def _plain_dict(
    value: Mapping[Any, Any], path: tuple[str | int, ...], within: tuple[int, ...]
) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, item in value.items():
        if type(key) is str and key.isascii():
            name = key
        elif isinstance(key, str | Promise):
            name = _text(key, path)
        elif isinstance(key, int) and not isinstance(key, bool):
            name = int.__repr__(key)
        else:
            raise _refusal(path, f"the key {key!r} is neither text nor an integer")
        if name in plain:
            raise _refusal(path, f"two keys would both become {name!r}")
        plain[name] = item if _is_plain(item) else _plain(item, (*path, name), within)
    return plain


def _is_plain(value: Any) -> bool:
    """Return whether this is one of the common values that need no other form."""
    return value is None or type(value) in _PLAIN or (type(value) is str and value.isascii())


def _text(value: str | Promise, path: tuple[str | int, ...]) -> str:
    # str.__str__, since str() of an enumeration's member may be its name and not its text
    text = str.__str__(value if isinstance(value, str) else force_str(value))
    if not is_unicode(text):
        raise _refusal(path, "it has a lone surrogate, which is not valid text")
    return text


def _refuse_constant(constant: str) -> Any:
    raise ValueError(constant)


def _read_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number


def _enter(
    value: Iterable[Any], path: tuple[str | int, ...], within: tuple[int, ...]
) -> tuple[int, ...]:
    if id(value) in within:
        raise _refusal(path, "it contains itself")
    if len(within) >= MAX_DEPTH:
        raise _refusal(path, f"it is more than {MAX_DEPTH} levels deep")
    return (*within, id(value))


def _reason(value: Any) -> str:
    kind = type(value).__name__
    if hasattr(value, "_meta"):
        return f"a {kind} is a model instance: serialize it first"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{kind} are not text: decode them first"
    if isinstance(value, AbstractSet):
        return f"a {kind} has no order: make a sorted list of it first"
    if _is_file(value):
        return f"a {kind} is a file: send its name or URL"
    return f"a {kind} has no JSON form"


def _refusal(path: tuple[str | int, ...], why: str) -> InvalidEvent:
    where = "".join(f"[{step!r}]" for step in path)
    return InvalidEvent(f"data{where} cannot be sent: {why}.")
