"""The example when something is missing: the server for a while, or all that is live."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

pytest.importorskip("playwright")
pytest.importorskip("uvicorn")

from playwright.sync_api import BrowserContext, expect

from tests.browser.site import Site
from tests.browser.window import Window

pytestmark = pytest.mark.end_to_end

OpenWindow = Callable[..., Window]
MakeSite = Callable[..., Site]

FIRST = "Before the fair"
MEANWHILE = """
from todos.models import List, Todo
Todo.objects.filter(pk=2).update(title="Order more bunting")
Todo.objects.filter(pk=3).delete()
Todo.objects.create(list_id=1, title="While nobody listened", position=9000)
"""


def test_a_restart_of_the_server_is_survived(make_site: MakeSite, open_window: OpenWindow) -> None:
    pytest.importorskip("channels")
    site = make_site()
    ann, bob = (open_window(site, user).wait_for_state("Live") for user in ("ann", "bob"))
    expect(ann.flag("Bob")).to_be_visible()
    ann.page.get_by_label(f"Add a todo to {FIRST}").fill("Half a thou")

    site.stop()
    for window in (ann, bob):
        window.wait_for_state("Reconnecting…")
    expect(ann.page.locator("#notice")).to_contain_text("caught up with once it is back")
    bob.page.get_by_label("Done: Print the map of stalls").click()
    expect(bob.page.locator("#news")).to_have_text("The server does not answer.")
    site.manage("shell", "--verbosity=0", "-c", MEANWHILE)

    site.start()
    for window in (ann, bob):
        window.wait_for_state("Live")
        expect(window.todo("While nobody listened")).to_be_visible()
        expect(window.todo("Order more bunting")).to_be_visible()
        expect(window.todo("Find a second lemonade stand")).to_have_count(0)
    expect(ann.flag("Bob")).to_be_visible()
    expect(ann.page.get_by_label(f"Add a todo to {FIRST}")).to_have_value("Half a thou")
    # It was not broadcast but fetched. Later events are received again.
    assert ann.heard("While nobody listened") == []
    bob.add(FIRST, "Said afterwards")
    expect(ann.todo("Said afterwards")).to_be_visible()
    assert ann.heard("Said afterwards") == ["todo.create"]


def test_without_pusher_js_the_page_says_so_and_works(
    make_site: MakeSite, open_window: OpenWindow
) -> None:
    pytest.importorskip("channels")
    site = make_site(EXAMPLE_PUSHER_JS="nowhere")

    def cut_off(context: BrowserContext) -> None:
        context.route(re.compile("^https:"), lambda route: route.abort())

    ann, bob = (open_window(site, user, prepare=cut_off) for user in ("ann", "bob"))
    for window in (ann, bob):
        window.wait_for_state("Not live")
        expect(window.page.locator("#notice")).to_contain_text(
            "pusher-js could not be loaded from https://js.pusher.com/"
        )
    ann.add(FIRST, "Written in silence")
    ann.tick("Written in silence")
    expect(bob.todo("Written in silence")).to_have_count(0)
    bob.page.reload()
    expect(bob.page.get_by_label("Done: Written in silence")).to_be_checked()


@pytest.mark.parametrize("transport", ["console", "memory"])
def test_a_transport_that_reaches_no_browser_is_named(
    make_site: MakeSite, open_window: OpenWindow, transport: str
) -> None:
    site = make_site(REALTIME=transport)
    ann = open_window(site, "ann").wait_for_state("Not live")
    expect(ann.page.locator("#notice")).to_contain_text(f"Events go to the {transport}")
    ann.add(FIRST, "All the same")


TAKE_ANOTHER_KEY = """
document.addEventListener("readystatechange", () => {
    const config = document.getElementById("config");
    config.textContent = config.textContent.replace('"key": "example"', '"key": "other"');
});
"""


def test_a_key_that_the_server_does_not_know_is_said(
    make_site: MakeSite, open_window: OpenWindow
) -> None:
    pytest.importorskip("channels")
    site = make_site()

    ann = open_window(
        site, "ann", prepare=lambda context: context.add_init_script(TAKE_ANOTHER_KEY)
    )
    ann.wait_for_state("Offline")
    expect(ann.page.locator("#notice")).to_contain_text("No app has this key")
