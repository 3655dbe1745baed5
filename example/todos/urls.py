"""URLs of the API."""

from __future__ import annotations

from rest_framework.routers import DefaultRouter

from todos.views import TodoViewSet

router = DefaultRouter()
router.register("todos", TodoViewSet)

urlpatterns = router.urls
