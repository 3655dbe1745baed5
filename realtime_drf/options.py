"""Options of transports, declared once.

A declaration checks what REALTIME_TRANSPORTS gives, says which values are secret, and is the table
of options in the documentation::

    @dataclass(frozen=True, kw_only=True)
    class RedisOptions(Options):
        url: str = option("redis://localhost", "the URL of a Redis", secret=True)
        timeout: float = option(5, "seconds for a call")


    class RedisTransport(BaseTransport):
        @takes_options(RedisOptions)
        def __init__(self, options: RedisOptions) -> None:
            super().__init__(alias=options.alias)

A transport needs none of this: without a declaration, its options are the keyword arguments of its
constructor.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import (
    Any,
    Concatenate,
    Final,
    ParamSpec,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from realtime_drf.conf import DEFAULT_ALIAS, nearest
from realtime_drf.exceptions import InvalidTransport
from realtime_drf.tracebacks import opaque

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")
O = TypeVar("O", bound="Options")  # noqa: E741

MASTER_KEY_BYTES: Final = 32

_LISTS: Final = (Sequence, Collection)
_NO_LISTS: Final = (str, bytes, bytearray, memoryview, Mapping)
_WANTED: Final[Mapping[Any, str]] = {
    bool: "True or False",
    str: "a str",
    Mapping: "a dict",
    **dict.fromkeys(_LISTS, "a list"),
}


def option(
    default: T,
    meaning: str,
    *,
    unset: str = "none",
    secret: bool = False,
    least: int | None = None,
    most: int | None = None,
    clean: Callable[[Any], Any] | None = None,
) -> T:
    """Declare an option as a field of a dataclass; its annotation is the type.

    Args:
        meaning: what the documentation says of it, in Markdown.
        unset: what the documentation says of the default None.
        secret: it is, or may hold, a secret: its value is in no error and no repr.
        least, most: bounds of a number. Without `least` it must be above 0.
        clean: returns the value as the transport uses it. It raises ValueError, with a text that
            continues "'name' …", if the value is wrong.
    """
    metadata = {
        "meaning": meaning,
        "unset": unset,
        "is_secret": secret,
        "least": least,
        "most": most,
        "clean": clean,
    }
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Option:
    """The declaration of one option."""

    name: str
    type: Any
    default: Any
    meaning: str
    unset: str
    is_secret: bool
    least: int | None
    most: int | None
    clean: Callable[[Any], Any] | None

    def read(self, value: Any) -> Any:
        """Return a value as the transport uses it; raise ValueError if it is wrong."""
        kinds = _get_kinds(self.type)
        if value is None and NoneType in kinds:
            return None
        if kinds[0] is bool:
            check_switch(value)
        elif not any(self._fits(value, kind) for kind in kinds if kind is not NoneType):
            raise ValueError(f"must be {self._wanted(kinds[0])}{self._but_is(value, kinds[0])}")
        return self.clean(value) if self.clean else value

    def _fits(self, value: Any, kind: Any) -> bool:
        if kind in (int, float):
            is_number = isinstance(value, kind | int) and not isinstance(value, bool)
            return is_number and self._is_within(value)
        if kind in _LISTS:
            return _is_list(value, kind) and self._holds_text(value)
        if kind is Mapping:
            if not isinstance(value, Mapping):
                return False
            items = [*value, *value.values()]
            return self._holds_text(items) and (self._get_item() is not str or all(items))
        return kind is not str or isinstance(value, str)

    def _is_within(self, number: float) -> bool:
        is_enough = number > 0 if self.least is None else number >= self.least
        return is_enough and number < math.inf and (self.most is None or number <= self.most)

    def _holds_text(self, values: Collection[Any]) -> bool:
        """Return whether values are text, where the annotation says that they are."""
        return self._get_item() is not str or all(isinstance(each, str) for each in values)

    def _get_item(self) -> Any:
        """Return the class of all that a list or dict holds, if it is one."""
        parts = get_args(self.type) if _is_union(self.type) else (self.type,)
        items = {get_origin(each) or each for each in get_args(parts[0])}
        return items.pop() if len(items) == 1 else None

    def _wanted(self, kind: Any) -> str:
        if kind in (int, float):
            what = "a whole number" if kind is int else "a number"
            if self.most is not None:
                return f"{what} from {1 if self.least is None else self.least} to {self.most}"
            return f"{what} above 0" if self.least is None else f"{what} of {self.least} or more"
        wanted = _WANTED.get(kind) or f"a {kind.__name__}"
        item = {str: " of str", Mapping: " of dicts"}.get(self._get_item(), "")
        return f"{wanted}{item}"

    def _but_is(self, value: Any, kind: Any) -> str:
        if kind in (int, float) and not self.is_secret:
            return f", not {value!r:.60}"
        holds_others = isinstance(value, Mapping) if kind is Mapping else _is_list(value, kind)
        return "" if holds_others else f", not {type(value).__name__}"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of one transport, checked; a subclass declares them with `option`."""

    alias: str = DEFAULT_ALIAS

    def __post_init__(self) -> None:
        """Raise InvalidTransport for the first value that is wrong."""
        for name, declared in read_table(type(self)).items():
            try:
                object.__setattr__(self, name, declared.read(getattr(self, name)))
            except ValueError as exc:
                raise self.error(f"{name!r} {exc}.") from None

    def error(self, text: str) -> InvalidTransport:
        """Make an error that names the alias."""
        return InvalidTransport(text, alias=self.alias)

    def secrets(self) -> list[str]:
        """Return the texts that are secret."""
        names = [name for name, each in read_table(type(self)).items() if each.is_secret]
        values = [getattr(self, name) for name in names]
        return [value for value in values if isinstance(value, str) and value]


