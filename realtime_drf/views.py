"""HTTP endpoints: for browsers to subscribe and sign in, for webhooks, and for health checks.

They are views of DRF: the project's authentication and throttles apply, with the scope "realtime".
Its permissions do not, since the channels decide.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import transaction
from django.http import Http404, HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from rest_framework import parsers, renderers
from rest_framework.exceptions import MethodNotAllowed, ParseError
from rest_framework.generics import GenericAPIView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request, clone_request
from rest_framework.response import Response
from rest_framework.views import APIView

from realtime_drf.authorization import decide, get_user_id, identify
from realtime_drf.conf import DEFAULT_ALIAS, configs
from realtime_drf.exceptions import InvalidRequest, InvalidSignature, InvalidTransport
from realtime_drf.grants import Answer, Grant
from realtime_drf.occupancy import mark_occupied
from realtime_drf.serializers import ChannelAuthorizationSerializer, UserAuthenticationSerializer
from realtime_drf.transports import transports
from realtime_drf.transports.base import BaseTransport
from realtime_drf.webhooks import receive

__all__ = ["ChannelAuthorizationView", "UserAuthenticationView", "WebhookView"]

logger = logging.getLogger("realtime_drf")


class JSONParser(parsers.JSONParser):
    """A parser that rejects JSON that is nested too deeply, as malformed."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().parse(*args, **kwargs)
        except RecursionError as exc:
            raise ParseError("JSON parse error: nested too deeply") from exc


class Negotiation(DefaultContentNegotiation):
    """A choice of parsers that accepts a repeated content type.

    In a browser, @ably/laravel-echo sets "Content-Type" and ably-js "content-type", which is sent
    as "application/json, application/json".
    """

    def select_parser(self, request: Request, parsers: Any) -> Any:
        first, _, second = request.content_type.partition(", ")
        if second and first == second:
            return next((each for each in parsers if each.media_type == first), None)
        return super().select_parser(request, parsers)


class JSONView(APIView):
    """A view that answers JSON, whatever the Accept header and the project's versioning say."""

    renderer_classes = (renderers.JSONRenderer,)
    versioning_class = None

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return super().perform_content_negotiation(request, force=True)


class TransportView(JSONView, GenericAPIView[Any]):
    """A view whose requests the transport of the URL's alias reads and answers."""

    permission_classes = (AllowAny,)
    parser_classes = (parsers.FormParser, parsers.MultiPartParser, JSONParser)
    content_negotiation_class = Negotiation
    throttle_scope = "realtime"

    ability = ""
    """The flag that a transport needs."""

    def post(self, request: Request, alias: str = DEFAULT_ALIAS) -> HttpResponseBase:
        try:
            answer = self.answer(request, get_transport(alias, self.ability), _posted(request))
        except InvalidRequest as exc:
            raise ParseError(str(exc)) from exc
        return _respond(answer)

    def get(self, request: Request, alias: str = DEFAULT_ALIAS) -> HttpResponseBase:
        """Answer GET like POST, for clients of services that use it; neither changes anything.

        Policies see a POST: a permission that depends on the method must not be more lenient to a
        client that chooses GET.
        """
        transport = get_transport(alias, self.ability)
        if not getattr(transport, "authorizes_by_get", False):
            raise MethodNotAllowed("GET")
        try:
            answer = self.answer(clone_request(request, "POST"), transport, request.query_params)
        except InvalidRequest as exc:
            raise ParseError(str(exc)) from exc
        return _respond(answer)

    def answer(self, request: Request, transport: Any, data: Any) -> Answer:
        """Return the transport's answer to what a client sent."""
        raise NotImplementedError


class ChannelAuthorizationView(TransportView):
    """The authorization of subscriptions: to one channel, or to many with a result for each."""

    serializer_class = ChannelAuthorizationSerializer
    ability = "supports_authorization"

    def answer(self, request: Request, transport: Any, data: Any) -> Answer:
        asked = transport.read_authorization(data)
        del data  # it may hold a token, which error reports would show
        asked = replace(asked, user_id=get_user_id(request))
        with_users = getattr(transport, "authorizes_user_channels", False)
        decisions = decide(request, asked.channels, with_user_channels=with_users)
        mark_occupied(transport, [each.channel for each in decisions if isinstance(each, Grant)])
        answer: Answer = transport.answer_authorization(asked, decisions)
        return answer


