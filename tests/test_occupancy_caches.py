"""Occupancy in the caches that projects have: what is written can be read, whatever the format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from pytest_django import Settings

from realtime_drf.occupancy.vacancy import GRACE, LISTED_FOR, SKEW
from tests.occupancy_site import PRIVATE, PUBLIC, Site

DJANGO = "django.core.cache.backends"
LONGEST = "private-" + "x" * 156


def of_django_redis(database: int, serializer: str | None = None) -> dict[str, Any]:
    options = {"SERIALIZER": f"django_redis.serializers.{serializer}"} if serializer else {}
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": "redis://127.0.0.1:{redis}/" + str(database),
        "OPTIONS": options,
    }


MEMCACHED = {
    "BACKEND": f"{DJANGO}.memcached.PyMemcacheCache",
    "LOCATION": "127.0.0.1:{memcached}",
}

CACHES: dict[str, dict[str, Any]] = {
    "locmem": {"BACKEND": f"{DJANGO}.locmem.LocMemCache", "LOCATION": "occupancy"},
    "file": {"BACKEND": f"{DJANGO}.filebased.FileBasedCache", "LOCATION": "{folder}"},
    "redis": {"BACKEND": f"{DJANGO}.redis.RedisCache", "LOCATION": "redis://127.0.0.1:{redis}/1"},
    "django-redis": of_django_redis(2),
    "django-redis, JSON": of_django_redis(3, "json.JSONSerializer"),
    "django-redis, msgpack": of_django_redis(4, "msgpack.MSGPackSerializer"),
    "memcached": MEMCACHED,
    "memcached, long prefix": {**MEMCACHED, "KEY_PREFIX": "p" * 100},
}


@pytest.fixture(params=CACHES)
def site(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Iterator[Site]:
    ports = {}
    for service in ("redis", "memcached"):
        if f"{{{service}}}" in CACHES[request.param]["LOCATION"]:
            ports[service] = request.getfixturevalue(service).port
    config = dict(CACHES[request.param])
    if "django_redis" in config["BACKEND"]:
        pytest.importorskip("django_redis")
    config["LOCATION"] = config["LOCATION"].format(folder=tmp_path, **ports)
    settings.CACHES = {"default": config}
    yield Site(caches["default"])
    caches["default"].close()


def test_what_is_written_can_be_read(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.service.occupied = {PUBLIC}
    site.sends(PUBLIC, PRIVATE)
    site.two.mark_occupied([PRIVATE])
    site.report("occupied", "news.2")
    names = [PUBLIC, PRIVATE, "news.2"]
    found = site.one._look_up(names)
    assert found is not None
    assert [each.observed and each.observed.is_occupied for each in found.values()] == [True] * 3
    assert found[PUBLIC].listing is not None
    assert found[PUBLIC].listing.names == {PUBLIC}
    assert caplog.records == []


def test_vacated_channels_are_skipped_in_all_processes(site: Site) -> None:
    site.report("occupied", PRIVATE)
    site.now += GRACE + 1
    site.report("vacated", PRIVATE)
    assert site.sends(PRIVATE, worker=site.two) == []


def test_a_listing_serves_all_processes(site: Site) -> None:
    site.service.occupied = {PUBLIC}
    assert site.sends(PUBLIC, "news.2") == [PUBLIC]
    site.sends("news.3", worker=site.two)  # begins to watch it
    site.now += SKEW / 2
    assert site.sends(PUBLIC, "news.2", worker=site.two) == [PUBLIC]
    assert len(site.service.asked) == 1
    site.now += LISTED_FOR
    assert site.sends("news.2", worker=site.two) == ["news.2"]


def test_the_longest_name_stops_no_process_from_skipping(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.report("occupied", PRIVATE)
    site.report("occupied", LONGEST)
    site.now += GRACE + 1
    site.report("vacated", PRIVATE)
    assert site.sends(LONGEST, PRIVATE) == [LONGEST]
    site.report("vacated", LONGEST)
    assert site.sends(LONGEST, PRIVATE, worker=site.two) == []
    site.one.mark_occupied([LONGEST])
    assert site.sends(LONGEST, PRIVATE, worker=site.two) == [LONGEST]
    assert caplog.records == []
