from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.services import chromium as chromium_service
from tests.services import pusher_js as pusher_js_service
from tests.services.chromium import run_chromium
from tests.services.policy import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.site import Site
    from tests.browser.window import Window


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run a browser. Not for longer: there is no ORM beside it."""
    require("Chromium", chromium_service.unavailable())
    require("pusher-js", pusher_js_service.unavailable())
    with run_chromium() as browser:
        yield browser


@pytest.fixture
def make_site(
    chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Site]]:
    """Return a function that serves the example with variables of the environment.

    After the browser is there, and so pusher-js: the example looks for it when it starts.
    """
    with ExitStack() as sites:

        def make(**variables: str) -> Site:
            from tests.browser.site import Site

            return sites.enter_context(Site(tmp_path_factory.mktemp("site"), variables))

        yield make


@pytest.fixture(scope="module", params=["channels", "pusher"])
def site(
    request: pytest.FixtureRequest, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Serve the example over each transport that reaches browsers; nothing else is different.

    After the browser is there, and so pusher-js: the example looks for it when it starts.
    """
    from tests.browser.site import Site

    for module in {"channels": ("channels", "nacl"), "pusher": ("pusher", "nacl")}[request.param]:
        pytest.importorskip(module)
    variables = {"REALTIME": request.param}
    if request.param == "pusher":
        soketi = request.getfixturevalue("soketi")
        variables |= {
            "PUSHER_APP_ID": soketi.app_id,
            "PUSHER_KEY": soketi.key,
            "PUSHER_SECRET": soketi.secret,
            "PUSHER_HOST": soketi.host,
            "PUSHER_PORT": str(soketi.port),
            "PUSHER_SSL": "false",
        }
    else:
        del variables["REALTIME"]  # it is the default
    with Site(tmp_path_factory.mktemp("site"), variables) as served:
        yield served


@pytest.fixture
def open_window(chromium: Browser) -> Iterator[Callable[..., Window]]:
    """Return a function that opens a window in a browser of its own, closed after the test.

    Its arguments are the site, the user, the `context` of another window for one of the same
    browser, what to do with the context before, and options of a new context.
    """
    from tests.browser.window import Window

    opened: list[Window] = []
    with ExitStack() as contexts:

        def open_one(
            site: Site,
            user: str | None = None,
            *,
            context: Any = None,
            prepare: Callable[[Any], object] = bool,
            **options: Any,
        ) -> Window:
            if context is None:
                # A card that slides may be under the mouse in place of the one that is meant.
                context = chromium.new_context(**{"reduced_motion": "reduce", **options})
                contexts.callback(context.close)
            prepare(context)
            window = Window(context, site.url, user)
            opened.append(window)
            return window

        yield open_one
    assert [problem for window in opened for problem in window.problems] == []
