"""The app: imports backends, registers checks, and sends what is ready at the end of a request."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.signals import request_finished
from django.utils.module_loading import autodiscover_modules


class RealtimeConfig(AppConfig):
    """The app, which imports the module of backends and channels of every installed app."""

    name = "realtime_drf"
    verbose_name = "Realtime"

    def ready(self) -> None:
        from realtime_drf import checks, commits, conf
        from realtime_drf.sources import connecting

        checks.register()
        request_finished.connect(commits.flush_all, dispatch_uid="realtime_drf.flush")
        autodiscover_modules(*conf.get_backends_modules())
        connecting.connect()
