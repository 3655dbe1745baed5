"""The app: finds backends, registers checks, looks after the end of requests."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.signals import request_finished
from django.utils.module_loading import autodiscover_modules


class RealtimeConfig(AppConfig):
    """Import the module of backends and channels of every installed app."""

    name = "realtime_drf"
    verbose_name = "Realtime"

    def ready(self) -> None:
        from realtime_drf import checks, conf, publishing

        checks.register()
        request_finished.connect(publishing.flush_all, dispatch_uid="realtime_drf.flush")
        autodiscover_modules(*conf.get_backends_modules())
