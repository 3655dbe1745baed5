"""Settings: what is wrong is said with its place and its mend, first by `manage.py check`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import traceback
from typing import Any

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings
from pytest_django import Settings

from realtime_drf import Event, publish
from realtime_drf.backends import RealtimeBackend
from realtime_drf.conf import configs, get_backends_modules, read_config
from realtime_drf.delivery import deliveries
from realtime_drf.exceptions import InvalidTransport, RealtimeError, TransportDoesNotExist
from realtime_drf.occupancy import occupancies
from realtime_drf.transports import transports
from realtime_drf.transports.memory import MemoryTransport
from tests.todos.models import Todo

MEMORY = "realtime_drf.transports.memory.MemoryTransport"
TUNED = "tests.test_configuration.Tuned"


class Deliveries:
    """A delivery of the project."""

    def __init__(self) -> None:
        self.delivered: list[Any] = []

    def deliver(self, transport: Any, events: Any) -> None:
        self.delivered += events


class Tuned(Deliveries):
    """A delivery with options."""

    def __init__(self, *, alias: str, concurrency: int = 1) -> None:
        super().__init__()
        self.alias, self.concurrency = alias, concurrency


class Refusing(MemoryTransport):
    def __init__(self, *, size: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if size > 1:
            raise ValueError("size must be 1.")

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        return [checks.Warning("A word of the transport's own.", id="x.W001")]


PROXY = "http://user:pa55word@proxy:80/"


class Broken(MemoryTransport):
    """A transport whose SDK raises what it likes, and quotes what it was given."""

    def __init__(
        self,
        *,
        api_key: str,
        retry: bool = True,
        verify: bool | None = None,
        authorities: bool | str = True,
        hosts: Any = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if api_key:
            raise LookupError(f"{api_key} {hosts}, by way of {PROXY}")


def run_check(**options: Any) -> None:
    """Run `manage.py check` of this app alone: others ask the database."""
    call_command("check", tags=["realtime_drf"], **options)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("memory", "it must be a dict, not str."),
        ({}, "'TRANSPORT' is missing"),
        ({"TRANSPORT": 7}, "'TRANSPORT' must be a str, not int."),
        (
            {"TRANSPORT": MEMORY, "OPTION": {}},
            "'OPTION' is not a valid key. Did you mean 'OPTIONS'?",
        ),
        ({"BACKEND": MEMORY}, "'BACKEND' is not a valid key. Did you mean 'TRANSPORT'?"),
        ({"engine": MEMORY}, "'engine' is not a valid key. Did you mean 'TRANSPORT'?"),
        ({"transport": MEMORY}, "'transport' is not a valid key. Did you mean 'TRANSPORT'?"),
        ({"TRANSPORT": MEMORY, "CONFIG": {}}, "Did you mean 'OPTIONS'?"),
        (
            {"TRANSPORT": MEMORY, "app_id": "1", "secret": "hunter2"},
            "'app_id' is not a valid key. The valid keys are TRANSPORT, OPTIONS, DELIVERY, ",
        ),
        ({"TRANSPORT": MEMORY, "key": "k"}, "options of the transport go into 'OPTIONS'."),
        ({"TRANSPORT": MEMORY, 7: "1"}, "7 is not a valid key."),
        ({"TRANSPORT": MEMORY, "OPTIONS": []}, "'OPTIONS' must be a dict, not list."),
        ({"TRANSPORT": MEMORY, "ENABLED": "no"}, "'ENABLED' must be a bool, not str."),
        ({"TRANSPORT": MEMORY, "ON_ERROR": "ignore"}, "'ON_ERROR' is 'log' or 'raise'"),
        ({"TRANSPORT": "realtime_drf.transports.memry.X"}, "could not import TRANSPORT"),
        ({"TRANSPORT": f"{MEMORY}s"}, f"Did you mean '{MEMORY}'?"),
        ({"TRANSPORT": MEMORY.replace("memory.", "")}, f"Did you mean '{MEMORY}'?"),
        (
            {"TRANSPORT": "tests.recording.RecordngTransport"},
            "Did you mean 'tests.recording.RecordingTransport'?",
        ),
        ({"TRANSPORT": "realtime_drf.conf.read_config"}, "is not a transport class"),
        (
            {"TRANSPORT": MEMORY, "OPTIONS": {"payload_limt": 1}},
            "no option 'payload_limt'; it has: payload_limit. Did you mean 'payload_limit'?",
        ),
        ({"TRANSPORT": MEMORY, "OPTIONS": {"alias": "x"}}, "has no option 'alias'"),
        (
            {"TRANSPORT": "tests.test_configuration.Refusing", "OPTIONS": {"size": 2}},
            "size must be 1.",
        ),
        ({"TRANSPORT": MEMORY, "DELIVERY": "thread"}, "could not make DELIVERY 'thread'"),
        (
            {"TRANSPORT": MEMORY, "DELIVERY_OPTIONS": ["alias"]},
            "'DELIVERY_OPTIONS' must be a dict, not list.",
        ),
        (
            {"TRANSPORT": MEMORY, "DELIVERY_OPTIONS": {"concurrency": 2}},
            "InlineDelivery has no option 'concurrency'; it has: none.",
        ),
        (
            {"TRANSPORT": MEMORY, "DELIVERY": TUNED, "DELIVERY_OPTIONS": {"concurency": 2}},
            "has no option 'concurency'; it has: concurrency. Did you mean 'concurrency'?",
        ),
        (
            {"TRANSPORT": MEMORY, "DELIVERY": TUNED, "DELIVERY_OPTIONS": {"alias": "x"}},
            "has no option 'alias'; it has: concurrency.",
        ),
        (
            {"TRANSPORT": MEMORY, "DELIVERY": TUNED, "DELIVERY_OPTIONS": {7: "x"}},
            "Tuned has no option 7",
        ),
        ({"TRANSPORT": MEMORY, "OPTIONS": {7: "x"}}, "MemoryTransport has no option 7"),
        (
            {
                "TRANSPORT": MEMORY,
                "DELIVERY": f"{__name__}.Deliveries",
                "DELIVERY_OPTIONS": {"size": 1},
            },
            "has no option 'size'; it has: none.",
        ),
        ({"TRANSPORT": MEMORY, "DELIVERY": "io.StringIO"}, "DELIVERY 'io.StringIO' has no deliver"),
    ],
)
def test_a_wrong_entry_is_a_check_error_that_says_the_mend(
    settings: Settings, entry: Any, message: str
) -> None:
    settings.REALTIME_TRANSPORTS = {"default": entry}
    with pytest.raises(SystemCheckError) as caught:
        run_check()
    text = str(caught.value)
    assert "(realtime_drf.E001) REALTIME_TRANSPORTS['default']: " in text
    assert message in text
    assert "hunter2" not in text


def test_an_entry_without_an_alias_is_an_error_that_says_where_it_belongs(
    settings: Settings,
) -> None:
    settings.REALTIME_TRANSPORTS = {"TRANSPORT": MEMORY, "OPTIONS": {"payload_limit": 1}}
    with pytest.raises(SystemCheckError, match="in the dict of an alias, such as 'default'"):
        run_check()


@pytest.mark.parametrize("error", [OSError, KeyError, RuntimeError, ExceptionGroup, UnicodeError])
def test_whatever_a_constructor_raises_is_an_error_of_its_entry(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def init(self: Any, **kwargs: Any) -> None:
        raise ExceptionGroup("x", [OSError()]) if error is ExceptionGroup else error("oops")

    monkeypatch.setattr(Broken, "__init__", init)
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": "tests.test_configuration.Broken"}}
    with pytest.raises(SystemCheckError, match=r"E001\).*Broken: (\w+: )?.*(oops|x)"):
        run_check()
    with pytest.raises(InvalidTransport) as caught:
        publish(Event("a", "x"))
    assert caught.value.__cause__ is not None


def test_no_secret_is_in_the_error_of_a_constructor(settings: Settings) -> None:
    options = {"api_key": "abcd-key", "hosts": [{"password": "hunter-2", "name": "example.com"}]}
    settings.REALTIME_TRANSPORTS = {
        "default": {"TRANSPORT": "tests.test_configuration.Broken", "OPTIONS": options}
    }
    with pytest.raises(InvalidTransport, match=r"LookupError: .*example\.com") as caught:
        publish(Event("a", "x"))
    said = "".join(traceback.format_exception(caught.value))
    for secret in ("abcd-key", "hunter-2", "pa55word"):
        assert secret not in said


@pytest.mark.parametrize("option", ["retry", "verify"])
@pytest.mark.parametrize("value", ["False", "0", "", 1, b"False"])
def test_text_is_no_switch(settings: Settings, option: str, value: Any) -> None:
    settings.REALTIME_TRANSPORTS = {
        "default": {
            "TRANSPORT": "tests.test_configuration.Broken",
            "OPTIONS": {"api_key": "", option: value},
        }
    }
    with pytest.raises(SystemCheckError, match=rf"E001.*'{option}' must be True or False, not"):
        run_check()


def test_an_option_that_may_also_be_text_is_no_switch(settings: Settings) -> None:
    settings.REALTIME_TRANSPORTS = {
        "default": {
            "TRANSPORT": "tests.test_configuration.Broken",
            "OPTIONS": {"api_key": "", "authorities": "/etc/ssl/own.pem"},
        }
    }
    run_check()


SWITCHES = {
    "ably": ["tls", "use_token_auth", "use_binary_protocol"],
    "channels": ["client_events", "consumer_groups", "http_api", "subscription_counting"],
    "pusher": ["ssl", "subscription_counting"],
}


@pytest.mark.parametrize(
    ("transport", "option"), [(name, each) for name, found in SWITCHES.items() for each in found]
)
def test_text_is_no_switch_of_a_transport_that_comes_along(
    settings: Settings, transport: str, option: str
) -> None:
    pytest.importorskip(transport)
    settings.REALTIME_TRANSPORTS = {
        "default": {
            "TRANSPORT": f"realtime_drf.transports.{transport}.{transport.title()}Transport",
            "OPTIONS": {option: "False"},
        }
    }
    with pytest.raises(SystemCheckError, match=rf"E001.*'{option}' must be True or False, not str"):
        run_check()


@pytest.mark.parametrize(
    "name", ["DRF_MODEL_PUSHER_DISABLED", "DRF_MODEL_PUSHER_WEBHOOK_OPTIMISATION_ENABLED"]
)
def test_text_is_no_switch_in_the_settings_of_the_seed(settings: Settings, name: str) -> None:
    del settings.REALTIME_TRANSPORTS
    settings.PUSHER_KEY = "key"
    setattr(settings, name, "False")
    with pytest.raises(SystemCheckError, match=f"E001.*{name} must be True or False"):
        run_check()


def test_errors_of_configuration_are_no_errors_of_runtime() -> None:
    assert issubclass(InvalidTransport, ImproperlyConfigured)
    assert not issubclass(InvalidTransport, RealtimeError)


def test_a_missing_default_is_a_check_error(settings: Settings) -> None:
    settings.REALTIME_TRANSPORTS = {"tenants": {"TRANSPORT": MEMORY}}
    with pytest.raises(SystemCheckError, match=r"realtime_drf\.E002"):
        run_check()
    del settings.REALTIME_TRANSPORTS
    with pytest.raises(SystemCheckError, match=r"realtime_drf\.E002"):
        run_check()


def test_settings_that_are_no_dict_are_a_check_error(settings: Settings) -> None:
    settings.REALTIME_TRANSPORTS = [MEMORY]
    with pytest.raises(SystemCheckError, match="it must be a dict of aliases, not list"):
        run_check()


def test_a_transport_has_checks_of_its_own(settings: Settings) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": "tests.test_configuration.Refusing"}}
    stderr = io.StringIO()
    run_check(stderr=stderr)
    assert "A word of the transport's own." in stderr.getvalue()


@pytest.mark.parametrize("name", ["memory.MemoryTransport", "console.ConsoleTransport"])
def test_a_transport_for_development_is_refused_under_deploy(settings: Settings, name: str) -> None:
    path = f"realtime_drf.transports.{name}"
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": path}, "other": {"TRANSPORT": path}}
    run_check()
    with pytest.raises(SystemCheckError) as caught:
        run_check(deploy=True)
    assert str(caught.value).count("realtime_drf.E003") == 2
    settings.REALTIME_TRANSPORTS = {
        "default": {"TRANSPORT": path},
        "other": {"TRANSPORT": path, "ENABLED": False},
    }
    with pytest.raises(SystemCheckError) as caught:
        run_check(deploy=True)
    assert str(caught.value).count("realtime_drf.E003") == 1


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("x/y.py", "E004"),
        (7, "E004"),
        ("no.where", "W001"),
        ("nowhere", "W001"),
        ("realtime", None),
    ],
)
def test_the_backends_module_is_checked(
    settings: Settings, module: object, message: str | None
) -> None:
    settings.REALTIME_BACKENDS_MODULE = module
    found = {each.id for each in checks.run_checks(tags=["realtime_drf"])}
    assert found == ({f"realtime_drf.{message}"} if message else set())


def test_a_backend_without_a_serializer_is_warned_of() -> None:
    class Bare(RealtimeBackend[Todo]):
        model = Todo

    class Own(RealtimeBackend[Todo]):
        model = Todo

        def get_data(self, change: Any) -> Any:
            return {}

    warnings = [
        each for each in checks.run_checks(tags=["realtime_drf"]) if each.id == "realtime_drf.W002"
    ]
    assert [warning.obj for warning in warnings] == [Bare]
    assert "everyone on the channel gets it" in warnings[0].msg
    assert warnings[0].hint is not None
    assert "outside a view cannot be published" in warnings[0].hint


def test_a_transport_is_made_once_for_all_threads(settings: Settings) -> None:
    made = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        made.append(transports["default"])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(transport) for transport in made}) == 1
    before = transports["default"]
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": MEMORY, "ON_ERROR": "raise"}}
    assert transports["default"] is not before


def test_what_is_made_of_an_alias_lasts_as_long_as_its_entry(settings: Settings) -> None:
    def entries(limit: int) -> dict[str, Any]:
        changing = {"TRANSPORT": MEMORY, "OPTIONS": {"payload_limit": limit}}
        return {"default": {"TRANSPORT": MEMORY}, "changing": changing}

    def limit() -> int | None:
        transport = transports["changing"]
        assert isinstance(transport, MemoryTransport)
        return transport.limits.payload_bytes

    settings.REALTIME_TRANSPORTS = entries(1)
    handlers = (transports, deliveries, occupancies, configs)
    kept = [handler["default"] for handler in handlers]
    changed = [handler["changing"] for handler in handlers]
    with override_settings(REALTIME_TRANSPORTS=entries(2), REALTIME_CACHE="default"):
        assert limit() == 2
        for handler, before, other in zip(handlers, changed, kept, strict=True):
            assert handler["changing"] is not before
            assert handler["default"] is other
    assert limit() == 1
    settings.REALTIME_TRANSPORTS["changing"]["OPTIONS"]["payload_limit"] = 3
    settings.REALTIME_TRANSPORTS = settings.REALTIME_TRANSPORTS
    assert limit() == 3
    with override_settings(REALTIME_TRANSPORTS="nothing of ours"):
        assert transports._made == {}
    with override_settings(CHANNEL_LAYERS={}):
        assert transports["default"] is not kept[0]


def test_a_change_of_the_old_settings_makes_the_transport_anew(settings: Settings) -> None:
    pytest.importorskip("pusher")
    del settings.REALTIME_TRANSPORTS
    settings.PUSHER_APP_ID, settings.PUSHER_KEY, settings.PUSHER_SECRET = "1", "one", "test-secret"
    before = transports["default"]
    settings.DRF_MODEL_PUSHER_BACKENDS_FILE = "realtime.py"
    assert transports["default"] is before
    settings.PUSHER_KEY = "two"
    assert transports["default"] is not before


def test_the_handler_knows_its_aliases(settings: Settings) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": MEMORY}, "b": {"TRANSPORT": "nowhere"}}
    assert list(transports) == ["default", "b"]
    assert "b" in transports
    assert "c" not in transports
    with pytest.raises(TransportDoesNotExist, match=r"configured: 'default', 'b'\.$"):
        transports["xyz"]


def test_options_stay_out_of_reprs(settings: Settings) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": MEMORY, "OPTIONS": {"secret": "s3"}}}
    assert "s3" not in repr(read_config("default"))


def test_a_wrong_delivery_is_said_when_something_is_published(settings: Settings) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": MEMORY, "DELIVERY": "nowhere"}}
    with pytest.raises(InvalidTransport, match="DELIVERY"):
        publish(Event("a", "x"))


def test_a_delivery_may_be_a_class_of_ones_own(settings: Settings) -> None:
    path = "tests.test_configuration.Deliveries"
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": MEMORY, "DELIVERY": path}}
    event = Event("a", "x")
    publish(event)
    delivery = deliveries["default"]
    assert isinstance(delivery, Deliveries)
    assert delivery.delivered == [event]


def make_deliveries() -> Deliveries:
    return Deliveries()


def test_a_delivery_may_be_made_by_a_function(settings: Settings) -> None:
    path = f"{__name__}.make_deliveries"
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": MEMORY, "DELIVERY": path}}
    assert isinstance(deliveries["default"], Deliveries)


def test_a_delivery_is_made_with_its_options_and_its_alias(settings: Settings) -> None:
    tuned = {"TRANSPORT": MEMORY, "DELIVERY": TUNED, "DELIVERY_OPTIONS": {"concurrency": 4}}
    settings.REALTIME_TRANSPORTS = {"default": tuned, "other": {**tuned, "DELIVERY_OPTIONS": {}}}
    one, other = deliveries["default"], deliveries["other"]
    assert isinstance(one, Tuned)
    assert isinstance(other, Tuned)
    assert (one.alias, one.concurrency) == ("default", 4)
    assert (other.alias, other.concurrency) == ("other", 1)
    tuned["DELIVERY_OPTIONS"]["concurrency"] = 5  # type: ignore[index]
    settings.REALTIME_TRANSPORTS = settings.REALTIME_TRANSPORTS
    assert deliveries["default"] is not one
    assert deliveries["other"] is other


# The settings of drf_model_pusher


def test_the_settings_of_the_seed_configure_pusher(settings: Settings) -> None:
    del settings.REALTIME_TRANSPORTS
    settings.PUSHER_APP_ID, settings.PUSHER_KEY, settings.PUSHER_SECRET = "1", "key", "secret"
    config = configs["default"]
    assert config.transport == "realtime_drf.transports.pusher.PusherTransport"
    assert config.options == {"app_id": "1", "key": "key", "secret": "secret"}
    settings.PUSHER_CLUSTER = "eu"
    assert configs["default"].options["cluster"] == "eu"
    assert configs["default"].enabled
    settings.DRF_MODEL_PUSHER_DISABLED = True
    assert not configs["default"].enabled


def test_new_settings_come_before_those_of_the_seed(settings: Settings) -> None:
    settings.PUSHER_APP_ID = "1"
    assert configs["default"].transport == MEMORY


def test_backends_are_sought_under_both_names(settings: Settings) -> None:
    assert get_backends_modules() == ["realtime", "pusher_backends"]
    settings.REALTIME_BACKENDS_MODULE = "live"
    settings.DRF_MODEL_PUSHER_BACKENDS_FILE = "backends.py"
    assert get_backends_modules() == ["live", "backends"]
    settings.DRF_MODEL_PUSHER_BACKENDS_FILE = None
    assert get_backends_modules() == ["live", "pusher_backends"]
    settings.DRF_MODEL_PUSHER_BACKENDS_FILE = 7
    with pytest.raises(ImproperlyConfigured, match="name of a file, not 7"):
        get_backends_modules()


FORK = """
import os, signal, threading
import django
django.setup()
from realtime_drf.transports import transports

taken, done = threading.Event(), threading.Event()

def hold():
    with transports._lock:
        taken.set()
        done.wait()

thread = threading.Thread(target=hold)
thread.start()
taken.wait()
pid = os.fork()
if not pid:
    signal.alarm(5)
    transports["default"]
    os._exit(0)
status = os.waitpid(pid, 0)[1]
done.set()
thread.join()
raise SystemExit(status)
"""


def test_a_fork_in_the_middle_of_making_a_transport_leaves_the_child_free() -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    assert subprocess.run(command, env=environment, timeout=30, check=False).returncode == 0
