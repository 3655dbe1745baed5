"""URLs of the example; the start page is the API.

At ``realtime/`` clients ask for channels and sign in; at ``accounts/`` people log in and out.
"""

from __future__ import annotations

from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(url="/api/todos/")),
    path("api/", include("todos.urls")),
    path("realtime/", include("realtime_drf.urls")),
    path("accounts/", include("rest_framework.urls")),
]
