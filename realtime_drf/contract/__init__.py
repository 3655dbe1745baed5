"""The contract: which events a project broadcasts, on which channels, with which data.

The command ``realtime_contract`` writes it as TypeScript, AsyncAPI or JSON Schema. It reads the
backends and the channel classes; `declare` adds what these do not show.
"""

from __future__ import annotations

from realtime_drf.contract.declared import declare

__all__ = ["declare"]
