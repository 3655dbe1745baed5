"""Drive unchanged clients of Ably's in Node processes: ably-js and @ably/laravel-echo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from tests.services import node
from tests.services.reporter import Report, Reporter


class Denied(Exception):
    """A request that was rejected; `code` is Ably's."""

    def __init__(self, code: Any) -> None:
        super().__init__(f"refused with {code}")
        self.code = code


class AblyJS(Reporter):
    """A process that runs ably-js with `options`; `callback` makes it use an authCallback.

    `callback` is the URL and headers of the authorization view.
    """

    def __init__(
        self,
        *,
        port: int,
        options: Mapping[str, Any] | None = None,
        callback: Mapping[str, Any] | None = None,
        timeout: float = 15.0,
    ) -> None:
        config = {"port": port, "options": dict(options or {}), "callback": callback}
        command = ["node", str(node.NODE_FOLDER / "ably.mjs")]
        super().__init__(command, first=config, timeout=timeout)

    def until(self, state: str, *, after: int = 0) -> Report:
        """Wait until the connection is in a state."""
        return self.wait_for(
            lambda report: report["type"] == "state" and report["current"] == state, after=after
        )

    def subscribe(self, channel: str) -> None:
        """Subscribe; raise Denied where that is refused."""
        self._do("subscribe", "subscribed", channel=channel)

    def enter(self, channel: str, data: Any) -> list[str]:
        """Enter a presence channel, and return its members."""
        members: list[str] = self._do("enter", "entered", channel=channel, data=data)["members"]
        return members

    def publish(self, channel: str, name: str, data: Any) -> None:
        """Publish from the client."""
        self._do("publish", "published", channel=channel, name=name, data=data)

    def authorize(self) -> None:
        """Ask for another token."""
        self._do("authorize", "authorized")

    @property
    def socket_id(self) -> str:
        """Return what a page says in the header that names its connection."""
        return str(self._do("socketId", "socketId")["socketId"])

    def expect(self, name: str, channel: str) -> Any:
        """Return the data of the first event of that name on a channel."""
        return self.wait_for(
            lambda report: (
                (report["type"], report["name"], report["channel"]) == ("event", name, channel)
            )
        )["data"]

    def names(self) -> list[str]:
        """Return the names of all events so far."""
        return [report["name"] for report in self.seen if report["type"] == "event"]

    def _do(self, command: str, done: str, **details: Any) -> Report:
        before = len(self.seen)
        self.send({"command": command, **details})
        report = self.wait_for(
            lambda report: (
                report["type"] == done
                or (report["type"] == "refused" and report["command"] == command)
            ),
            after=before,
        )
        if report["type"] == "refused":
            raise Denied((report["error"] or {}).get("code"))
        return report


class AblyEcho(Reporter):
    """A process that runs @ably/laravel-echo, whose names of channels have no prefix."""

    def __init__(
        self, *, port: int, auth_endpoint: str, headers: Mapping[str, str], timeout: float = 15.0
    ) -> None:
        config = {"port": port, "authEndpoint": auth_endpoint, "headers": dict(headers)}
        command = ["node", str(node.NODE_FOLDER / "ably-echo.mjs")]
        super().__init__(command, first=config, timeout=timeout)

    def start(self) -> Self:
        """Start the client, and wait until it is connected."""
        super().start()
        try:
            self.wait_for(lambda report: report["type"] == "connected")
        except BaseException:
            self.close()
            raise
        return self

    def subscribe(self, how: str, channel: str, *, events: tuple[str, ...] = ()) -> None:
        """Call Echo's `channel`, `private` or `join`; raise Denied where it is refused."""
        before = len(self.seen)
        self.send({"command": how, "channel": channel, "events": list(events)})
        report = self.wait_for(
            lambda report: (
                report["type"] in ("subscribed", "subscription_error")
                and report["channel"] == channel
            ),
            after=before,
        )
        if report["type"] == "subscription_error":
            raise Denied(report["data"].get("code"))

    def leave(self, channel: str) -> None:
        """Leave a channel."""
        self.send({"command": "leave", "channel": channel})

    @property
    def socket_id(self) -> str:
        """Return what Echo says in the header that names its connection."""
        before = len(self.seen)
        self.send({"command": "socketId"})
        return str(self.wait_for(lambda r: r["type"] == "socketId", after=before)["socketId"])

    def expect(self, kind: str, channel: str) -> Any:
        """Return what the first report of that type says about a channel."""
        report = self.wait_for(
            lambda report: report["type"] == kind and report["channel"] == channel
        )
        return next(report[name] for name in ("member", "data") if name in report)
