"""A project made of what the documentation shows, and pages that run its JavaScript."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.pages import ROOT, Block, read_blocks
from tests.processes import Server, environment
from tests.services.node import NODE_MODULES
from tests.services.process import LOCALHOST, free_port

DOCS = ROOT / "docs"
API_HOST, APP_HOST = "api.example.localhost", "app.example.localhost"
"""Two hosts of one site; every name below localhost is this machine to a browser."""

SHOWN = {
    "todos/models.py": "quickstart.md",
    "todos/serializers.py": "quickstart.md",
    "todos/views.py": "quickstart.md",
    "todos/pages.py": "browsers.md",
    "mysite/urls.py": "browsers.md",
    "mysite/asgi.py": "channels.md",
}
"""Files of the project, and the page that shows each."""

MORE_SETTINGS = """
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS += ["rest_framework.authtoken"]
REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": [
    "rest_framework.authentication.SessionAuthentication",
    "rest_framework.authentication.TokenAuthentication",
]}
REALTIME_TRANSPORTS["ably"] = {
    "TRANSPORT": "realtime_drf.transports.ably.AblyTransport",
    "OPTIONS": {"key": "app.key:ably-secret"},
}
CORS_ALLOWED_ORIGINS = CSRF_TRUSTED_ORIGINS = ["http://HOST_AND_PORT"]
"""

MORE_POLICIES = """

class ListChannel(TeamChannel):
    pattern = "lists.<int:pk>"
"""

START = """
from django.core.management import call_command
call_command("startproject", "mysite", ".")
call_command("startapp", "todos")
"""

PREPARE = """
from django.core.management import call_command
call_command("makemigrations", "todos", verbosity=0)
call_command("migrate", verbosity=0)
from django.contrib.auth.models import Group, User
from django.test import Client
from rest_framework.authtoken.models import Token
ann = User.objects.create_user("ann")
ann.groups.set([Group.objects.create(pk=5, name="five")])
client = Client()
client.force_login(ann)
print(client.cookies["sessionid"].value, Token.objects.create(user=ann).key)
"""

PAGE = """<!doctype html><title>A page</title><script type="importmap">{"imports": {
  "pusher-js": "data:text/javascript,export default window.Pusher",
  "laravel-echo": "data:text/javascript,export default window.Echo.default ?? window.Echo",
  "@ably/laravel-echo": "data:text/javascript,export default window.Echo.default ?? window.Echo",
  "ably": "data:text/javascript,export const { Realtime, Rest } = window.Ably"
}}</script>"""

LIBRARIES = (
    NODE_MODULES / "pusher-js" / "dist" / "web" / "pusher.js",
    NODE_MODULES / "laravel-echo" / "dist" / "echo.iife.js",
    NODE_MODULES / "ably-2" / "build" / "ably.js",
)

ABLYS_ECHO = (
    NODE_MODULES / "ably" / "build" / "ably.js",
    NODE_MODULES / "@ably" / "laravel-echo" / "dist" / "echo.iife.js",
)


def find_block(page: str, *words: str, language: str = "js") -> Block:
    """Return the one block of a page that has these words."""
    [found] = [
        block
        for block in read_blocks(DOCS / page)
        if block.language == language
        and not block.hidden
        and all(word in block.text for word in words)
    ]
    return found


class PagesSite:
    """The project, served: its port, and as whom a browser may log in."""

    def __init__(self, port: int, session: str, token: str) -> None:
        self.port, self.session, self.token = port, session, token
        self.api, self.app = (f"http://{host}:{port}" for host in (API_HOST, APP_HOST))


@contextmanager
def serve(folder: Path, more: Mapping[str, str] | None = None) -> Iterator[PagesSite]:
    """Make the project, and serve it for as long as the block lasts.

    `more` is text to be added to files of the project.
    """
    port = free_port()
    _run(folder, "-c", START)
    for file, page in SHOWN.items():
        (folder / file).write_text(find_block(page, f"# {file}\n", language="python").text)
    shown = [("quickstart.md", "class TodoBackend"), ("authorization.md", "class BoardChannel")]
    texts = [
        find_block(page, "realtime.py\n", words, language="python").text for page, words in shown
    ]
    (folder / "todos" / "realtime.py").write_text("".join(texts) + MORE_POLICIES)
    templates = folder / "todos" / "templates"
    templates.mkdir()
    (templates / "page.html").write_text(PAGE)
    with (folder / "mysite" / "settings.py").open("a") as settings:
        settings.write(find_block("quickstart.md", "INSTALLED_APPS", language="python").text)
        settings.write(find_block("channels.md", "ASGI_APPLICATION =", language="python").text)
        settings.write(find_block("browsers.md", "corsheaders", language="python").text)
        settings.write(MORE_SETTINGS.replace("HOST_AND_PORT", f"{APP_HOST}:{port}"))
    for file, text in (more or {}).items():
        with (folder / file).open("a") as opened:
            opened.write(text)
    session, token = _run(folder, "manage.py", "shell", "-v", "0", "-c", PREPARE).split()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "mysite.asgi:application", "--port", str(port)],
        cwd=folder,
        env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    server = Server(process, f"{LOCALHOST}:{port}")
    try:
        server.wait_until_ready()
        yield PagesSite(port, session, token)
    finally:
        server.stop()


def _run(folder: Path, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, *args], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
