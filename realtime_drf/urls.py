"""URLs for ``include("realtime_drf.urls")``; those without an alias use the default transport.

Schemas describe only the latter: the others are the same, and would repeat the operation ids.
"""

from __future__ import annotations

from django.urls import path

from realtime_drf import views

app_name = "realtime_drf"

channels = views.ChannelAuthorizationView
users = views.UserAuthenticationView

urlpatterns = [
    path("auth/", channels.as_view(), name="auth"),
    path("auth/<str:alias>/", channels.as_view(schema=None), name="auth"),
    path("user-auth/", users.as_view(), name="user-auth"),
    path("user-auth/<str:alias>/", users.as_view(schema=None), name="user-auth"),
    path("health/", views.HealthView.as_view(), name="health"),
    path("health/live/", views.LivenessView.as_view(), name="liveness"),
    path("health/<str:alias>/", views.HealthView.as_view(), name="health"),
    path("webhooks/", views.WebhookView.as_view(), name="webhooks"),
    path("webhooks/<str:alias>/", views.WebhookView.as_view(), name="webhooks"),
]
