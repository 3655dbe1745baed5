"""URLs of the API."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import DefaultRouter

from todos.views import ListViewSet, TodoViewSet, WindowView

router = DefaultRouter()
router.register("lists", ListViewSet)
router.register("todos", TodoViewSet)

urlpatterns = [*router.urls, path("window/", WindowView.as_view(), name="window")]
