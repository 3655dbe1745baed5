"""A change in the admin arrives in the windows of the board, over each transport."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright")
pytest.importorskip("uvicorn")

from playwright.sync_api import expect

from tests.browser.site import Site
from tests.browser.window import Window

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.end_to_end

FIRST, SECOND = "Before the fair", "On the day"


def sign_in(window: Window) -> Page:
    """Follow the board's link to the admin, and sign in there as the page says."""
    footer = window.page.locator("footer")
    name, password = footer.locator("b").all_text_contents()
    with window.page.expect_popup() as popup:
        footer.get_by_role("link", name="Admin").click()
    page = popup.value
    page.get_by_label("Username:").fill(name)
    page.get_by_label("Password:").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.locator("#content-main .model-todo").get_by_role("link", name="Todos").click()
    return page


def select(page: Page, title: str, action: str) -> None:
    """Choose an action for a todo in the admin's list."""
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=title, exact=True))
    row.locator("input.action-select").check()
    page.get_by_label("Action:").select_option(label=action)
    page.get_by_role("button", name=re.compile("^(Go|Run)$")).click()


def test_a_change_in_the_admin_arrives_on_the_board(
    site: Site, open_window: Callable[..., Window]
) -> None:
    guest = open_window(site).wait_for_state("Live")
    beside = open_window(site, "ann").wait_for_state("Live")  # in the browser of the admin
    guest.page.evaluate("window.isTheSamePage = true")
    beside.add(FIRST, "Borrow a ladder")
    admin = sign_in(beside)

    admin.get_by_role("link", name="Borrow a ladder", exact=True).click()
    admin.get_by_label("Title:").fill("Borrow two ladders")
    admin.get_by_label("List:").select_option(label=SECOND)
    admin.get_by_role("button", name="Save", exact=True).click()
    for window in (guest, beside):
        moved = window.list(SECOND).locator(".todo").and_(window.todo("Borrow two ladders"))
        expect(moved).to_contain_text("Admin")
        expect(window.todo("Borrow a ladder")).to_have_count(0)

    select(admin, "Borrow two ladders", "Mark the selected todos as done")
    expect(guest.page.get_by_label("Done: Borrow two ladders")).to_be_checked()

    select(admin, "Borrow two ladders", "Delete selected todos")
    admin.get_by_role("button", name=re.compile("^Yes, I")).click()
    for window in (guest, beside):
        expect(window.todo("Borrow two ladders")).to_have_count(0)
    assert guest.page.evaluate("window.isTheSamePage")

    # Signing in to the admin has not made the window somebody else.
    beside.add(FIRST, "Return the ladders")
    expect(guest.todo("Return the ladders")).to_contain_text("Ann")
    beside.choose("Return the ladders", "Delete")
    expect(guest.todo("Return the ladders")).to_have_count(0)
