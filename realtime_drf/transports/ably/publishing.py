"""Publishing through Ably's REST API: one call, and second tries for what it rejects."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote_plus

from realtime_drf.events import Event
from realtime_drf.exceptions import (
    AccessRefused,
    ChannelUnavailable,
    EventRejected,
    TransportError,
    TransportUnavailable,
)
from realtime_drf.transports.ably.messages import Encoder, read_results
from realtime_drf.transports.ably.packing import Group
from realtime_drf.transports.ably.rest import RestClient

MIN_PAUSE: Final = 1.0
"""Seconds for which nothing is sent to a busy channel if the service does not say how long."""


class Publisher:
    """Publishes groups of events, and reports failures by channel."""

    def __init__(
        self, rest: RestClient, encoder: Encoder, to_wire_name: Callable[[str], str]
    ) -> None:
        self._rest = rest
        self._encoder = encoder
        self._to_wire_name = to_wire_name
        self._not_before: dict[str, float] = {}

    def publish(self, events: Sequence[Event], groups: Sequence[Group]) -> None:
        """Publish groups; raise TransportError with the events that were not sent.

        Events that are rejected because of the connection to exclude are sent to everyone: a stale
        connection key, or another client's, would otherwise cost the event. Events for one channel
        in one call are rejected together, and then each is tried by itself.
        """
        paused = self._find_paused(groups)
        left = [rest for group in groups if (rest := _without(group, paused))]
        failed = self._publish(left) if left else {}
        failed = self._publish_to_all(left, failed) | paused
        failures: dict[tuple[str, str], TransportError] = {}
        for group in groups:
            for channel in group.channels:
                if channel in failed:
                    failures |= self._publish_singly(group, channel, failed[channel])
        if failures:
            self._pause(failures)
            raise _summary(events, failures)

    def _find_paused(self, groups: Sequence[Group]) -> dict[str, TransportError]:
        """Return an error for each channel that is paused."""
        if not self._not_before:
            return {}
        now = self._rest.clock()
        # Replaced and not changed in place, as other threads read it.
        self._not_before = {name: at for name, at in self._not_before.items() if at > now}
        paused: dict[str, TransportError] = {}
        for channel in (channel for group in groups for channel in group.channels):
            if (at := self._not_before.get(channel)) is not None:
                error = paused[channel] = ChannelUnavailable(f"{channel} is still too busy.")
                error.retry_after = at - now
        return paused

    def _pause(self, failures: Mapping[tuple[str, str], TransportError]) -> None:
        """Pause busy channels, so that no event overtakes those that were not sent."""
        now = self._rest.clock()
        self._not_before = self._not_before | {
            channel: now + max(error.retry_after or 0.0, MIN_PAUSE)
            for (_, channel), error in failures.items()
            if isinstance(error, ChannelUnavailable) and channel not in self._not_before
        }

    def _publish_to_all(
        self, groups: Sequence[Group], failed: Mapping[str, TransportError]
    ) -> dict[str, TransportError]:
        """Retry without the exclusion what was rejected with it; return what still fails."""
        again = [
            Group(channels, tuple(_to_all(event) for event in group.events))
            for group in groups
            if (channels := tuple(c for c in group.channels if _may_be_exclusion(group, failed, c)))
        ]
        retried = {channel for group in again for channel in group.channels}
        left = {channel: error for channel, error in failed.items() if channel not in retried}
        return left | (self._try(again) if again else {})

    def _publish_singly(
        self, group: Group, channel: str, error: TransportError
    ) -> dict[tuple[str, str], TransportError]:
        """Find the events for which a channel's publish was rejected."""
        if len(group.events) == 1 or not isinstance(error, EventRejected):
            return {(event.id, channel): error for event in group.events}
        failures: dict[tuple[str, str], TransportError] = {}
        for event in group.events:
            single = Group((channel,), (event,))
            if not isinstance(error, TransportUnavailable):
                failed = self._publish_to_all([single], self._try([single]))
            if channel in failed:
                error = failures[event.id, channel] = failed[channel]
        return failures

    def _try(self, groups: Sequence[Group]) -> dict[str, TransportError]:
        """Publish as a second try, whose failure must not hide what the first one sent."""
        try:
            return self._publish(groups)
        except TransportError as exc:
            return dict.fromkeys((channel for group in groups for channel in group.channels), exc)

    def _publish(self, groups: Sequence[Group]) -> dict[str, TransportError]:
        """Make one call; return the error of each channel that failed."""
        if len(groups) == 1 and len(groups[0].channels) == 1:
            (channel,) = groups[0].channels
            path = f"/channels/{quote(self._to_wire_name(channel))}/messages"
            messages = self._encoder.encode(groups[0], channel)
            try:
                self._rest.post(path, messages[0] if len(messages) == 1 else messages)
            except (EventRejected, ChannelUnavailable) as exc:
                if isinstance(exc, AccessRefused):
                    raise
                return {channel: exc}
            return {}
        body = [
            {
                "channels": [self._to_wire_name(channel) for channel in group.channels],
                "messages": self._encoder.encode(group, group.channels[0]),
            }
            for group in groups
        ]
        results = read_results(self._rest.post_batch("/messages", body))
        failed: dict[str, TransportError] = {}
        for group in groups:
            for channel in group.channels:
                result = results.get(self._to_wire_name(channel), {"error": None})
                if "error" in result:
                    failed[channel] = self._make_failure(result["error"])
        return failed

    def _make_failure(self, error: Any) -> TransportError:
        """Make the error of one channel in the answer to a batch."""
        if not isinstance(error, dict):
            return TransportUnavailable("Ably's answer does not mention a channel.")
        made = self._rest.make_error(error, status=400)
        # The other channels succeeded, so our credentials are accepted.
        return EventRejected(str(made)) if isinstance(made, AccessRefused) else made


def quote(name: str) -> str:
    """Return a name escaped for a path."""
    return quote_plus(name, safe=":")


def _without(group: Group, channels: Container[str]) -> Group | None:
    left = tuple(channel for channel in group.channels if channel not in channels)
    return Group(left, group.events) if left else None


def _rank(error: TransportError) -> int:
    kinds = (EventRejected, ChannelUnavailable)
    return next((3 - place for place, kind in enumerate(kinds) if isinstance(error, kind)), 0)


def _to_all(event: Event) -> Event:
    return event.replace(socket_id=None)


def _may_be_exclusion(group: Group, failed: Mapping[str, TransportError], channel: str) -> bool:
    """Return whether a channel may have been rejected because of the connection to exclude."""
    return group.events[0].socket_id is not None and type(failed.get(channel)) is EventRejected


def _summary(
    events: Sequence[Event], failures: Mapping[tuple[str, str], TransportError]
) -> TransportError:
    """Return one error for all failures; one that is worth a retry takes precedence."""
    unsent = [
        event.to(left)
        for event in events
        if (left := [channel for channel in event.channels if (event.id, channel) in failures])
    ]
    first = min(failures.values(), key=_rank)
    kind = EventRejected if isinstance(first, AccessRefused) else type(first)
    channels = list(dict.fromkeys(channel for _, channel in failures))
    where = f" ({len(channels)} channels failed: {', '.join(channels[:5])})" if channels[1:] else ""
    error = kind(f"{first}{where}", unsent=unsent)
    if isinstance(error, TransportUnavailable) and isinstance(first, TransportUnavailable):
        error.retry_after = first.retry_after
    error.__cause__ = first
    return error
