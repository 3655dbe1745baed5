"""The example in real browsers: what one window does, the others show, over each transport."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright")
pytest.importorskip("uvicorn")

from playwright.sync_api import Browser, expect

from tests.browser.site import Site
from tests.browser.window import ARTIFACTS, Window

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.end_to_end

OpenWindow = Callable[..., Window]

FIRST, SECOND = "Before the fair", "On the day"
SHARED = "Cake for Cleo's birthday"  # of Ann and Bob
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_what_one_changes_the_others_see(site: Site, open_window: OpenWindow) -> None:
    ann = open_window(site, "ann").wait_for_state("Live")
    guest = open_window(site).wait_for_state("Live")

    ann.add(FIRST, "Rent a stage")
    expect(guest.todo("Rent a stage")).to_be_visible()
    expect(guest.todo("Rent a stage")).to_contain_text("Ann")

    guest.rename("Rent a stage", "Rent a big stage")
    expect(ann.todo("Rent a big stage")).to_be_visible()
    expect(ann.todo("Rent a stage")).to_have_count(0)

    ann.tick("Rent a big stage")
    expect(guest.page.get_by_label("Done: Rent a big stage")).to_be_checked()

    ann.choose("Rent a big stage", f"Move to {SECOND}")
    expect(guest.list(SECOND).locator(".title").last).to_have_text("Rent a big stage")

    guest.choose("Rent a big stage", "Move up")
    expect(ann.list(SECOND).locator(".title").last).not_to_have_text("Rent a big stage")
    assert ann.titles(SECOND) == guest.titles(SECOND)

    guest.choose("Rent a big stage", "Delete")
    expect(ann.todo("Rent a big stage")).to_have_count(0)
    expect(ann.page.locator("#news")).to_contain_text("“Rent a big stage” is gone")


def test_todos_move_by_mouse_and_by_keys(site: Site, open_window: OpenWindow) -> None:
    ann = open_window(site, "ann").wait_for_state("Live")
    bob = open_window(site, "bob").wait_for_state("Live")
    for title in ("one", "two", "three"):
        ann.add(FIRST, title)
    ann.todo("three").drag_to(ann.todo("one"), target_position={"x": 120, "y": 4})
    for window in (ann, bob):
        expect(window.list(FIRST).locator(".title").nth(-3)).to_have_text("three")

    ann.todo("three").get_by_role("button", name="three", exact=True).focus()
    ann.page.keyboard.press("Alt+ArrowDown")
    for window in (ann, bob):
        expect(window.list(FIRST).locator(".title").nth(-2)).to_have_text("three")
    focused = ann.todo("three").get_by_role("button", name="three", exact=True)
    expect(focused).to_be_focused()

    ann.todo("two").drag_to(ann.list(SECOND).locator(".add"))
    expect(bob.list(SECOND).locator(".title").last).to_have_text("two")
    for title in ("one", "two", "three"):
        ann.choose(title, "Delete")
        expect(bob.todo(title)).to_have_count(0)


def test_typing_survives_what_others_do(site: Site, open_window: OpenWindow) -> None:
    ann = open_window(site, "ann").wait_for_state("Live")
    bob = open_window(site, "bob").wait_for_state("Live")
    ann.add(FIRST, "Borrow a tent")
    ann.todo("Borrow a tent").get_by_role("button", name="Borrow a tent", exact=True).click()
    ann.page.keyboard.type("Borrow two te")
    expect(bob.todo("Borrow a tent")).to_be_visible()
    bob.tick("Borrow a tent")
    bob.add(SECOND, "Something else")
    expect(ann.todo("Something else")).to_be_visible()
    ann.page.keyboard.type("nts")
    ann.page.keyboard.press("Enter")
    expect(bob.todo("Borrow two tents")).to_be_visible()


def test_own_changes_are_not_echoed(site: Site, open_window: OpenWindow) -> None:
    ann = open_window(site, "ann").wait_for_state("Live")
    bob = open_window(site, "bob").wait_for_state("Live")
    ann.add(FIRST, "Count the chairs")
    ann.tick("Count the chairs")
    expect(bob.page.get_by_label("Done: Count the chairs")).to_be_checked()
    # What is published later on a channel arrives later: an echo would be here before this.
    bob.rename("Count the chairs", "Count the chairs again")
    expect(ann.todo("Count the chairs again")).to_be_visible()
    assert ann.heard("Count the chairs") == ["todo.update"]
    assert bob.heard("Count the chairs") == ["todo.create", "todo.update"]
    assert ann.todo("Count the chairs again").get_attribute("data-changes") == "1"


def test_who_is_looking_comes_and_goes(site: Site, open_window: OpenWindow) -> None:
    ann = open_window(site, "ann").wait_for_state("Live")
    expect(ann.page.locator("#notice")).to_contain_text("Only you are here")
    bob = open_window(site, "bob").wait_for_state("Live")
    expect(ann.flag("Bob")).to_be_visible()
    expect(bob.flag("Ann")).to_be_visible()
    expect(ann.page.locator("#notice")).to_be_hidden()

    again = open_window(site, "bob").wait_for_state("Live")  # one member, in two windows
    expect(again.flag("Bob (you)")).to_be_visible()
    expect(ann.flag("Bob")).to_have_count(1)
    bob.page.close()
    again.page.close()
    expect(ann.flag("Bob")).to_have_count(0)
    expect(ann.page.locator("#notice")).to_contain_text("Only you are here")


def test_windows_of_one_browser_are_different_people(site: Site, open_window: OpenWindow) -> None:
    one = open_window(site).wait_for_state("Live")
    two = open_window(site, context=one.page.context).wait_for_state("Live")
    for window in (one, two):
        expect(window.page.locator("#people > li")).to_have_count(2)
    two.be("Cleo")
    expect(one.flag("Cleo")).to_be_visible()
    expect(one.page.locator("#people > li")).to_have_count(2)
    two.page.reload()
    expect(two.page.locator("#my-name")).to_have_text("Cleo")
    expect(two.list("Band practice")).to_be_visible()
    expect(one.list("Band practice")).to_have_count(0)


def test_a_private_list_is_heard_by_its_members_alone(site: Site, open_window: OpenWindow) -> None:
    ann, bob, cleo = (
        open_window(site, user).wait_for_state("Live") for user in ("ann", "bob", "cleo")
    )
    guest = open_window(site).wait_for_state("Live")
    expect(bob.list(SHARED)).to_be_visible()
    ann.add(SHARED, "A cake of three storeys")
    expect(bob.todo("A cake of three storeys")).to_be_visible()
    bob.choose("A cake of three storeys", f"Move to {FIRST}")
    for window in (ann, cleo, guest):
        expect(window.list(FIRST).get_by_text("A cake of three storeys")).to_be_visible()
    bob.choose("A cake of three storeys", f"Move to {SHARED}")
    for window in (cleo, guest):
        expect(window.todo("A cake of three storeys")).to_have_count(0)
    expect(ann.list(SHARED).get_by_text("A cake of three storeys")).to_be_visible()
    ann.rename("A cake of three storeys", "A cake of four storeys")
    expect(bob.todo("A cake of four storeys")).to_be_visible()
    ann.add(SECOND, "For all to see")
    for window in (cleo, guest):
        expect(window.todo("For all to see")).to_be_visible()
        assert window.heard("A cake of three storeys") == ["todo.create"]  # while it was public
        assert window.heard("four storeys") == []
        # Whoever asks for the channel by its name is refused.
        assert (
            window.page.evaluate("""() => new Promise((resolve) => {
            const channel = window.Pusher.instances.at(-1).subscribe("private-lists.3");
            channel.bind("pusher:subscription_error", ({ status }) => resolve(status));
            channel.bind("pusher:subscription_succeeded", () => resolve("let in"));
        })""")
            == 403
        )


def test_a_new_private_list_appears_to_its_members(site: Site, open_window: OpenWindow) -> None:
    ann, bob, cleo = (
        open_window(site, user).wait_for_state("Live") for user in ("ann", "bob", "cleo")
    )
    expect(cleo.list("Band practice")).to_be_visible()
    expect(bob.list(SHARED)).to_be_visible()
    form = ann.page.locator("#new-list")
    form.get_by_label("A private list").fill("Fireworks")
    form.get_by_label("Bob").check()
    form.get_by_role("button").click()
    expect(bob.list("Fireworks")).to_contain_text("Ann, you")
    bob.add("Fireworks", "Ask the fire brigade")
    expect(ann.todo("Ask the fire brigade")).to_be_visible()
    ann.page.on("dialog", lambda dialog: dialog.accept())
    ann.page.get_by_role("button", name="Delete the list Fireworks").click()
    expect(bob.list("Fireworks")).to_have_count(0)
    assert cleo.heard("Fireworks") == []
    expect(cleo.list("Fireworks")).to_have_count(0)


def test_a_refusal_is_said_and_changes_nothing(site: Site, open_window: OpenWindow) -> None:
    ann = open_window(site, "ann").wait_for_state("Live")
    ann.add(FIRST, "Sweep the street")
    ann.page.route("**/api/todos/*/", lambda route: route.abort())
    ann.page.get_by_label("Done: Sweep the street").click()
    expect(ann.page.locator("#news")).to_have_text("The server does not answer.")
    expect(ann.page.get_by_label("Done: Sweep the street")).not_to_be_checked()


WITHOUT_A_NAME = """() =>
    [...document.querySelectorAll("button, input, a")]
        .filter((each) => each.checkVisibility())
        .filter((each) => !(
            each.textContent.trim() || each.ariaLabel
            || [...(each.labels ?? [])].some((label) => label.textContent.trim())
        ))
        .map((each) => each.outerHTML)
