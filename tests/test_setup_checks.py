"""What a newcomer forgets is said, with the mend, and nobody else is bothered."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.checks import run_checks
from django.urls import include, path
from pytest_django import Settings

from realtime_drf.backends import RealtimeBackend, registry
from realtime_drf.channels import PrivateChannel
from realtime_drf.channels import registry as channel_registry
from realtime_drf.views import ChannelAuthorizationView
from tests.todos.models import Todo
from tests.views import make_backend, make_serializer, make_view


def ids() -> list[str]:
    return [str(message.id) for message in run_checks(tags=["realtime_drf"])]


def found(check_id: str) -> list[str]:
    return [
        f"{message.msg} {message.hint}"
        for message in run_checks(tags=["realtime_drf"])
        if message.id == f"realtime_drf.{check_id}"
    ]


@pytest.fixture
def urls(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes some patterns the project's."""

    def use(*patterns: Any) -> None:
        module = ModuleType(f"urls_{id(patterns)}")
        module.urlpatterns = list(patterns)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        settings.ROOT_URLCONF = module.__name__

    return use


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing registered."""
    monkeypatch.setattr(registry, "_backends", {})
    channel_registry.channels = []


class OwnView(ChannelAuthorizationView):
    pass


# URLs


def test_private_channels_without_urls_are_warned_of(policies: None, urls: Any) -> None:
    urls()
    [text] = found("W006")
    assert text.startswith("ListChannel is not public, and no URL leads to the view")
    assert 'include("realtime_drf.urls")' in text


@pytest.mark.parametrize(
    "patterns",
    [
        [path("realtime/", include("realtime_drf.urls"))],
        [path("api/", include([path("v1/", include("realtime_drf.urls"))]))],
        [path("api/", include(([path("r/", include("realtime_drf.urls"))], "x"), namespace="y"))],
        [path("mine/", OwnView.as_view())],
    ],
    ids=["as documented", "deeper", "in a namespace", "a subclass"],
)
def test_urls_may_be_anywhere(policies: None, urls: Any, patterns: list[Any]) -> None:
    urls(*patterns)
    assert found("W006") == []


def test_urls_of_others_are_not_taken_for_ours(policies: None, urls: Any) -> None:
    urls(path("other/", lambda request: None))
    assert len(found("W006")) == 1


def test_public_channels_need_no_urls(policies: None, urls: Any) -> None:
    urls()
    channel_registry.channels = channel_registry.channels[:1]
    assert found("W006") == []


def test_transports_that_cannot_authorize_need_no_urls(
    policies: None, urls: Any, settings: Settings
) -> None:
    urls()
    console = "realtime_drf.transports.console.ConsoleTransport"
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": console}}
    assert found("W006") == []
    settings.REALTIME_TRANSPORTS = {}
    assert found("W006") == []


def test_broken_urls_are_left_to_django(policies: None, settings: Settings) -> None:
    settings.ROOT_URLCONF = "no.such.module"
    assert found("W006") == []
    settings.ROOT_URLCONF = None
    assert found("W006") == []


# Modules


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a package mysite with an app in it; return its folder."""
    for folder in ("newcomers_site", "newcomers_app"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "newcomers_site" / "urls.py").write_text("urlpatterns = []\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("newcomers_site", "newcomers_site.urls", "newcomers_app"):
        monkeypatch.delitem(sys.modules, name, raising=False)  # another test's
    return tmp_path


def test_a_module_beside_the_settings_is_warned_of(
    empty: None, project: Path, settings: Settings
) -> None:
    settings.ROOT_URLCONF = "newcomers_site.urls"
    assert found("W007") == []
    (project / "newcomers_site" / "realtime.py").touch()
    [text] = found("W007")
    assert text.startswith(
        "newcomers_site.realtime is not imported: 'newcomers_site' is not in INSTALLED_APPS."
    )


@pytest.mark.parametrize("name", ["realtimes", "real_time", "Realtime"])
def test_a_module_with_nearly_the_right_name_is_warned_of(
    empty: None, project: Path, settings: Settings, name: str
) -> None:
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "newcomers_app"]
    (project / "newcomers_app" / f"{name}.py").touch()
    [text] = found("W007")
    assert text.startswith(
        f"newcomers_app.{name} is not imported: the module must be called 'realtime'."
    )


def test_where_something_is_registered_nothing_is_missing(
    project: Path, settings: Settings
) -> None:
    settings.ROOT_URLCONF = "newcomers_site.urls"
    (project / "newcomers_site" / "realtime.py").touch()
    assert found("W007") == []


