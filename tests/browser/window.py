"""A window of the board, as a person uses it. Everything waits until it is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, WebSocket, expect

SECONDS = 20
ARTIFACTS = Path(__file__).resolve().parent.parent.parent / "artifacts"

expect.set_options(timeout=SECONDS * 1000)


class Window:
    """Drive one page, and remember the events that its connections have received."""

    def __init__(self, context: BrowserContext, url: str, user: str | None = None) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(SECONDS * 1000)
        self.events: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.page.on("websocket", self._listen)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto(f"{url}?as={user or ''}")

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: self.events.append(json.loads(frame)))

    def wait_for_state(self, state: str) -> Window:
        """Wait until the page says so: Live, Reconnecting…, Not live, …"""
        expect(self.page.locator("#state")).to_have_text(state)
        return self

    # What there is to see

    def list(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name, exact=True)

    def todo(self, title: str) -> Locator:
        exactly = re.compile(f"^{re.escape(title)}$")
        return self.page.locator(".todo").filter(
            has=self.page.locator(".title").filter(has_text=exactly)
        )

    def flag(self, name: str) -> Locator:
        return self.page.locator("#people").get_by_role("listitem").filter(has_text=name)

    def titles(self, name: str) -> list[str]:
        return self.list(name).locator(".title").all_text_contents()

    def heard(self, title: str) -> list[str]:
        """Return the names of the events received that have this title in them."""
        return [each["event"] for each in self.events if title in json.dumps(each)]

    # What there is to do

    def add(self, name: str, title: str) -> None:
        field = self.page.get_by_label(f"Add a todo to {name}")
        field.fill(title)
        field.press("Enter")
        expect(self.list(name).locator(".todo").and_(self.todo(title))).to_be_visible()
        expect(field).to_have_value("")

    def tick(self, title: str) -> None:
        with self.page.expect_response(lambda response: response.request.method == "PATCH"):
            self.page.get_by_label(f"Done: {title}", exact=True).check()

    def rename(self, title: str, new: str) -> None:
        self.todo(title).get_by_role("button", name=title, exact=True).click()
        field = self.page.get_by_label("Title", exact=True).filter(visible=True)
        field.fill(new)
        field.press("Enter")
        expect(self.todo(new)).to_be_visible()

    def choose(self, title: str, action: str) -> None:
        """Choose something from the menu of a todo."""
        self.page.get_by_role("button", name=f"More for {title}", exact=True).click()
        self.page.locator("#actions").get_by_role("button", name=action, exact=True).click()

    def be(self, name: str) -> None:
        """Become somebody else in this window."""
        self.page.locator("#me").click()
        self.page.locator("#who").get_by_role("button", name=name, exact=True).click()
        expect(self.page.locator("#my-name")).to_have_text(name)
