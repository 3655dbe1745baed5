"""What clients post and are answered, for schemas; the transports read it by themselves."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class ChannelAuthorizationSerializer(serializers.Serializer[Any]):
    """Describe a request for one channel or many, and the answer for one."""

    socket_id = serializers.CharField(write_only=True, help_text="The id of the connection.")
    channel_name = serializers.CharField(
        write_only=True, required=False, help_text="The channel, if it is one."
    )
    channel_names = serializers.ListField(
        child=serializers.CharField(),
        write_only=True,
        required=False,
        help_text="The channels, if they are many: the answer has a status and data for each.",
    )
    auth = serializers.CharField(read_only=True, help_text="What the service asks for.")
    channel_data = serializers.CharField(
        read_only=True, help_text="As whom: of presence channels only."
    )
    shared_secret = serializers.CharField(
        read_only=True, help_text="The key to the data: of encrypted channels only."
    )


class UserAuthenticationSerializer(serializers.Serializer[Any]):
    """Describe a request to sign in, and its answer."""

    socket_id = serializers.CharField(write_only=True, help_text="The id of the connection.")
    auth = serializers.CharField(read_only=True, help_text="What the service asks for.")
    user_data = serializers.CharField(read_only=True, help_text="As whom, in JSON.")
