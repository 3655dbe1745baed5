"""What is known of the channels of each transport, by alias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.cache import caches

from realtime_drf.conf import PerAlias, TransportConfig, configs, get_cache_alias
from realtime_drf.occupancy.knowledge import Occupancy
from realtime_drf.transports import transports


class OccupancyHandler(PerAlias[Occupancy]):
    """The occupancy of REALTIME_TRANSPORTS by alias."""

    def create(self, config: TransportConfig) -> Occupancy:
        return Occupancy(
            transports[config.alias],
            lambda: caches[get_cache_alias()],
            with_public=config.skip_vacant == "all",
        )


occupancies = OccupancyHandler()


def mark_occupied(transport: Any, channels: Sequence[str]) -> None:
    """Remember that channels were granted, if events of this transport may be skipped."""
    if channels and configs[transport.alias].skip_vacant:
        occupancies[transport.alias].mark_occupied(channels)
