"""Requests of clients and their answers, for schemas; the transports parse requests themselves."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class ChannelAuthorizationSerializer(serializers.Serializer[Any]):
    """A request for one channel or many, and the answer for one."""

    socket_id = serializers.CharField(write_only=True, help_text="The id of the connection.")
    channel_name = serializers.CharField(
        write_only=True, required=False, help_text="The channel, if there is one."
    )
    channel_names = serializers.ListField(
        child=serializers.CharField(),
        write_only=True,
        required=False,
        help_text="The channels, if there are several: the answer has a status and data for each.",
    )
    auth = serializers.CharField(
        read_only=True, help_text="The signature that the service expects."
    )
    channel_data = serializers.CharField(
        read_only=True, help_text="The member, in JSON: for presence channels only."
    )
    shared_secret = serializers.CharField(
        read_only=True, help_text="The key to the data: for encrypted channels only."
    )


class UserAuthenticationSerializer(serializers.Serializer[Any]):
    """A request to sign in, and its answer."""

    socket_id = serializers.CharField(write_only=True, help_text="The id of the connection.")
    auth = serializers.CharField(
        read_only=True, help_text="The signature that the service expects."
    )
    user_data = serializers.CharField(read_only=True, help_text="The user, in JSON.")
