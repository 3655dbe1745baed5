"""Drive an unchanged laravel-echo in a Node process, against any server of Pusher's protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from tests.services import node
from tests.services.process import LOCALHOST
from tests.services.pusher_js import Refused
from tests.services.reporter import Reporter

_CLIENT = node.NODE_FOLDER / "echo.mjs"


class LaravelEcho(Reporter):
    """A process that runs one client. Channels have the names that Echo takes, without a prefix."""

    def __init__(
        self,
        *,
        port: int,
        key: str,
        auth_endpoint: str,
        host: str = LOCALHOST,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> None:
        config = {
            "host": host,
            "port": port,
            "key": key,
            "authEndpoint": auth_endpoint,
            "headers": dict(headers or {}),
        }
        super().__init__(["node", str(_CLIENT)], first=config, timeout=timeout)

    def start(self) -> Self:
        """Start the client, and wait until it is connected."""
        super().start()
        try:
            self.wait_for(lambda report: report["type"] == "connected")
        except BaseException:
            self.close()
            raise
        return self

    def subscribe(self, how: str, channel: str, *, events: Sequence[str] = ()) -> None:
        """Call Echo's `private`, `encryptedPrivate` or `join`; raise Refused when it is refused."""
        before = len(self.seen)
        self.send({"command": how, "channel": channel, "events": list(events)})
        report = self.wait_for(
            lambda report: (
                report["type"] in {"subscribed", "subscription_error"}
                and report["channel"] == channel
            ),
            after=before,
        )
        if report["type"] == "subscription_error":
            raise Refused(f"{channel} was refused: {report['data']}")

    def leave(self, channel: str) -> None:
        """Leave a channel; the server learns of it a moment later."""
        self.send({"command": "leave", "channel": channel})

    def expect(self, kind: str, channel: str) -> Any:
        """Return what the first report of that type says about a channel."""
        report = self.wait_for(
            lambda report: report["type"] == kind and report["channel"] == channel
        )
        return next(report[name] for name in ("members", "member", "data") if name in report)
