from django.urls import include, path
from example.views import MyModelViewSet, OtherViewSet
from rest_framework.routers import SimpleRouter

router = SimpleRouter()
router.register("mymodels", MyModelViewSet, basename="mymodel")
router.register("others", OtherViewSet)
urlpatterns = [path("", include(router.urls))]
