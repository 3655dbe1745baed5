"""What the page on live lists shows, in a browser that is connected to a server of this package."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.pages_site import PagesSite, find_block, serve
from tests.browser.window import SECONDS
from tests.client import npm

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.end_to_end

for module in ("channels", "corsheaders", "playwright"):
    pytest.importorskip(module)

DOCS_PAGE = "live-lists.md"
BODY = '<!doctype html><title>A page</title><body><ul id="todos"></ul><div id="app"></div>'
SHOW = """
const shown = document.getElementById("todos");
console.log = (titles) => { shown.textContent = titles.join("|"); };
"""

HOSTED = {
    "https://js.pusher.com/8.6.0/pusher.min.js": "node_modules/pusher-js/dist/web/pusher.min.js",
    "https://cdn.jsdelivr.net/npm/realtime-drf@0.1/dist/realtime-drf.js": "dist/realtime-drf.js",
}
"""The scripts that the page takes from elsewhere, and where they are in the package."""


def answer_with(file: Path) -> Callable[[Route], None]:
    return lambda route: route.fulfill(path=file)


@pytest.fixture(scope="module")
def live_site(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesSite]:
    npm.need()
    with serve(tmp_path_factory.mktemp("live")) as site:
        yield site


@pytest.fixture
def open_page(chromium: Browser, live_site: PagesSite) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page of that HTML, on the API's own origin."""
    contexts = []
    errors: list[str] = []

    def open_one(body: str = BODY, script: Path | None = None) -> Page:
        context = chromium.new_context()
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{live_site.api}/")  # which sets the cookie
        for url, file in HOSTED.items():
            page.route(url, answer_with(npm.CLIENT / file))
        # Not fulfilled by Playwright: such a page is not local, and may not connect to what is.
        page.set_content(body)
        if script is not None:
            page.add_script_tag(content=script.read_text())
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert errors == []


def call(site: PagesSite, method: str, path: str = "", data: Any = None) -> Any:
    """Write as another client does."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{site.port}/api/todos/{path}",
        data=json.dumps(data).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Token {site.token}"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as response:
        return json.loads(response.read() or "null")


def bundle(folder: Path, name: str, text: str) -> Path:
    """Bundle a snippet as a project with npm does."""
    (folder / name).write_text(text)
    output = folder / "bundle.js"
    npm.run("node", "test/bundle.mjs", str(folder / name), str(output))
    return output


def check_list(site: PagesSite, page: Page, selector: str = "#todos") -> None:
    """Check that the page shows what others write."""
    shown = f"document.querySelector('{selector}').textContent"
    first = call(site, "POST", data={"title": f"milk {selector}"})
    page.wait_for_function(f"{shown}.includes('milk {selector}')")
    call(site, "PATCH", f"{first['id']}/", {"title": "oat milk"})
    page.wait_for_function(f"{shown}.includes('oat milk')")
    call(site, "DELETE", f"{first['id']}/")
    page.wait_for_function(f"!{shown}.includes('oat milk')")


def wait_until_subscribed(page: Page) -> None:
    page.wait_for_function("window.pusher?.channel('todos')?.subscribed")


def test_a_script_tag(open_page: Callable[..., Page], live_site: PagesSite) -> None:
    text = find_block(DOCS_PAGE, "<script", language="html").text
    assert set(re.findall(r'src="([^"]+)"', text)) == set(HOSTED)
    page = open_page(f"<!doctype html><title>A page</title>{text}")
    page.wait_for_function("pusher.channel('todos')?.subscribed")
    check_list(live_site, page)


@pytest.mark.parametrize("word", ["export const pusher", "new Echo("])
def test_modules(
    word: str, open_page: Callable[..., Page], live_site: PagesSite, tmp_path: Path
) -> None:
    text = find_block(DOCS_PAGE, word).text + "\nwindow.pusher = pusher;\n" + SHOW
    page = open_page(script=bundle(tmp_path, "page.js", text))
    wait_until_subscribed(page)
    check_list(live_site, page)


@pytest.mark.parametrize("language", ["jsx", "vue"])
def test_frameworks(
    language: str, open_page: Callable[..., Page], live_site: PagesSite, tmp_path: Path
) -> None:
    text = find_block(DOCS_PAGE, "useLive", language=language).text
    page = open_page(script=bundle(tmp_path, f"page.{language}", text))
    page.wait_for_function("document.querySelector('#app p')?.textContent === 'connected'")
    check_list(live_site, page, "#app")


def test_a_page_does_not_receive_what_it_writes_with_fetch_or_axios(
    open_page: Callable[..., Page], live_site: PagesSite, tmp_path: Path
) -> None:
    text = """
        import axios from "axios";
        import { createPusher } from "realtime-drf/pusher";
        const pusher = createPusher("mysite-key", "/realtime", { axios });
        const received = [];
        pusher.subscribe("todos").bind("todo.create", ({ title }) => received.push(title));
        const todo = (title) => ({ title });
        const write = (fetch, title) => fetch("/api/todos/", {
          method: "POST", headers: { "Content-Type": "application/json" },
          body: JSON.stringify(todo(title)),
        });
        Object.assign(window, { pusher, axios, received, write, todo });
    """
    page = open_page(script=bundle(tmp_path, "page.js", text))
    wait_until_subscribed(page)
    assert page.evaluate("write(pusher.fetch, 'own').then(({ status }) => status)") == 201
    assert (
        page.evaluate("axios.post('/api/todos/', todo('own')).then(({ status }) => status)") == 201
    )
    assert page.evaluate("write(fetch, 'all').then(({ status }) => status)") == 201
    page.wait_for_function("received.includes('all')")
    assert page.evaluate("received") == ["all"]
    private = page.evaluate(
        """new Promise((resolve) => pusher.subscribe("private-teams.5")
            .bind("pusher:subscription_error", ({ status }) => resolve(status)))"""
    )
    assert private == 403  # by the policy, not for want of a token
