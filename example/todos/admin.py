"""The admin of lists and todos. What is changed here arrives in the browsers too."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from todos.models import List, Todo
from todos.people import get_name


class TodoInline(admin.TabularInline):
    """The todos of a list, on its page."""

    model = Todo
    fields = ("title", "done")
    extra = 1


@admin.register(List)
class ListAdmin(admin.ModelAdmin):
    """The lists with their members and todos."""

    list_display = ("name", "public")
    filter_horizontal = ("members",)
    inlines = (TodoInline,)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        for each in formset.forms:
            each.instance.by = get_name(request.user)
        super().save_formset(request, form, formset, change)


@admin.register(Todo)
class TodoAdmin(admin.ModelAdmin):
    """The todos of all lists."""

    list_display = ("title", "list", "done", "by")
    list_editable = ("list", "done")
    list_filter = ("list", "done")
    search_fields = ("title",)
    fields = ("list", "title", "done")
    actions = ("mark_as_done",)

    def save_model(self, request: HttpRequest, obj: Todo, form: Any, change: bool) -> None:
        obj.by = get_name(request.user)
        super().save_model(request, obj, form, change)

    @admin.action(description="Mark the selected todos as done", permissions=("change",))
    def mark_as_done(self, request: HttpRequest, queryset: QuerySet[Todo]) -> None:
        queryset.update(done=True, by=get_name(request.user))