def takes_options(
    table: Callable[P, O],
) -> Callable[[Callable[[S, O], None]], Callable[Concatenate[S, P], None]]:
    """Make a constructor that takes the options of a table as keyword arguments.

    What it decorates is given an instance of the table. Its frames are in no traceback.
    """

    def decorate(function: Callable[[S, O], None]) -> Callable[Concatenate[S, P], None]:
        @functools.wraps(function)
        @opaque
        def __init__(self: S, *args: P.args, **options: P.kwargs) -> None:  # noqa: N807
            function(self, table(*args, **options))

        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        theirs = inspect.signature(table).parameters.values()
        shown: Any = __init__
        shown.__signature__ = inspect.Signature([own, *theirs])
        shown.table = table
        return cast("Callable[Concatenate[S, P], None]", __init__)

    return decorate


def read_table(options_class: type[Options]) -> Mapping[str, Option]:
    """Return the declarations of a class, by name and in order."""
    # Any, since mypy takes the class of a frozen dataclass for unhashable.
    return _read_table(cast("Any", options_class))


@functools.cache
def _read_table(options_class: Any) -> Mapping[str, Option]:
    hints = get_type_hints(options_class)
    return {
        each.name: Option(
            name=each.name, type=hints[each.name], default=each.default, **each.metadata
        )
        for each in dataclasses.fields(options_class)
        if "meaning" in each.metadata
    }


def find_table(transport_class: type[Any]) -> Mapping[str, Option]:
    """Return the declarations of a transport's options, or nothing if it has none."""
    for cls in transport_class.__mro__:
        table = getattr(vars(cls).get("__init__"), "table", None)
        if table is not None:
            return read_table(table)
    return {}


def check_options(transport_class: type[Any], given: Mapping[str, Any], *, alias: str) -> None:
    """Raise InvalidTransport for an option that is unknown, or for text in place of a switch.

    What is declared is checked further when the transport is made.
    """
    known = _find_parameters(transport_class)
    for name, value in given.items():
        if name not in known:
            has = ", ".join(sorted(known)) or "none"
            raise InvalidTransport(
                f"{transport_class.__name__} has no option {name!r}; it has: {has}."
                f"{nearest(str(name), known)}",
                alias=alias,
            )
        if _is_switch(known[name]) and value is not None:
            try:
                check_switch(value)
            except ValueError as exc:
                raise InvalidTransport(f"{name!r} {exc}.", alias=alias) from None


def check_switch(value: Any) -> None:
    """Raise ValueError unless a value is True or False."""
    if not isinstance(value, bool):
        raise ValueError(
            f"must be True or False, not {type(value).__name__}: an environment variable is text, "
            f"and the text 'False' counts as True"
        )


def check_master_key(text: str) -> str:
    """Raise ValueError, without the key in its text, unless it is 32 bytes in base64."""
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise ValueError(f"must be {MASTER_KEY_BYTES} bytes in base64")
    return text


class EncryptionKey:
    """The master key among the options of a transport that encrypts."""

    encryption_master_key_base64: str | None

    @property
    def master_key(self) -> bytes | None:
        """The bytes of the key, or None if there is none."""
        text = self.encryption_master_key_base64
        return None if text is None else base64.b64decode(text)


def _find_parameters(transport_class: type[Any]) -> dict[str, inspect.Parameter]:
    """Collect the keyword arguments of a constructor, and of those that it passes the rest to."""
    found: dict[str, inspect.Parameter] = {}
    for cls in transport_class.__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = inspect.signature(vars(cls)["__init__"]).parameters.values()
        for each in parameters:
            if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD):
                found.setdefault(each.name, each)
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return {name: each for name, each in found.items() if name not in ("self", "alias")}


def _is_switch(parameter: inspect.Parameter) -> bool:
    """Return whether an option is True or False, by its annotation or, without one, its default."""
    if parameter.annotation is parameter.empty:
        return isinstance(parameter.default, bool)
    return parameter.annotation in (bool, bool | None, "bool", "bool | None", "Optional[bool]")


def _is_list(value: Any, kind: Any) -> bool:
    return kind in _LISTS and isinstance(value, kind) and not isinstance(value, _NO_LISTS)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _get_kinds(annotation: Any) -> tuple[Any, ...]:
    """Return the classes that a value may be of: of ``Mapping[str, str] | None``, two."""
    parts = get_args(annotation) if _is_union(annotation) else (annotation,)
    return tuple(get_origin(each) or each for each in parts)
