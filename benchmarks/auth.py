"""Authorizing: what forty channels in one request cost, and what the endpoint adds to DRF's own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.exceptions import ParseError, PermissionDenied
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from benchmarks.articles.models import Article, make_article
from benchmarks.figures import Figure, Kind, side_by_side
from benchmarks.occupancy import compare_filter
from realtime_drf.channels import PrivateChannel
from realtime_drf.views import ChannelAuthorizationView

DESCRIPTION = __doc__

CHANNELS = 40
SOCKET_ID = "1234.5678"
AT_ONCE = 20
"""Requests of a measurement, so that one slow moment does not dominate it."""


class ArticleChannel(PrivateChannel):
    """A policy that allows every article that exists."""

    pattern = "articles.<int:pk>"

    @classmethod
    def authorize_many(cls, request: Request, channels: Sequence[Self]) -> Iterable[Self]:
        found = find_articles(channel.kwargs["pk"] for channel in channels)
        return [channel for channel in channels if channel.kwargs["pk"] in found]


# A project has other policies as well, whose patterns do not match.
OTHERS = [
    type(f"Other{number}Channel", (PrivateChannel,), {"pattern": f"other-{number}.<int:pk>"})
    for number in range(9)
]


class PlainView(APIView):
    """An endpoint as a project would write it: read the form, make the query, sign nothing."""

    permission_classes = (AllowAny,)

    def post(self, request: Request) -> Response:
        socket_id, name = request.data.get("socket_id"), request.data.get("channel_name")
        match = re.fullmatch(r"private-articles\.(\d+)", name or "")
        if not socket_id or match is None:
            raise ParseError
        pk = int(match[1])
        if not (request.user.is_authenticated and pk in find_articles([pk])):
            raise PermissionDenied
        return Response({"auth": f"{socket_id}:{name}"})


def measure(*, quick: bool) -> list[Figure]:
    """Return all figures."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    Article.objects.bulk_create(make_article(number) for number in range(CHANNELS))
    user = User.objects.create_user("ann")
    rounds = 2 if quick else 60
    return [figure for compare in MEASURES for figure in compare(user, rounds)]


def compare_many_with_one(user: User, rounds: int) -> list[Figure]:
    """Ask for forty channels in a request, and for one."""
    view = ChannelAuthorizationView.as_view()
    names = [ArticleChannel(pk=pk).name for pk in Article.objects.values_list("pk", flat=True)]

    def ask_for(channels: Sequence[str]) -> Callable[[], Any]:
        body = json.dumps({"socket_id": SOCKET_ID, "channel_names": channels})
        return lambda: make_request(user, body, "application/json")

    many, one = ask_for(names), ask_for(names[:1])
    queries = [count_queries(view, make) for make in (many, one)]
    forty, single = side_by_side(
        *(in_turns(view, make, rounds) for make in (many, one)), rounds=rounds
    )
    return [
        Figure(
            "many_to_one_ratio",
            forty / single,
            4,
            "time: 40 channels in a request, to one",
            Kind.WALL,
        ),
        Figure("many_to_one_queries", queries[0] / queries[1], 1, "queries: likewise", Kind.COUNT),
        Figure("many_us", forty / AT_ONCE * 1e6, None, "microseconds a request for 40", Kind.WALL),
        Figure(
            "one_us",
            single / AT_ONCE * 1e6,
            None,
            "microseconds a request for one, as JSON",
            Kind.WALL,
        ),
    ]


def compare_with_a_plain_view(user: User, rounds: int) -> list[Figure]:
    """Ask as pusher-js does, with a form for one channel; ask a view without this package too."""
    ours, plain = ChannelAuthorizationView.as_view(), PlainView.as_view()
    name = ArticleChannel(pk=Article.objects.values_list("pk", flat=True)[0]).name

    def make() -> Any:
        form = urlencode({"socket_id": SOCKET_ID, "channel_name": name})
        return make_request(user, form, "application/x-www-form-urlencoded")

    assert count_queries(ours, make) == count_queries(plain, make) == 1
    mine, theirs = side_by_side(
        *(in_turns(view, make, rounds) for view in (ours, plain)), rounds=rounds
    )
    return [
        Figure(
            "endpoint_to_view_ratio", mine / theirs, 1.5, "time, of a plain view of DRF", Kind.WALL
        ),
        Figure(
            "endpoint_us",
            mine / AT_ONCE * 1e6,
            None,
            "microseconds a request, as a form",
            Kind.WALL,
        ),
        Figure(
            "view_us",
            theirs / AT_ONCE * 1e6,
            None,
            "microseconds a request to a plain view",
            Kind.CONTROL,
        ),
    ]


MEASURES = (compare_many_with_one, compare_with_a_plain_view, compare_filter)
"""What is compared; each takes a user and the number of rounds, and returns figures."""


def find_articles(pks: Iterable[int]) -> set[int]:
    """Make the query that policies and views make."""
    return set(Article.objects.filter(pk__in=list(pks)).values_list("pk", flat=True))


def make_request(user: User, body: str, content_type: str) -> Any:
    """Return a request of an authenticated user."""
    request = APIRequestFactory().post("/realtime/auth/", body, content_type=content_type)
    force_authenticate(request, user)
    return request


def in_turns(view: Any, make: Callable[[], Any], rounds: int) -> Callable[[], None]:
    """Return a function that answers the requests of one turn; they are made beforehand."""
    turns = iter([[make() for _ in range(AT_ONCE)] for _ in range(rounds + 1)])

    def turn() -> None:
        for request in next(turns):
            assert view(request).render().status_code == 200

    return turn


def count_queries(view: Any, make: Callable[[], Any]) -> int:
    """Return the number of queries of a request whose channels are all granted."""
    with CaptureQueriesContext(connection) as queries:
        answer = view(make()).render()
    results = json.loads(answer.content)
    assert all(each["status"] == 200 for each in results.values() if isinstance(each, dict))
    return len(queries)
