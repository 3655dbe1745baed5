"""URLs for ``include("realtime_drf.urls")``; without an alias they are the default transport's."""

from __future__ import annotations

from django.urls import path

from realtime_drf import views

app_name = "realtime_drf"

urlpatterns = [
    path("auth/", views.ChannelAuthorizationView.as_view(), name="auth"),
    path("auth/<str:alias>/", views.ChannelAuthorizationView.as_view(), name="auth"),
    path("user-auth/", views.UserAuthenticationView.as_view(), name="user-auth"),
    path("user-auth/<str:alias>/", views.UserAuthenticationView.as_view(), name="user-auth"),
    path("webhooks/", views.WebhookView.as_view(), name="webhooks"),
    path("webhooks/<str:alias>/", views.WebhookView.as_view(), name="webhooks"),
]
