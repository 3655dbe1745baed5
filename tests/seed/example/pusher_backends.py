from example.models import Other
from example.serializers import MyModelPrivateSerializer, MyModelSerializer
from realtime_drf.compat import PrivatePusherBackend, PusherBackend


class MyModelPusherBackend(PusherBackend):
    serializer_class = MyModelSerializer


class MyModelPrivatePusherBackend(PrivatePusherBackend):
    serializer_class = MyModelPrivateSerializer


class MyPusherBackend(PusherBackend):
    class Meta:
        abstract = True

    # Override whatever methods here


class OtherBackend(MyPusherBackend):
    class Meta:
        model = Other
