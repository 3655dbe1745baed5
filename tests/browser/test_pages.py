"""The JavaScript of the documentation in a browser, on the API's own origin and on another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.pages_site import (
    ABLYS_ECHO,
    API_HOST,
    LIBRARIES,
    PAGE,
    PagesSite,
    find_block,
    serve,
)
from tests.browser.window import SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.end_to_end

for module in ("ably", "channels", "corsheaders", "playwright"):
    pytest.importorskip(module)

LOCAL_PUSHER = """
window.Pusher = class extends window.Pusher {
  constructor(key, options) {
    super("mysite-key", { ...options, cluster: "", forceTLS: false, enabledTransports: ["ws"],
                          wsHost: "%s", wsPort: %d });
    window.pusher = this;
  }
};
"""

TEAM = "private-teams.5"


@pytest.fixture(scope="module")
def pages_site(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesSite]:
    with serve(tmp_path_factory.mktemp("pages")) as site:
        yield site


@pytest.fixture
def open_page(chromium: Browser, pages_site: PagesSite) -> Iterator[Callable[..., Page]]:
    """Return a function that opens the page on one of the origins, logged in by session or not.

    A bare page is one that Django has not made, and so without a cookie. Playwright makes it, and
    answers what the browser asks of other origins, too: that shows nothing of CORS.
    """
    contexts = []

    def open_one(
        url: str,
        *,
        logged_in: bool = True,
        is_bare: bool = False,
        libraries: Sequence[Path] = LIBRARIES,
    ) -> Page:
        context = chromium.new_context()
        contexts.append(context)
        if logged_in:
            cookie = {"name": "sessionid", "value": pages_site.session, "url": pages_site.api}
            context.add_cookies([cookie])  # type: ignore[list-item]
        page = context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        if is_bare:
            page.route(url, lambda route: route.fulfill(body=PAGE, content_type="text/html"))
        page.goto(url)
        for library in libraries:
            page.add_script_tag(path=library)
        if libraries is LIBRARIES:
            page.add_script_tag(content=LOCAL_PUSHER % (API_HOST, pages_site.port))
        return page

    yield open_one
    for context in contexts:
        context.close()


def run(page: Page, text: str, more: str = "") -> None:
    """Run a module in the page; what `more` puts into `window` can be asked for."""
    page.add_script_tag(content=f"{text}\n{more}", type="module")


def wait_for_subscription(page: Page, channel: str) -> None:
    page.wait_for_function(f"window.pusher?.channel('{channel}')?.subscribed")


def write(page: Page, call: str) -> int:
    """Have the page write a todo, and return the status; 0 if the browser refuses."""
    status: int = page.evaluate(f"{call}.then((answer) => answer.status, () => 0)")
    return status


def find_write(file: str, *words: str) -> str:
    """Return a snippet that writes, and have it hand on the answer."""
    text = find_block(file, *words).text
    text = text.replace("  await fetch(", "  return fetch(")
    return text.replace("\nfetch(", "\nwindow.done = fetch(")


def test_pushers_snippets_work_for_a_session_user_on_the_same_origin(
    open_page: Callable[..., Page], pages_site: PagesSite
) -> None:
    page = open_page(f"{pages_site.api}/")
    sign_in = "window.pusher.signin();"
    subscribe = f"window.pusher.subscribe('{TEAM}');"
    for words in ("presence-boards.planning",), ("new Echo(",):
        run(page, find_block("authorization.md", *words).text, sign_in)
        wait_for_subscription(page, TEAM)
        wait_for_subscription(page, "presence-boards.planning")
        page.wait_for_function("window.pusher.user.user_data?.id")
        page.evaluate("window.pusher = window.pusher.disconnect()")
    run(page, find_block("channels.md", "new Pusher(").text, subscribe)
    wait_for_subscription(page, TEAM)
    page.evaluate("window.pusher = window.pusher.disconnect()")
    handler = find_block("authorization.md", "function authorize(").text
    commented = [line for line in handler.splitlines() if line.startswith("// new Pusher(")]
    run(page, handler, commented[0].replace("// new Pusher(", "new window.Pusher(") + subscribe)
    wait_for_subscription(page, TEAM)


def test_writes_work_for_a_session_user_on_the_same_origin(
    open_page: Callable[..., Page], pages_site: PagesSite
) -> None:
    page = open_page(f"{pages_site.api}/")
    run(page, find_write("pusher.md", "fetch("))
    page.wait_for_function("window.done")
    assert write(page, "window.done") == 201
    run(page, find_write("ably.md", "addTodo"), "window.addTodo = addTodo;")
    page.wait_for_function("!!window.addTodo")
    client = "{ connection: { key: 'k' }, auth: { clientId: '1' } }"
    assert write(page, f"window.addTodo({client}, 'milk')") == 201


def test_without_the_cookie_of_such_a_page_a_write_is_refused(
    open_page: Callable[..., Page], pages_site: PagesSite
) -> None:
    """What is tested above holds for the reason that the page gives."""
    page = open_page(f"{pages_site.api}/", is_bare=True)
    run(page, find_write("pusher.md", "fetch("))
    page.wait_for_function("window.done")
    assert write(page, "window.done") == 403


ABLY = {"public:todos": "", "authMethod": "", "authCallback": "open('private:lists.5');"}
"""A word of each snippet that asks for a token, and what is to be called."""


def test_ablys_snippets_are_answered_for_a_session_user_on_the_same_origin(
    open_page: Callable[..., Page], pages_site: PagesSite
) -> None:
    page = open_page(f"{pages_site.api}/")
    for word, more in ABLY.items():
        text = find_block("ably.md", "new Ably", word).text
        if "import" not in text:
            text = f"import * as Ably from 'ably';\n{text}"
        with page.expect_response("**/realtime/auth/ably/**") as answer:
            run(page, text.replace("/realtime/auth/", "/realtime/auth/ably/"), more)
        assert answer.value.status == 200, word
    page = open_page(f"{pages_site.api}/", libraries=ABLYS_ECHO)
    text = find_block("ably.md", "@ably/laravel-echo").text
    with page.expect_response("**/realtime/auth/ably/**") as answer:
        run(page, text.replace("/realtime/auth/", "/realtime/auth/ably/"))
    assert answer.value.status == 200


def test_a_token_works_on_another_origin(
    open_page: Callable[..., Page], pages_site: PagesSite
) -> None:
    page = open_page(f"{pages_site.app}/", logged_in=False)
    text = find_block("browsers.md", "Token …").text
    text = text.replace("https://api.example.com", pages_site.api)
    text = text.replace("Token …", f"Token {pages_site.token}")
    run(page, text, f"pusher.subscribe('{TEAM}'); pusher.signin(); window.addTodo = addTodo;")
    wait_for_subscription(page, TEAM)
    page.wait_for_function("window.pusher.user.user_data?.id")
    assert write(page, "window.addTodo('milk')") == 201


def test_a_session_works_on_another_origin_of_the_site(
    open_page: Callable[..., Page], pages_site: PagesSite
) -> None:
    page = open_page(f"{pages_site.app}/")
    text = find_block("browsers.md", 'credentials: "include"').text
    text = text.replace("https://api.example.com", pages_site.api)
    more = f"pusher.subscribe('{TEAM}'); pusher.signin();"
    run(page, text, f"{more} Object.assign(window, {{ post, addTodo }});")
    wait_for_subscription(page, TEAM)
    page.wait_for_function("window.pusher.user.user_data?.id")
    assert write(page, "window.addTodo('milk')") == 201
    # A header that CORS_ALLOW_HEADERS does not name is what the socket id would be without it.
    assert write(page, "window.post('/api/todos/', { title: 'x' }, { 'X-Other': '1' })") == 0
    # And a plain endpoint is refused, since pusher-js sends it no cookie.
    options = f"{{ cluster: 'eu', authEndpoint: '{pages_site.api}/realtime/auth/' }}"
    run(
        page,
        f"const plain = new window.Pusher('my-key', {options}).subscribe('{TEAM}');",
        "plain.bind('pusher:subscription_error', ({ status }) => { window.refused = status; });",
    )
    page.wait_for_function("window.refused === 403")
