"""Occupancy: channels that are known to have no subscriber, whose events are not sent.

One rule: an event to an occupied channel is never skipped because of us. If it is not known whether
a channel is occupied, its events are sent.

**What is kept**, in a Django cache, under keys that carry the transport's alias and app:

- of a channel, when we last learned that it is occupied (an `Observation`): from a grant, a webhook
  or a listing. For a channel that was never seen occupied, when we began to watch it;
- of a channel, when the service reported that it was vacated;
- of a prefix, when the occupied channels were last listed, and which they were.

**What is skipped.** A report that a channel is vacant counts only while it is fresh, and only if
the time that it is about is later than `Observation.at` by a margin. ``at`` is always the time at
which it is written, by our clock, and never the time that a webhook is about. So any report of a
subscriber that reached us before is about a time before ``at``, and the report of vacancy is newer
than all of them, even those that the cache has lost since: an entry that is gone is written again
with an ``at`` of now. Therefore:

- Writers need no lock. Each writes a whole value without reading the old one. Of two reports that a
  channel is occupied the later write wins, and either is enough; a report of vacancy never
  overwrites one of occupancy: they have different keys and are compared when they are read.
- Webhooks that are late, repeated or out of order do no harm: a late report of occupancy makes
  ``at`` later, so that less is skipped; a late report of vacancy is about a time before ``at``.
- A listing is about the time at which it was requested: reports of occupancy that arrive while it
  runs override it.
- A report of occupancy that could not be written is pending: until this process has written it, it
  skips nothing, for as long as the report could override one of vacancy.

**A cache may go back**: to an older copy after a failover, to a replica that lags, or to another
one with a deploy that changes ``VERSION`` or ``KEY_PREFIX``. What was written to it last is then
lost, while an older report of vacancy in it may be fresh. So each process also compares reports of
vacancy with what it has itself learned to be occupied, and keeps that for `BELIEVED_FOR` seconds;
after those, no report is fresh that it would override. A process that saw the cache fail trusts no
report of vacancy from before that.

**The margin** is `SKEW` for a report of the service, whose clock is not ours, and `GRACE` for
channels that need a grant: between the grant and the subscription, the service does not see the
client.

**Assumptions.** Clocks agree with the service's to within `SKEW` and much better with each other, a
write reaches the cache within that time, and a client subscribes within ``GRACE - SKEW`` of its
grant. Beyond that, and for a public channel between its first subscriber and the webhook that
reports it, a report of vacancy may be wrong for as long as it is fresh: `VACATED_FOR` and
`LISTED_FOR` seconds. The same holds for processes that have not learned of the occupancy
themselves, where another process could not write it, or where the cache has lost it without
failing.
"""

from __future__ import annotations

from realtime_drf.occupancy.handler import mark_occupied as mark_occupied
from realtime_drf.occupancy.handler import occupancies
from realtime_drf.occupancy.knowledge import Occupancy

__all__ = ["Occupancy", "occupancies"]