def test_a_project_that_only_publishes_is_not_bothered(empty: None, settings: Settings) -> None:
    settings.ROOT_URLCONF = "no_such_site.urls"
    assert found("W007") == []
    settings.ROOT_URLCONF = "urls"
    assert found("W007") == []


# Names


@pytest.mark.parametrize("name", ["REALTIME_TRANSPORT", "REALTIME_BACKEND_MODULE", "REALTIME_CACH"])
def test_a_misspelt_setting_is_warned_of(settings: Settings, name: str) -> None:
    setattr(settings, name, {})
    [text] = found("W008")
    assert text.startswith(f"{name} is not a setting of realtime_drf. Did you mean REALTIME_")


def test_settings_of_others_are_left_alone(settings: Settings) -> None:
    settings.REALTIME_DASHBOARD_COLOUR = "red"
    assert found("W008") == []


def test_a_misspelt_default_is_named(settings: Settings) -> None:
    memory = "realtime_drf.transports.memory.MemoryTransport"
    settings.REALTIME_TRANSPORTS = {"defualt": {"TRANSPORT": memory}}
    [text] = found("E002")
    assert "has no 'default'. Did you mean 'defualt'?" in text


def test_this_project_has_forgotten_nothing() -> None:
    assert ids() == []


# Hooks


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("get_channel", "get_channels"),
        ("chanels", "channels"),
        ("action", "actions"),
        ("exlude_sender", "exclude_sender"),
        ("event_name", "get_event_name"),
        ("get_serialiser_class", "get_serializer_class"),
        ("get_event_names", "get_event_name"),
        ("get_models", "get_model"),
    ],
)
def test_a_misspelt_hook_of_a_backend_is_warned_of(register: Any, name: str, meant: str) -> None:
    base = make_backend(make_serializer(Todo, "id"))
    hooks = {name: ["x"]}
    if meant == "get_channels":
        hooks["get_channels"] = RealtimeBackend.get_channels  # type: ignore[assignment]
    register(type("Mine", (base,), hooks))
    [text] = found("W018")
    assert text.startswith(f"Mine.{name} is not a hook. Did you mean {meant!r}?")


def test_names_of_ones_own_beside_a_hook_are_left_alone(register: Any) -> None:
    body = {"channels": ["a"], "get_channel": 1, "get_channel_prefix": 2, "helper": 3, "_action": 4}
    body |= {"get_serializer_class_of": 5, "handle": 6, "get_event": 7}
    register(make_backend(make_serializer(Todo, "id"), **body))
    assert found("W018") == []


def test_a_helper_of_a_policy_that_fetches_its_object_is_left_alone(policies: None) -> None:
    class Shop(PrivateChannel):
        pattern = "shop.<int:pk>"

        def get_object(self, pk: int) -> Any:
            return pk

        def authorize(self, request: Any, pk: int) -> bool:
            return bool(self.get_object(pk))

    assert found("W018") == []


def test_a_misspelt_class_method_of_a_policy_is_warned_of(policies: None) -> None:
    class Shop(PrivateChannel):
        pattern = "shop.<int:pk>"

        @classmethod
        def authorise_many(cls, request: Any, channels: Any) -> Any:
            return channels

    [text] = found("W018")
    assert "Did you mean 'authorize_many'?" in text


def test_a_misspelt_hook_is_warned_of_once_however_many_classes_inherit_it() -> None:
    base: Any = make_view(
        Todo.objects.all(), make_serializer(Todo, "id"), get_realtime_channel=lambda self: ["x"]
    )
    heirs = [type("One", (base,), {}), type("Other", (base,), {})]
    heirs.append(type("Both", tuple(heirs), {}))
    assert len(found("W018")) == 1
    del base, heirs
    gc.collect()


def test_a_misspelt_hook_of_a_policy_or_a_view_is_warned_of() -> None:
    class Shop(PrivateChannel):
        pattern = "shop"
        permission_class = ()

        def authorize(self, request: Any) -> bool:
            return True

    view: Any = make_view(
        Todo.objects.all(),
        make_serializer(Todo, "id"),
        get_realtime_channel=lambda self, change: ["x"],
        channels=lambda self, request: None,
        get_chanels=1,
    )
    texts = found("W018")
    assert len(texts) == 2, texts
    assert any("Shop.permission_class is not a hook" in text for text in texts)
    assert any("get_realtime_channel is not a hook" in text for text in texts)
    del view
    gc.collect()  # a class is found until it is collected, by other tests too
