"""Drive an unchanged pusher-js in a Node process, against any server of Pusher's protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from tests.services import node
from tests.services.process import LOCALHOST
from tests.services.reporter import Predicate, Report, Reporter, ReporterError

_CLIENT = node.NODE_FOLDER / "client.mjs"

Token = Mapping[str, Any]


def unavailable() -> str | None:
    """Return why pusher-js cannot be run here, or None; install it where it is missing."""
    return node.unavailable()


class Refused(Exception):
    """A subscription or sign-in that was rejected."""


@dataclass(frozen=True)
class Endpoint:
    """Name the URL that pusher-js itself posts to for a token."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        """Return what pusher-js takes."""
        return {
            "endpoint": self.url,
            "headers": dict(self.headers),
            "params": dict(self.params),
        }


@dataclass(frozen=True)
class Event:
    """An event as the page's callback receives it, decoded and decrypted."""

    channel: str
    name: str
    data: Any


class PusherJS(Reporter):
    """A process that runs one client.

    `auth` gives tokens for channels: an Endpoint, a table of channel to token, or a function of
    socket id and channel. `user_auth` does so for signing in: an Endpoint or a function of the
    socket id. What a function raises is reported to pusher-js as a refusal. `options` are merged
    into those of pusher-js; `frames` also reports every message as it came off the socket.
    """

    def __init__(
        self,
        *,
        port: int,
        key: str,
        host: str = LOCALHOST,
        auth: Endpoint | Mapping[str, Token] | Callable[[str, str], Token] | None = None,
        user_auth: Endpoint | Callable[[str], Token] | None = None,
        options: Mapping[str, Any] | None = None,
        frames: bool = False,
        timeout: float = 10.0,
    ) -> None:
        self._auth = auth
        self._user_auth = user_auth
        self._expected: set[int] = set()
        config = {
            "host": host,
            "port": port,
            "key": key,
            "channelAuthorization": _authorization(auth),
            "userAuthentication": _authorization(user_auth),
            "options": dict(options or {}),
            "frames": frames,
        }
        super().__init__(["node", str(_CLIENT)], first=config, timeout=timeout)

    def start(self, *, wait: bool = True) -> Self:
        """Start the client; wait until it is connected, unless `wait` is off."""
        super().start()
        if wait:
            try:
                self.find(lambda report: report["type"] == "connected", what="connection")
            except BaseException:
                self.close()
                raise
        return self

    # What happened

    @property
    def events(self) -> list[Event]:
        """Return the events of channels so far, in order, whether expected or not."""
        return [
            Event(report["channel"], report["name"], report["data"])
            for report in self.seen
            if report["type"] == "event"
        ]

    @property
    def socket_id(self) -> str:
        """Return the id of the latest connection."""
        ids = [report["socket_id"] for report in self.seen if report["type"] == "connected"]
        if not ids:
            raise ReporterError(f"Not connected yet. {self.account()}")
        return str(ids[-1])

    def expect(self, name: str, channel: str | None = None, timeout: float | None = None) -> Any:
        """Return the data of the next event of that name; each event is returned once."""

        def wanted(report: Report) -> bool:
            return (
                report["type"] == "event"
                and report["name"] == name
                and channel in (None, report["channel"])
            )

        where = "" if channel is None else f" on {channel}"
        return self._expect(wanted, timeout, what=f"event {name!r}{where}")

    def expect_for_user(self, name: str, timeout: float | None = None) -> Any:
        """Return the data of the next event of that name to the user who has signed in."""

        def wanted(report: Report) -> bool:
            return report["type"] == "user_event" and report["name"] == name

        return self._expect(wanted, timeout, what=f"event {name!r} to the user")

    def _expect(self, wanted: Predicate, timeout: float | None, *, what: str) -> Any:
        with self.changed:
            index = self.find(wanted, timeout, what=what, skip=self._expected)
            self._expected.add(index)
            return self.seen[index]["data"]

    # What to do

    def command(self, command: str, **details: Any) -> None:
        """Send a command of tests/node/client.mjs."""
        self.send({"command": command, **details})

    def subscribe(self, channel: str, timeout: float | None = None) -> Any:
        """Subscribe and return what came with it (a presence channel's members).

        Raise Refused when it is refused.
        """
        before = len(self.seen)
        self.command("subscribe", channel=channel)
        report = self.wait_for(
            lambda report: (
                report["type"] in {"subscribed", "subscription_error"}
                and report["channel"] == channel
            ),
            timeout,
            after=before,
        )
        if report["type"] == "subscription_error":
            raise Refused(f"{channel} was refused: {report['data']}")
        return report.get("data")

    def unsubscribe(self, channel: str) -> None:
        """Leave a channel; the server learns of it a moment later."""
        self.command("unsubscribe", channel=channel)

    def signin(self, timeout: float | None = None) -> Any:
        """Sign the user in, and return what the server says of it once the user can be reached.

        Raise Refused if it is refused.
        """
        before = len(self.seen)
        self.command("signin")
        # The endpoint refuses with a signin_error, the server with an error before it closes.
        answer = {"signed_in", "signin_error", "error"}
        report = self.wait_for(
            lambda report: report["type"] in answer and "4302" not in str(report.get("error")),
            timeout,
            after=before,
        )  # of a watchlist that is too long the server complains, and nothing else
        if report["type"] != "signed_in":
            raise Refused(f"Signing in was refused: {report}")
        return report["data"]

    def trigger(self, channel: str, name: str, data: Any) -> None:
        """Send a client event."""
        self.command("trigger", channel=channel, name=name, data=data)

    # Within

    def arrived(self, report: Report) -> None:
        """Answer when pusher-js asks for a token."""
        if report["type"] == "question":
            self._answer(report)

    def _answer(self, question: Report) -> None:
        answer: dict[str, Any] = {"id": question["id"], "error": None, "auth": None}
        try:
            answer["auth"] = dict(self._token(question))
        except Exception as error:  # noqa: BLE001 - whatever a test's function raises is a refusal
            answer["error"] = f"{type(error).__name__}: {error}"
        # The client may be closing at this moment.
        with contextlib.suppress(ReporterError):
            self.command("answer", **answer)

    def _token(self, question: Report) -> Token:
        if question["kind"] == "user":
            if not callable(self._user_auth):
                raise TypeError("user_auth is not a function")
            return self._user_auth(question["socket_id"])
        if callable(self._auth):
            return self._auth(question["socket_id"], question["channel"])
        if not isinstance(self._auth, Mapping):
            raise TypeError("auth is neither a table nor a function")
        return self._auth[question["channel"]]


def _authorization(auth: Any) -> Any:
    if auth is None:
        return None
    return auth.config() if isinstance(auth, Endpoint) else "ask"
