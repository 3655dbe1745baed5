"""The HTTP face: where browsers ask for channels and sign in, and services report.

Views of DRF: the project's authentication and throttles apply, with the scope "realtime". Its
permissions do not: the channels decide.
"""

from __future__ import annotations

from typing import Any

from django.http import Http404
from rest_framework import parsers, renderers
from rest_framework.exceptions import ParseError
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from realtime_drf.authorization import decide, identify
from realtime_drf.conf import DEFAULT_ALIAS
from realtime_drf.exceptions import InvalidRequest, UnsupportedFeature
from realtime_drf.protocols import Answer
from realtime_drf.serializers import ChannelAuthorizationSerializer, UserAuthenticationSerializer
from realtime_drf.transports import transports


class JSONParser(parsers.JSONParser):
    """Refuse JSON that is nested too deeply to be read, as malformed."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().parse(*args, **kwargs)
        except RecursionError as exc:
            raise ParseError("JSON parse error: nested too deeply") from exc


class TransportView(GenericAPIView[Any]):
    """Hand what a client posts to the transport of the URL's alias, and answer what it says."""

    permission_classes = (AllowAny,)
    parser_classes = (parsers.FormParser, parsers.MultiPartParser, JSONParser)
    renderer_classes = (renderers.JSONRenderer,)
    throttle_scope = "realtime"

    def post(self, request: Request, alias: str = DEFAULT_ALIAS) -> Response:
        try:
            answer = self.answer(request, get_transport(alias))
        except InvalidRequest as exc:
            raise ParseError(str(exc)) from exc
        except UnsupportedFeature as exc:
            raise Http404(str(exc)) from exc
        return Response(answer.body, status=answer.status)

    def answer(self, request: Request, transport: Any) -> Answer:
        """Return the transport's answer."""
        raise NotImplementedError


class ChannelAuthorizationView(TransportView):
    """Authorize subscriptions: one channel, or many with a result for each."""

    serializer_class = ChannelAuthorizationSerializer

    def answer(self, request: Request, transport: Any) -> Answer:
        asked = transport.read_authorization(_posted(request))
        answer: Answer = transport.answer_authorization(asked, decide(request, asked.channels))
        return answer


class UserAuthenticationView(TransportView):
    """Sign in the request's user on the client's connection."""

    serializer_class = UserAuthenticationSerializer

    def answer(self, request: Request, transport: Any) -> Answer:
        socket_id = transport.read_user_authentication(_posted(request))
        identity = identify(request)
        if identity is None:
            return Answer(status=403, body={"error": "Forbidden"})
        answer: Answer = transport.answer_user_authentication(socket_id, identity)
        return answer


def get_transport(alias: str) -> Any:
    """Return the transport of a URL's alias; what is not configured is not found."""
    if alias not in transports:
        raise Http404(f"There is no transport {alias!r}.")
    return transports[alias]


def _posted(request: Request) -> Any:
    if not hasattr(request.data, "get"):
        raise InvalidRequest("An object is needed.")
    return request.data
