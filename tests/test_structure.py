"""What the structure promises and no tool for imports can see."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import realtime_drf

PACKAGE = Path(__file__).parent.parent / "realtime_drf"


def test_settings_are_read_in_one_place() -> None:
    readers = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^from django\.conf import", path.read_text(), re.MULTILINE)
    ]
    assert readers == ["conf.py"]


MAX_LINES = 30
MAX_PARAMETERS = 8
LONG_CONSTRUCTORS = {
    "Node": "it makes the parts of the server, and each is given others of them",
}
"""Classes whose constructors are longer, and why."""


def find_long_constructors() -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for cls in ast.walk(ast.parse(path.read_text())):
            for node in cls.body if isinstance(cls, ast.ClassDef) else ():
                if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                    args = node.args
                    count = len([*args.posonlyargs, *args.args, *args.kwonlyargs]) - 1
                    lines = (node.end_lineno or 0) - node.lineno + 1
                    if count > MAX_PARAMETERS or lines > MAX_LINES:
                        yield cls.name


def test_constructors_are_short_and_take_little() -> None:
    assert set(find_long_constructors()) == set(LONG_CONSTRUCTORS)


def test_importing_the_package_imports_no_sdk_and_needs_no_settings() -> None:
    code = (
        "import sys, realtime_drf; "
        "sdks = {'pusher', 'ably', 'channels', 'redis', 'rest_framework', 'django'}; "
        "found = sdks & set(sys.modules); "
        "raise SystemExit(str(found) if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_face_is_what_the_package_names() -> None:
    for name in realtime_drf.__all__:
        assert getattr(realtime_drf, name).__doc__
    assert not hasattr(realtime_drf, "nothing")


PROJECT = """
import sys
for sdk in ("pusher", "ably", "channels", "redis", "requests", "tenacity", "urllib3", "hypothesis"):
    sys.modules[sdk] = None  # an import of it fails
import django
from django.conf import settings
apps = ["rows", "django.contrib.contenttypes", "django.contrib.auth", "realtime_drf"]
settings.configure(INSTALLED_APPS=apps, SECRET_KEY="x", USE_TZ=True)
django.setup()
"""

MODELS = """
import importlib, sys
names = importlib.import_module("realtime_drf").__all__
for name in [*names, "*"]:  # each as the first that is imported
    for module in [each for each in sys.modules if each.startswith("realtime_drf")]:
        del sys.modules[module]
    exec(f"from realtime_drf import {name}")

from django.db import models

class Row(models.Model):
    title = models.CharField(max_length=9)

class RowBackend(RealtimeBackend):
    model = Row

class RowChannel(PrivateChannel):
    pattern = "rows.<int:pk>"
"""


def test_each_public_name_can_be_imported_while_models_are_loaded_and_without_sdks(
    tmp_path: Path,
) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "__init__.py").touch()
    (tmp_path / "rows" / "models.py").write_text(MODELS)
    subprocess.run([sys.executable, "-W", "error", "-c", PROJECT], cwd=tmp_path, check=True)
