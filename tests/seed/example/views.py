from rest_framework.viewsets import ModelViewSet

from example.models import MyModel, Other
from example.serializers import MyModelSerializer, OtherSerializer
from realtime_drf.compat import ModelPusherViewMixin


class MyModelViewSet(ModelPusherViewMixin, ModelViewSet):
    serializer_class = MyModelSerializer

    def get_queryset(self):
        return MyModel.objects.all()

    def get_pusher_channels(self):
        return ["channel_id"]


class OtherViewSet(ModelPusherViewMixin, ModelViewSet):
    queryset = Other.objects.all()
    serializer_class = OtherSerializer
    push_updates = False

    def get_pusher_channels(self):
        return ["others"]
