from django.urls import include, path, re_path
from example.views import MyModelViewSet, OtherViewSet
from realtime_drf.compat import ChannelExistenceWebhook
from rest_framework.routers import SimpleRouter

router = SimpleRouter()
router.register("mymodels", MyModelViewSet, basename="mymodel")
router.register("others", OtherViewSet)
urlpatterns = [
    path("", include(router.urls)),
    re_path(
        r"^pusher/channel-existence/$",
        ChannelExistenceWebhook.as_view(),
        name="pusher-channel-existence-webhook",
    ),
]
