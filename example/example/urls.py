"""URLs of the example: the board, the API, the admin, and what realtime clients ask for.

At ``realtime/`` clients ask for channels and sign in; at ``accounts/`` people log in to the API's
own pages.
"""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from todos.views import board

urlpatterns = [
    path("", board, name="board"),
    path("admin/", admin.site.urls),
    path("api/", include("todos.urls")),
    path("realtime/", include("realtime_drf.urls")),
    path("accounts/", include("rest_framework.urls")),
]