"""
WIDER_THAN_THE_WINDOW = """() =>
    document.documentElement.scrollWidth > document.documentElement.clientWidth
    ? [...document.querySelectorAll("body *")]
        .filter((each) => each.getBoundingClientRect().right > innerWidth)
        .map((each) => each.className || each.tagName)
    : []
"""


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_window(site: Site, open_window: OpenWindow, width: int) -> None:
    options = {**PHONE, "viewport": {"width": width, "height": 700}} if width < 500 else {}
    ann = open_window(site, "ann", **options).wait_for_state("Live")
    title = f"{width}" + "Donaudampfschifffahrtsgesellschaft" * 4
    ann.add(FIRST, title)
    assert ann.page.evaluate(WIDER_THAN_THE_WINDOW) == []
    assert ann.page.evaluate(WITHOUT_A_NAME) == []
    ann.page.locator("#me").click()
    expect(ann.page.locator("#who")).to_be_in_viewport(ratio=1)
    ann.page.keyboard.press("Escape")
    expect(ann.page.locator("#who")).to_be_hidden()
    expect(ann.page.locator("#me")).to_be_focused()
    ann.page.get_by_role("button", name=f"More for {title}", exact=True).click()
    expect(ann.page.locator("#actions")).to_be_in_viewport(ratio=1)
    ann.page.locator("#actions").get_by_role("button", name="Delete").click()
    expect(ann.todo(title)).to_have_count(0)


def test_a_picture_is_kept(site: Site, open_window: OpenWindow, chromium: Browser) -> None:
    options = {"reduced_motion": "reduce"}
    desktop = open_window(site, "ann", viewport={"width": 1280, "height": 844}, **options)
    phone = open_window(site, "bob", **PHONE, color_scheme="dark", **options)
    open_window(site).wait_for_state("Live")
    for window in (desktop, phone):
        window.wait_for_state("Live")
        expect(window.page.locator("#people > li")).to_have_count(3)
    phone.tick("Order bunting, about 200 metres")
    expect(desktop.page.locator("#news")).to_contain_text("Bob ticked off")
    name = site.env.get("REALTIME", "channels")
    keep_together(chromium, [desktop.page, phone.page], f"board-{name}.png")
    phone.page.get_by_label("Done: Order bunting, about 200 metres").uncheck()
    expect(desktop.page.get_by_label("Done: Order bunting, about 200 metres")).not_to_be_checked()
    assert (ARTIFACTS / f"board-{name}.png").stat().st_size > 50_000


def keep_together(chromium: Browser, pages: list[Page], name: str) -> None:
    """Keep a picture of windows side by side among the artefacts of the run."""
    shots = [base64.b64encode(page.screenshot()).decode() for page in pages]
    images = "".join(f'<img src="data:image/png;base64,{shot}" height="844">' for shot in shots)
    context = chromium.new_context(viewport={"width": 1766, "height": 908})
    try:
        page = context.new_page()
        page.set_content(
            f'<body style="margin: 32px; display: flex; gap: 32px; background: #8a93a3">{images}'
        )
        page.locator("img").last.wait_for()
        ARTIFACTS.mkdir(exist_ok=True)
        page.screenshot(path=ARTIFACTS / name)
    finally:
        context.close()
