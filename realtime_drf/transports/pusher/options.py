"""The options of the Pusher transport."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from realtime_drf.options import EncryptionKey, Options, check_master_key, option
from realtime_drf.pusher_protocol.limits import MAX_PAYLOAD_BYTES
from realtime_drf.transports.hosts import read_host
from realtime_drf.transports.pusher.address import read_url

_APP_ID = re.compile(r"[0-9]+")
_CLUSTER = re.compile(r"[A-Za-z0-9-]+")


def _check_credential(text: str) -> str:
    if text != text.strip():
        raise ValueError("begins or ends with a blank or line end: strip() it")
    return text


def _read_app_id(app_id: str | int) -> str:
    text = _check_credential(str(app_id))
    if text and not _APP_ID.fullmatch(text):
        raise ValueError(
            "must be digits: Pusher's own SDKs accept nothing else. Give a server of your own an "
            "app id that is a number"
        )
    return text


def _check_cluster(cluster: str) -> str:
    if cluster and not _CLUSTER.fullmatch(cluster):
        raise ValueError(
            "is the name of a cluster alone, such as 'eu', without blanks, line ends or the rest "
            "of a URL; a server of your own goes into 'host'"
        )
    return cluster


def _read_own_host(host: str) -> str | None:
    return read_host(host) if host else None


@dataclass(frozen=True, kw_only=True)
class PusherOptions(EncryptionKey, Options):
    """The options of the Pusher transport."""

    app_id: str | int | None = option(
        None, "the app's id, which is digits", unset="required", clean=_read_app_id
    )
    key: str | None = option(
        None, "the app's key", unset="required", secret=True, clean=_check_credential
    )
    secret: str | None = option(
        None, "the app's secret", unset="required", secret=True, clean=_check_credential
    )
    url: str | None = option(
        None,
        "`https://key:secret@host:port/apps/app_id`, in place of the credentials; see "
        "[below](#pusher_url)",
        secret=True,
    )
    cluster: str | None = option(None, 'such as `"eu"`', clean=_check_cluster)
    host: str | None = option(
        None,
        "another server, in place of a cluster",
        unset="that of Pusher",
        clean=_read_own_host,
    )
    port: int | None = option(
        None, "the server's port", unset="443, or 80 with `ssl: False`", most=65_535
    )
    ssl: bool | None = option(
        None, "whether the server is called over https", unset="`True`, or as `url` says"
    )
    timeout: float = option(
        5, "seconds for a call, until its answer begins; see [below](#threads-forks-and-time)"
    )
    encryption_master_key_base64: str | None = option(
        None,
        "32 bytes, in base64, for [encrypted channels](#encrypted-channels)",
        secret=True,
        clean=check_master_key,
    )
    payload_limit: int = option(
        MAX_PAYLOAD_BYTES, "bytes of an event's data, for an account that allows more"
    )
    subscription_counting: bool = option(
        False, "the app has it enabled, so that `channel_info` may ask for it"
    )
    webhook_keys: Mapping[str, str] | None = option(
        None,
        "further keys, and their secrets, that may sign [webhooks](webhooks.md#replacing-a-key)",
        secret=True,
    )

    def complete(self) -> PusherOptions:
        """Return them with what the URL, or the environment's, says besides.

        Raise InvalidTransport if a credential is missing then.
        """
        found = self
        if self.url or not (self.app_id or self.key or self.secret):
            address = read_url(self.url, alias=self.alias)
            if self.cluster:  # an option goes before what the URL says of the same
                address = address._replace(host=None, port=None, ssl=None)
            said = {k: v for k, v in address._asdict().items() if getattr(self, k) is None}
            found = dataclasses.replace(self, **said)
        credentials = {"app_id": found.app_id, "key": found.key, "secret": found.secret}
        if missing := [repr(name) for name, value in credentials.items() if not value]:
            raise self.error(
                f"OPTIONS need {' and '.join(missing)} (or 'url', or the environment variable "
                f"PUSHER_URL)."
            )
        return found

    def for_client(self) -> dict[str, Any]:
        """Return the arguments of the SDK's client."""
        names = ("app_id", "key", "secret", "host", "port", "cluster", "timeout")
        return {
            **{name: getattr(self, name) for name in names},
            "ssl": self.ssl is not False,
            "encryption_master_key_base64": self.encryption_master_key_base64,
        }
