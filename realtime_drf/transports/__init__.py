"""The transports, one module each, and the handler that makes them from settings.

>>> from realtime_drf.transports import transports
>>> transports["default"]  # doctest: +SKIP
<MemoryTransport 'default'>
"""

from realtime_drf.transports.handler import transports

__all__ = ["transports"]
