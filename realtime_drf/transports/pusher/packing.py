"""Packing of events into as few calls as their order allows.

Pusher's HTTP API carries either one event to many channels (a trigger), or several events of one
channel each (a batch): https://pusher.com/docs/channels/library_auth_reference/rest-api/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from realtime_drf.events import Event


@dataclass(frozen=True)
class _Plan:
    """A way to send the events up to one of them, and its cost."""

    calls: int
    copies: int
    """How often data is sent: once in a trigger, and once for each channel in a batch."""
    triggers: int = 0
    """Those of the last event."""
    before: _Plan | None = None

    @property
    def cost(self) -> tuple[int, int]:
        return self.calls, self.copies


def pack_calls(
    events: Sequence[Event],
    *,
    batch_size: int,
    trigger_size: int,
    goes_alone: Callable[[str], bool],
) -> list[list[Event]]:
    """Return calls in order: a call of one event is a trigger, one of several is a batch.

    The number of calls is minimal, and so is the number of copies of data in them.

    Args:
        batch_size: events in a batch, each with one channel.
        trigger_size: channels of a trigger.
        goes_alone: tells whether a channel cannot share a trigger with others.
    """
    packing = _Packing(batch_size, trigger_size, goes_alone)
    if all(len(event.channels) == 1 for event in events):
        return packing.make_calls(events, [0] * len(events))
    return packing.make_calls(events, packing.choose_triggers(events))


@dataclass(frozen=True)
class _Packing:
    batch_size: int
    trigger_size: int
    goes_alone: Callable[[str], bool]

    def choose_triggers(self, events: Sequence[Event]) -> list[int]:
        """Return the number of triggers for each event; its other channels are batched.

        The cheapest plan is found event by event, for each number of events that the open batch can
        hold (0 if none is open): later events depend on nothing else.
        """
        best = {0: _Plan(calls=0, copies=0)}
        for event in events:
            nxt: dict[int, _Plan] = {}
            together = sum(not self.goes_alone(channel) for channel in event.channels)
            for fill, plan in best.items():
                for triggers in range(-(-together // self.trigger_size) + 1):
                    rest = len(event.channels) - min(together, triggers * self.trigger_size)
                    room = -fill % self.batch_size
                    overflow = max(0, rest - room)
                    calls = plan.calls + triggers + -(-overflow // self.batch_size)
                    copies = plan.copies + triggers + rest
                    # A trigger closes the open batch: later events must not overtake it.
                    new_fill = (overflow if triggers else fill + rest) % self.batch_size
                    new = _Plan(calls, copies, triggers, plan)
                    if new_fill not in nxt or new.cost < nxt[new_fill].cost:
                        nxt[new_fill] = new
            best = nxt
        plan = min(best.values(), key=lambda plan: plan.cost)
        chosen: list[int] = []
        while plan.before is not None:
            chosen.append(plan.triggers)
            plan = plan.before
        return chosen[::-1]

    def make_calls(self, events: Sequence[Event], triggers: Sequence[int]) -> list[list[Event]]:
        """Return the calls of a plan."""
        calls: list[list[Event]] = []
        room = 0  # for events in the last call, if that is a batch
        for event, count in zip(events, triggers, strict=True):
            triggered, batched = self._divide(event, count)
            if triggered:
                # The open batch is filled first, before the trigger.
                for channel in batched[:room]:
                    calls[-1].append(event.to([channel]))
                batched = batched[room:]
                calls += [[event.to(channels)] for channels in triggered]
                room = 0
            for channel in batched:
                if not room:
                    calls.append([])
                    room = self.batch_size
                calls[-1].append(event if len(event.channels) == 1 else event.to([channel]))
                room -= 1
        return calls

    def _divide(self, event: Event, triggers: int) -> tuple[list[list[str]], list[str]]:
        """Return the channels of each trigger, and the batched ones."""
        together = [channel for channel in event.channels if not self.goes_alone(channel)]
        size = self.trigger_size
        triggered = [together[start : start + size] for start in range(0, triggers * size, size)]
        taken = {channel for channels in triggered for channel in channels}
        return triggered, [channel for channel in event.channels if channel not in taken]
