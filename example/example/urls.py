"""URLs of the example; the start page is the API."""

from __future__ import annotations

from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(url="/api/todos/")),
    path("api/", include("todos.urls")),
]
