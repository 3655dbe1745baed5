"""The package as it ships: built, installed into an empty environment, and used there."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EXTRAS = [
    "",
    "pusher",
    "ably",
    "ably-crypto",
    "channels",
    "contract",
    "redis",
    "tasks",
    "testing",
    "webhooks",
    "all",
]

USE = """
import importlib.metadata
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "realtime_drf"],
    REALTIME_TRANSPORTS={
        "default": {"TRANSPORT": "realtime_drf.transports.memory.MemoryTransport"},
        "pusher": {
            "TRANSPORT": "realtime_drf.transports.pusher.PusherTransport",
            "OPTIONS": {"app_id": "1", "key": "k", "secret": "s"},
        },
    },
)
django.setup()

import realtime_drf
from realtime_drf import Event, publish
from realtime_drf.exceptions import MissingDependency
from realtime_drf.transports import transports

assert importlib.metadata.version("realtime-drf") == realtime_drf.__version__
publish(Event("a", "x", {"n": 1}))
assert len(transports["default"].outbox) == 1
try:
    transports["pusher"]
except MissingDependency as exc:
    print("missing:", exc)
else:
    print("pusher is there")
"""


def run(*command: str | Path, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package, and return the folder of the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--installer", "uv", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture
def wheel(built: Path) -> Iterator[zipfile.ZipFile]:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_it_ships_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert "realtime_drf/py.typed" in names
    tops = {name.split("/")[0].split("-")[0] for name in names}
    assert tops == {"realtime_drf"}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "realtime_drf").rglob("*.py")}
    assert modules <= set(names)


def test_the_source_archive_can_be_read_and_built(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"} <= names
    assert not [name for name in names if name.startswith(("tests", "example", "benchmarks"))]


def test_an_index_would_take_it(built: Path) -> None:
    archives = sorted(built.iterdir())
    assert [path.suffix for path in archives] == [".whl", ".gz"]
    run(sys.executable, "-m", "twine", "check", "--strict", *archives, cwd=built)


def test_its_metadata_names_every_extra(wheel: zipfile.ZipFile) -> None:
    (path,) = [name for name in wheel.namelist() if name.endswith("METADATA")]
    metadata = email.message_from_bytes(wheel.read(path))
    assert metadata["Name"] == "realtime-drf"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert sorted(metadata.get_all("Provides-Extra", [])) == sorted(EXTRAS[1:])


@pytest.mark.parametrize("extra", EXTRAS)
def test_it_works_in_an_empty_environment(built: Path, tmp_path: Path, extra: str) -> None:
    (path,) = built.glob("*.whl")
    uv = [sys.executable, "-m", "uv"]
    run(*uv, "venv", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    requirement = f"realtime-drf[{extra}] @ {path.as_uri()}"
    run(*uv, "pip", "install", "--python", python, requirement, cwd=tmp_path)
    said = run(python, "-W", "error", "-c", USE, cwd=tmp_path).strip()
    if extra in ("pusher", "all"):
        assert said == "pusher is there"
    else:
        assert said.startswith("missing: REALTIME_TRANSPORTS['pusher']: ")
        assert "pip install realtime-drf[pusher]" in said
