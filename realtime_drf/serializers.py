"""What clients post and are answered, for schemas; the transports read it by themselves."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class ChannelAuthorizationSerializer(serializers.Serializer[Any]):
    """Describe a request for one channel or many, and the answer for one."""

    socket_id = serializers.CharField(write_only=True)
    channel_name = serializers.CharField(write_only=True, required=False)
    channel_names = serializers.ListField(
        child=serializers.CharField(), write_only=True, required=False
    )
    auth = serializers.CharField(read_only=True)
    channel_data = serializers.CharField(read_only=True)
    shared_secret = serializers.CharField(read_only=True)


class UserAuthenticationSerializer(serializers.Serializer[Any]):
    """Describe a request to sign in, and its answer."""

    socket_id = serializers.CharField(write_only=True)
    auth = serializers.CharField(read_only=True)
    user_data = serializers.CharField(read_only=True)
