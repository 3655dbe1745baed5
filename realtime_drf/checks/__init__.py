"""Every error of configuration as a system check, so that none appears with the first request.

========  ======================================================================================
E001      an entry of REALTIME_TRANSPORTS, its class, options or delivery is wrong
E002      no transport is configured as "default"
E003      a transport that is for development is enabled (``check --deploy`` only)
E004      REALTIME_BACKENDS_MODULE is not the name of a module
E005      REALTIME_CACHE is not the alias of a cache
E006      a channel's pattern is malformed, or makes names that no transport can carry
E007      the patterns of two channel classes overlap
E008      a private channel has no rule for who may subscribe
E009      a permission class that cannot work on a channel
E010      several classes would decide on signing in
E011      SKIP_VACANT is on, and the transport cannot tell which channels are vacant
E012      two Channels transports have the same key or app_id
E013      a policy is not used, since it inherits its pattern
E014      a backend is to observe its model, and has no serializer or no channels
E015      a name in depends_on, version_field or channels of a backend is not of its model
E019      a channel's queryset cannot be looked up by the values of its pattern
W001      REALTIME_BACKENDS_MODULE is set, and no installed app has such a module
W002      a backend has no serializer, so that the view's makes the payload for everyone
W003      a channel that the default transport cannot serve
W004      SKIP_VACANT is on, and the cache is one of each process
W005      a channel layer that reaches one process only (``check --deploy`` only)
W006      a channel is not public, and no URL leads to the view that authorizes
W007      a module of backends is not imported, and nothing is registered
W008      a setting has nearly the name of one of ours
W009      a webhook asks by name for events that are never reported
W010      the HTTP API of a Channels transport is on, and its app_id is not a number
W011      an observed model has a manager whose bulk writes are not published
W012      a transport whose layer is shared has the default app_id or key (``check --deploy`` only)
W013      rows of an observed model are deleted by the database, which tells nobody
W014      the default transport serves browsers, and ASGI_APPLICATION names no RealtimeServer
W015      the HTTP API is on, with a secret derived from SECRET_KEY (``check --deploy`` only)
W016      any origin may connect, and there are private channels (``check --deploy`` only)
W017      webhooks are in use, and the cache is one of each process (``check --deploy`` only)
W018      a backend, channel or view has an attribute with nearly the name of a hook
W019      get_channels() of a backend that observes reads what such a change does not have
W024      events go to a service over http:// (``check --deploy`` only)
========  ======================================================================================
"""

from __future__ import annotations

from django.core import checks

from realtime_drf.checks.configuration import (
    TAG,
    check_backends,
    check_deployment,
    check_occupancy,
    check_transports,
)
from realtime_drf.checks.deployment import check_asgi_application, check_exposure
from realtime_drf.checks.policies import check_channels
from realtime_drf.checks.rows import check_rows
from realtime_drf.checks.setup import check_hooks, check_modules, check_setting_names, check_urls


def register() -> None:
    """Make the checks known to Django."""
    for check in (check_transports, check_backends, check_channels, check_occupancy, check_rows):
        checks.register(check, TAG)
    for check in (check_urls, check_modules, check_setting_names, check_hooks):
        checks.register(check, TAG)
    checks.register(check_asgi_application, TAG)
    for check in (check_deployment, check_exposure):
        checks.register(check, TAG, deploy=True)
