"""The HTTP face: where browsers ask for channels and sign in, and services report.

Views of DRF: the project's authentication and throttles apply, with the scope "realtime". Its
permissions do not: the channels decide.
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
from realtime_drf.webhooks import receive

__all__ = ["ChannelAuthorizationView", "UserAuthenticationView", "WebhookView"]

logger = logging.getLogger("realtime_drf")


class JSONParser(parsers.JSONParser):
    """Refuse JSON that is nested too deeply to be read, as malformed."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().parse(*args, **kwargs)
        except RecursionError as exc:
            raise ParseError("JSON parse error: nested too deeply") from exc


class Negotiation(DefaultContentNegotiation):
    """A choice of parsers that knows a content type which is named twice.

    In a browser, @ably/laravel-echo sets "Content-Type" and ably-js "content-type"; what is sent is
    "application/json, application/json".
    """

    def select_parser(self, request: Request, parsers: Any) -> Any:
        first, _, second = request.content_type.partition(", ")
        if second and first == second:
            return next((each for each in parsers if each.media_type == first), None)
        return super().select_parser(request, parsers)


class JSONView(APIView):
    """Answer JSON, whatever is accepted, and whatever the project's API does about versions."""

    renderer_classes = (renderers.JSONRenderer,)
    versioning_class = None

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return super().perform_content_negotiation(request, force=True)


class TransportView(JSONView, GenericAPIView[Any]):
    """Hand what a client posts to the transport of the URL's alias, and answer what it says."""

    permission_classes = (AllowAny,)
    parser_classes = (parsers.FormParser, parsers.MultiPartParser, JSONParser)
    content_negotiation_class = Negotiation
    throttle_scope = "realtime"

    ability = ""
    """The flag of transports that can answer."""

    def post(self, request: Request, alias: str = DEFAULT_ALIAS) -> HttpResponseBase:
        try:
            answer = self.answer(request, get_transport(alias, self.ability), _posted(request))
        except InvalidRequest as exc:
            raise ParseError(str(exc)) from exc
        return _respond(answer)

    def get(self, request: Request, alias: str = DEFAULT_ALIAS) -> HttpResponseBase:
        """Do the same for clients of services which ask so; it changes nothing.

        Policies see a POST all the same: a permission that goes by the method must not be more
        lenient to a client that chooses GET.
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
        """Return the transport's answer to what a client has sent."""
        raise NotImplementedError


class ChannelAuthorizationView(TransportView):
    """Authorize subscriptions: one channel, or many with a result for each."""

    serializer_class = ChannelAuthorizationSerializer
    ability = "supports_authorization"

    def answer(self, request: Request, transport: Any, data: Any) -> Answer:
        asked = transport.read_authorization(data)
        del data  # a token may be in it, and reports of errors show it
        asked = replace(asked, user_id=get_user_id(request))
        with_users = getattr(transport, "authorizes_user_channels", False)
        decisions = decide(request, asked.channels, with_user_channels=with_users)
        mark_occupied(transport, [each.channel for each in decisions if isinstance(each, Grant)])
        answer: Answer = transport.answer_authorization(asked, decisions)
        return answer


class UserAuthenticationView(TransportView):
    """Sign in the request's user on the client's connection."""

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
    """Take a service's webhooks. Its signature is what lets it in, and nothing of the project's.

    Answers 200 with how many events were handled and ignored, 400 to what is malformed, 401 to what
    is not signed by the service or too old.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    schema = None  # it is no part of the project's API

    def post(self, request: Request, alias: str = DEFAULT_ALIAS) -> Response:
        transport = get_transport(alias, "supports_webhooks")
        try:
            outcome = receive(transport, request.headers, _read_body(request))
        except InvalidRequest as exc:
            logger.warning("A webhook to %r was refused: %s", transport, exc)
            status = 401 if isinstance(exc, InvalidSignature) else 400
            return Response({"detail": str(exc)}, status=status)
        return Response(outcome._asdict())


class HealthView(JSONView):
    """Tell a load balancer whether this process may be sent browsers.

    Answers 200, or 503 while the process is ending, has not joined the channel layer or cannot
    receive from it, or gets no answer of the store. Staff is also told, in ``nodes``, how many
    connections and channels there are, and what got lost.
    """

    permission_classes = (AllowAny,)
    throttle_classes = ()
    schema = None  # it is no part of the project's API

    def get(self, request: Request, alias: str = DEFAULT_ALIAS) -> Response:
        if alias not in transports:
            raise Http404(f"There is no transport {alias!r}.")
        # One that is disabled serves nobody, and perhaps cannot be made.
        transport = transports[alias] if configs[alias].enabled else None
        nodes = list(getattr(transport, "nodes", ()))
        is_healthy = all(node.is_ready for node in nodes)
        body: dict[str, Any] = {"status": "ok" if is_healthy else "unavailable"}
        if getattr(request.user, "is_staff", False):
            body["nodes"] = [node.figures() for node in nodes]
        return Response(body, status=200 if is_healthy else 503)


class LivenessView(JSONView):
    """Tell whatever restarts processes that this one still answers.

    Answers 200, also while Redis is away or the process is ending: a restart would mend neither.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    schema = None  # it is no part of the project's API

    def get(self, request: Request) -> Response:
        return Response({"status": "ok"})


def get_transport(alias: str, ability: str) -> Any:
    """Return the transport of a URL's alias; one that is not there, or not able, is not found."""
    if alias not in transports:
        raise Http404(f"There is no transport {alias!r}.")
    try:
        transport: Any = transports[alias]
    except InvalidTransport as exc:
        if configs[alias].enabled:
            raise
        raise Http404(f"The transport {alias!r} is disabled.") from exc
    if not getattr(transport, ability, False):
        raise Http404(f"{transport!r} has not {ability}.")
    return transport


def _respond(answer: Answer) -> HttpResponseBase:
    """Make a response that nobody keeps, since it may hold a token."""
    response: HttpResponseBase
    if isinstance(answer.body, str):
        response = HttpResponse(answer.body, answer.content_type, status=answer.status)
    else:
        response = Response(answer.body, status=answer.status)
    response.headers["Cache-Control"] = "no-store"
    return response


def _read_body(request: Request) -> bytes:
    """Return the body as it came: the signature is over these bytes."""
    try:
        body: bytes = request._request.body
    except (RequestDataTooBig, UnreadablePostError) as exc:
        raise InvalidRequest("The body is too large, or did not come whole.") from exc
    return body


def _posted(request: Request) -> Any:
    if not hasattr(request.data, "get"):
        raise InvalidRequest("An object is needed.")
    return request.data
