"""Options are declared once, and what is declared is what is checked."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from realtime_drf.exceptions import InvalidTransport
from realtime_drf.options import Options, find_table, option, takes_options
from realtime_drf.transports import transports
from realtime_drf.transports.base import BaseTransport
from tests.capabilities import find_transports


def _shorten(text: str) -> str:
    if " " in text:
        raise ValueError("holds a blank")
    return text.lower()


@dataclass(frozen=True, kw_only=True)
class BasicOptions(Options):
    name: str | None = option(None, "who it is", clean=_shorten)
    number: str | int | None = option(None, "text or a number")
    password: str | None = option(None, "how it is known", secret=True)
    timeout: float = option(5, "seconds")
    delay: float = option(0, "seconds, or none", least=0)
    size: int | None = option(10, "bytes")
    port: int = option(80, "a port", most=65_535)
    retry: bool = option(True, "whether it tries again")
    hosts: Sequence[str] = option((), "where it is", unset="nowhere")
    keys: Mapping[str, str] | None = option(None, "keys and secrets", secret=True)
    extras: Mapping[str, Any] | None = option(None, "whatever")
    undeclared: int = field(default=0)


class BasicTransport(BaseTransport):
    @takes_options(BasicOptions)
    def __init__(self, options: BasicOptions) -> None:
        super().__init__(alias=options.alias)
        self.options = options

    def send_batch(self, events: Any) -> None:
        raise NotImplementedError


class DerivedTransport(BasicTransport):
    def __init__(self, *, tenant: str = "", is_new: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tenant = tenant


class PlainTransport(BaseTransport):
    def __init__(self, *, url: str, verify: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.url = url

    def send_batch(self, events: Any) -> None:
        raise NotImplementedError


def configured(settings: Settings, cls: type[BaseTransport], **options: Any) -> Any:
    path = f"{__name__}.{cls.__name__}"
    settings.REALTIME_TRANSPORTS = {"live": {"TRANSPORT": path, "OPTIONS": options}}
    return transports["live"]


def test_values_reach_the_constructor_checked_and_cleaned() -> None:
    given = {"name": "ANNA", "timeout": 1, "hosts": ["a"], "keys": {"a": "b"}, "size": None}
    options = BasicTransport(alias="live", **given).options
    assert {name: getattr(options, name) for name in given} == {**given, "name": "anna"}
    assert (options.alias, options.retry, options.port) == ("live", True, 80)
    assert BasicTransport(number=7).options.number == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": 7}, "'name' must be a str, not int."),
        ({"name": "a b"}, "'name' holds a blank."),
        ({"number": b"7"}, "'number' must be a str, not bytes."),
        ({"timeout": "x"}, "'timeout' must be a number above 0, not 'x'."),
        ({"timeout": 0}, "'timeout' must be a number above 0, not 0."),
        ({"timeout": math.inf}, "'timeout' must be a number above 0, not inf."),
        ({"timeout": math.nan}, "'timeout' must be a number above 0, not nan."),
        ({"timeout": True}, "'timeout' must be a number above 0, not True."),
        ({"timeout": None}, "'timeout' must be a number above 0, not None."),
        ({"delay": -1}, "'delay' must be a number of 0 or more, not -1."),
        ({"size": 1.5}, "'size' must be a whole number above 0, not 1.5."),
        ({"port": 65_536}, "'port' must be a whole number from 1 to 65535, not 65536."),
        ({"hosts": "x"}, "'hosts' must be a list of str, not str."),
        ({"hosts": ["x", 1]}, "'hosts' must be a list of str."),
        ({"keys": ["x"]}, "'keys' must be a dict of str, not list."),
        ({"keys": {"a": ""}}, "'keys' must be a dict of str."),
        ({"extras": 7}, "'extras' must be a dict, not int."),
        (
            {"retry": "False"},
            "'False' counts as True.",
        ),
        ({"retry": "False"}, "'retry' must be True or False, not str: an environment variable is"),
        ({"retry": None}, "'retry' must be True or False, not NoneType: an environment"),
        ({"timeuot": 1}, "BasicTransport has no option 'timeuot'; it has: delay, extras, hosts,"),
        ({"timeuot": 1}, "Did you mean 'timeout'?"),
        ({"alias": "x"}, "BasicTransport has no option 'alias'"),
    ],
    ids=repr,
)
def test_a_wrong_value_is_an_error_that_says_what_is_wanted(
    settings: Settings, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidTransport) as caught:
        configured(settings, BasicTransport, **options)
    assert str(caught.value).startswith("REALTIME_TRANSPORTS['live']: ")
    assert message in str(caught.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([each for each in find_transports() if find_table(each)]), st.data())
def test_whatever_is_given_is_accepted_or_refused(
    transport: type[BaseTransport], data: st.DataObject
) -> None:
    table = find_table(transport)
    name = data.draw(st.sampled_from(sorted(table)))
    with suppress(ValueError):
        table[name].read(data.draw(ANYTHING))


@given(st.sampled_from(["password", "keys"]), ANYTHING.filter(lambda value: len(repr(value)) > 8))
def test_no_error_and_no_repr_holds_the_value_of_a_secret(name: str, value: Any) -> None:
    try:
        shown = repr(BasicOptions(**{name: value}))
    except InvalidTransport as exc:
        shown = "".join(traceback.format_exception_only(exc))
    assert repr(value) not in shown


def test_secrets_are_those_that_are_declared() -> None:
    options = BasicOptions(name="anna", password="hunter-2", keys={"a": "b"})
    assert options.secrets() == ["hunter-2"]
    assert "hunter-2" not in repr(options)


def test_a_declaration_goes_before_the_name_of_an_option(settings: Settings) -> None:
    class Failing(BasicTransport):
        @takes_options(BasicOptions)
        def __init__(self, options: BasicOptions) -> None:
            raise ValueError(f"{options.name} {options.password} {options.keys}")

    globals()["Failing"] = Failing
    with pytest.raises(InvalidTransport) as caught:
        configured(settings, Failing, name="a-name", password="hunter-2", keys={"k": "a-secret"})
    assert str(caught.value).endswith("Failing: a-name [redacted] {'k': '[redacted]'}")


def test_a_subclass_may_have_options_of_its_own(settings: Settings) -> None:
    transport = configured(settings, DerivedTransport, tenant="a", timeout=2)
    assert (transport.tenant, transport.options.timeout) == ("a", 2)
    for options, message in (
        ({"timeout": 0}, "'timeout' must be a number above 0, not 0."),
        ({"is_new": "False"}, "'is_new' must be True or False, not str"),
        ({"tenent": "x"}, "Did you mean 'tenant'?"),
        ({"timeuot": "x"}, "Did you mean 'timeout'?"),
    ):
        with pytest.raises(InvalidTransport) as caught:
            configured(settings, DerivedTransport, **options)
        assert message in str(caught.value)


def test_a_transport_needs_no_declaration(settings: Settings) -> None:
    assert configured(settings, PlainTransport, url="x").url == "x"
    assert not find_table(PlainTransport)
    for options, message in (
        ({"url": "x", "verify": "no"}, "'verify' must be True or False, not str"),
        ({"ulr": "x"}, "Did you mean 'url'?"),
        ({}, "missing 1 required keyword-only argument: 'url'"),
    ):
        with pytest.raises(InvalidTransport) as caught:
            configured(settings, PlainTransport, **options)
        assert message in str(caught.value)


def test_a_name_that_is_not_text_is_an_unknown_option(settings: Settings) -> None:
    path = f"{__name__}.BasicTransport"
    settings.REALTIME_TRANSPORTS = {"live": {"TRANSPORT": path, "OPTIONS": {7: 1}}}
    with pytest.raises(InvalidTransport, match="BasicTransport has no option 7; it has: "):
        transports["live"]


def test_a_keyword_that_is_unknown_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="no_such_option"):
        BasicTransport(no_such_option=1)