class UserAuthenticationView(TransportView):
    """The authentication of the request's user on the client's connection."""

    serializer_class = UserAuthenticationSerializer
    ability = "supports_user_authentication"

    def answer(self, request: Request, transport: Any, data: Any) -> Answer:
        socket_id = transport.read_user_authentication(data)
        identity = identify(request)
        if identity is None:
            return Answer(status=403, body={"error": "Forbidden"})
        answer: Answer = transport.answer_user_authentication(socket_id, identity)
        return answer


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class WebhookView(JSONView):
    """The endpoint of webhooks, protected by the service's signature instead of permissions.

    Answers 200 with the number of events handled and ignored, 400 if the webhook is malformed, and
    401 if it is not signed by the service or too old.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    schema = None  # it is not part of the project's API

    def post(self, request: Request, alias: str = DEFAULT_ALIAS) -> Response:
        transport = get_transport(alias, "supports_webhooks")
        try:
            outcome = receive(transport, request.headers, _read_body(request))
        except InvalidRequest as exc:
            logger.warning("Rejected a webhook to %r: %s", transport, exc)
            status = 401 if isinstance(exc, InvalidSignature) else 400
            return Response({"detail": str(exc)}, status=status)
        return Response(outcome._asdict())


class HealthView(JSONView):
    """The health check for load balancers: whether this process can take browsers.

    Answers 200, or 503 if the transport's `health` is False, as that of `ChannelsTransport` is
    while the process is shutting down, cannot receive from the channel layer, or gets no answer
    from the store. Staff also get the transport's `stats`.
    """

    permission_classes = (AllowAny,)
    throttle_classes = ()
    schema = None  # it is not part of the project's API

    def get(self, request: Request, alias: str = DEFAULT_ALIAS) -> Response:
        if alias not in transports:
            raise Http404(f"There is no transport {alias!r}.")
        # A disabled one has no clients, and perhaps cannot be created.
        transport = transports[alias] if configs[alias].enabled else None
        is_healthy, stats = True, {}
        if isinstance(transport, BaseTransport):  # others need not have these
            is_healthy, stats = transport.health(), transport.stats()
        body: dict[str, Any] = {"status": "ok" if is_healthy else "unavailable"}
        if getattr(request.user, "is_staff", False):
            body = {**stats, **body}
        return Response(body, status=200 if is_healthy else 503)


class LivenessView(JSONView):
    """The liveness check for process managers: whether this process still answers.

    Answers 200, also while Redis is down or the process is shutting down, which a restart would not
    fix.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    schema = None  # it is not part of the project's API

    def get(self, request: Request) -> Response:
        return Response({"status": "ok"})


def get_transport(alias: str, ability: str) -> Any:
    """Return the transport of an alias; raise Http404 if it is missing or lacks the ability."""
    if alias not in transports:
        raise Http404(f"There is no transport {alias!r}.")
    try:
        transport: Any = transports[alias]
    except InvalidTransport as exc:
        if configs[alias].enabled:
            raise
        raise Http404(f"The transport {alias!r} is disabled.") from exc
    if not getattr(transport, ability, False):
        raise Http404(f"{transport!r} does not have {ability}.")
    return transport


def _respond(answer: Answer) -> HttpResponseBase:
    """Return a response that is not cached, since it may hold a token."""
    response: HttpResponseBase
    if isinstance(answer.body, str):
        response = HttpResponse(answer.body, answer.content_type, status=answer.status)
    else:
        response = Response(answer.body, status=answer.status)
    response.headers["Cache-Control"] = "no-store"
    return response


def _read_body(request: Request) -> bytes:
    """Return the raw body, whose bytes are signed."""
    try:
        body: bytes = request._request.body
    except (RequestDataTooBig, UnreadablePostError) as exc:
        raise InvalidRequest("The body is too large or incomplete.") from exc
    return body


def _posted(request: Request) -> Any:
    if not hasattr(request.data, "get"):
        raise InvalidRequest("Expected an object.")
    return request.data
