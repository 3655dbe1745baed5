"""How the example is served: by make demo, and by runserver where daphne is there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.browser.site import SERVE, Site
from tests.example_database import EXAMPLE
from tests.pages import ROOT
from tests.processes import run_server

pytestmark = pytest.mark.end_to_end


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_demo_serves_as_these_tests_do() -> None:
    shown = subprocess.run(
        ["make", "-n", "demo"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert f"python {SERVE} --port 8000\n" in shown.stdout


def test_runserver_of_daphne_serves_it_too(
    make_site: Callable[..., Site], open_window: Callable[..., object]
) -> None:
    pytest.importorskip("playwright")
    pytest.importorskip("channels")
    pytest.importorskip("daphne")
    from playwright.sync_api import expect

    from tests.browser.window import Window

    site = make_site()
    site.stop()
    with run_server(EXAMPLE, env=site.env) as server:
        site.url = f"http://{server.address}/"
        ann, bob = open_window(site, "ann"), open_window(site, "bob")
        assert isinstance(ann, Window)
        assert isinstance(bob, Window)
        for window in (ann, bob):
            window.wait_for_state("Live")
        ann.add("Before the fair", "Tell daphne")
        expect(bob.todo("Tell daphne")).to_be_visible()
