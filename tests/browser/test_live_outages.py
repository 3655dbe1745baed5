"""A page of live lists whose connection is cut while rows change outside of any view."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.pages_site import API_HOST, serve
from tests.browser.window import SECONDS
from tests.client import npm
from tests.services.forwarder import Forwarder

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.end_to_end

for module in ("channels", "corsheaders", "playwright"):
    pytest.importorskip(module)

PROJECT = {
    "todos/models.py": """

class Task(models.Model):
    title = models.CharField(max_length=200)
    position = models.IntegerField(default=0)
    done = models.BooleanField(default=False)
    deleted = models.BooleanField(default=False)
    revision = models.PositiveIntegerField(default=0)

    objects = RealtimeManager()
""",
    "todos/serializers.py": """
from todos.models import Task


class TaskSerializer(serializers.ModelSerializer):
    class Meta:
        model = Task
        fields = ["id", "title", "position", "done", "revision"]
""",
    "todos/realtime.py": """
from todos.models import Task
from todos.serializers import TaskSerializer


class TaskBackend(RealtimeBackend):
    serializer_class = TaskSerializer
    channels = ["tasks"]
    version_field = "revision"
    refresh_above = 20

    def get_queryset(self):
        return Task.objects.filter(deleted=False)
""",
    "todos/views.py": """
import random
import threading

from django.http import HttpResponse
from rest_framework.generics import ListAPIView
from rest_framework.pagination import PageNumberPagination

from todos.models import Task
from todos.serializers import TaskSerializer

generator = random.Random(2026)


class Pages(PageNumberPagination):
    page_size = 10


class TaskPages(ListAPIView):
    queryset = Task.objects.filter(deleted=False).order_by("position", "pk")
    serializer_class = TaskSerializer
    pagination_class = Pages


class OpenTasks(ListAPIView):
    queryset = Task.objects.filter(deleted=False, done=False).order_by("position", "pk")
    serializer_class = TaskSerializer


def write():
    tasks = list(Task.objects.order_by("pk"))
    task = generator.choice(tasks) if tasks else Task()
    number = generator.randrange(1000)
    what = generator.randrange(9 if tasks else 2)
    if what < 2:
        Task.objects.create(title=f"task {number}", position=number)
    elif what == 2:
        Task.objects.bulk_create([Task(title="bulk", position=number + i) for i in range(3)])
    elif what == 3:
        Task.objects.filter(position__lt=number).update(title=f"title {number}")
    elif what == 4:
        task.position = number
        task.save(update_fields=["position"])
    elif what == 5:
        task.done = not task.done
        task.save()
    elif what == 6:
        task.deleted = not task.deleted
        task.save()
    elif what == 7:
        task.delete()
    else:
        Task.objects.filter(pk=task.pk).update(done=not task.done)


def work(request, count):
    thread = threading.Thread(target=lambda: [write() for _ in range(count)])
    thread.start()
    thread.join()
    return HttpResponse()
""",
    "mysite/urls.py": """
from todos.views import OpenTasks, TaskPages, work

urlpatterns += [
    path("work/<int:count>/", work),
    path("tasks/", TaskPages.as_view()),
    path("tasks/open/", OpenTasks.as_view()),
]
""",
}

SCRIPT = """
import { live } from "realtime-drf";
import { createPusher } from "realtime-drf/pusher";

const pusher = createPusher("mysite-key", "/realtime/");
const compare = (a, b) => a.position - b.position || a.id - b.id;
window.fetches = window.events = window.drops = 0;
pusher.connection.bind("connecting", () => window.drops++);
pusher.bind_global((name) => { if (name.startsWith("task.")) window.events++; });

function show(url, rules) {
  return live(pusher, "tasks", "task", {
    async fetch() {
      window.fetches++;
      const response = await fetch(url);
      if (!response.ok) throw new Error(`status ${response.status}`);
      return response.json();
    },
    onChange() {}, onError() {}, compare, version: "revision", jitter: 100, ...rules,
  });
}
Object.assign(window, { pusher, lists: [
  show("/tasks/?page=2", {}),
  show("/tasks/", { pageSize: 10 }),
  show("/tasks/open/", { matches: ({ done }) => !done }),
] });
"""

ADDRESSES = ("tasks/?page=2", "tasks/", "tasks/open/")
WRITES, ROUNDS, CUTS = 200, 20, 4


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=SECONDS) as response:
        return bytes(response.read())


def test_lists_are_what_the_api_answers_after_200_writes_and_four_disconnections(
    chromium: Browser, tmp_path: Path
) -> None:
    npm.need()
    project, bundle = tmp_path / "project", tmp_path / "page.js"
    project.mkdir()
    (tmp_path / "source.js").write_text(SCRIPT)
    npm.run("node", "test/bundle.mjs", str(tmp_path / "source.js"), str(bundle))
    with serve(project, PROJECT) as site, Forwarder(site.port) as forwarder:
        direct = f"http://127.0.0.1:{site.port}"
        get(f"{direct}/work/60/")
        page = chromium.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.goto(f"http://{API_HOST}:{forwarder.port}/")
        page.add_script_tag(content=bundle.read_text())
        page.wait_for_function(
            "pusher.channel('tasks')?.subscribed && lists.every((l) => l.answer)"
        )

        cuts = 0
        for round_ in range(1, ROUNDS + 1):
            get(f"{direct}/work/{WRITES // ROUNDS}/")
            if round_ % (ROUNDS // CUTS) == 0:
                cuts += 1
                forwarder.switch(site.port)
                page.wait_for_function("(cuts) => drops >= cuts", arg=cuts)
                get(f"{direct}/work/5/")  # which the page does not receive
                page.wait_for_function("pusher.channel('tasks').subscribed")
        assert cuts == CUTS

        expected: list[Any] = [json.loads(get(f"{direct}/{path}")) for path in ADDRESSES]
        for answer in expected[:2]:  # the links have the address of the page
            for link in ("next", "previous"):
                answer[link] = (answer[link] or "").replace(direct, page.url.rstrip("/")) or None
        page.wait_for_function(
            "(text) => JSON.stringify(lists.map((list) => list.answer)) === text",
            arg=json.dumps(expected, separators=(",", ":"), ensure_ascii=False),
        )
        fetches, events = page.evaluate("[fetches, events]")
        assert fetches <= 100, f"{fetches} fetches of three lists for {events} events"
