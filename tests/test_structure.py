"""What the structure promises and no tool for imports can see."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "realtime_drf"


def test_settings_are_read_in_one_place() -> None:
    readers = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^from django\.conf import", path.read_text(), re.MULTILINE)
    ]
    assert readers == ["conf.py"]


def test_importing_the_package_imports_no_sdk_and_needs_no_settings() -> None:
    code = (
        "import sys, realtime_drf; "
        "sdks = {'pusher', 'ably', 'channels', 'redis', 'rest_framework', 'django'}; "
        "found = sdks & set(sys.modules); "
        "raise SystemExit(str(found) if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_face_is_what_the_package_names() -> None:
    import realtime_drf

    for name in realtime_drf.__all__:
        assert getattr(realtime_drf, name).__doc__
    assert not hasattr(realtime_drf, "nothing")
