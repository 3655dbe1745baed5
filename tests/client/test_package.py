"""The npm package: its own tests, under Node, and how large it is."""

from __future__ import annotations

import gzip
import json
import re

import pytest

import realtime_drf
from tests.client import npm
from tests.pages import ROOT, read_blocks

pytestmark = pytest.mark.end_to_end

PAGE = ROOT / "docs" / "live-lists.md"
TESTS = sorted(path.name for path in (npm.CLIENT / "test").glob("*.test.mjs"))


@pytest.fixture(scope="module", autouse=True)
def _package() -> None:
    npm.need()


@pytest.mark.parametrize("file", TESTS)
def test_its_own_tests_pass(file: str) -> None:
    npm.run("node", "--test", f"test/{file}")


CORE = "./tracking.js ./clients.js"
REACT = "react @tanstack/react-query"


@pytest.mark.parametrize(
    ("module", "external", "limit"),
    [("index", "", 2048), ("react", f"{REACT} {CORE}", 1024), ("react", REACT, 3072)],
)
def test_it_is_small(module: str, external: str, limit: int) -> None:
    """Minified and compressed, without the libraries that a page has anyway."""
    bundle = npm.run(
        *("node_modules/.bin/esbuild", f"dist/esm/{module}.js", "--bundle", "--minify"),
        *("--format=esm", "--log-level=error"),
        *(f"--external:{name}" for name in external.split()),
    )
    assert len(gzip.compress(bundle.encode())) <= limit


@pytest.mark.parametrize("compiler", ["typescript-oldest", "typescript"])
def test_what_is_right_compiles_and_what_is_wrong_does_not(compiler: str) -> None:
    """Each wrong line has a comment that is an error itself where the line compiles."""
    npm.run("node", f"node_modules/{compiler}/bin/tsc", "--project", "test/types")


def test_the_page_shows_how_the_contract_gets_there() -> None:
    [shown] = [block.text for block in read_blocks(PAGE) if block.language == "ts"]
    assert shown == (npm.CLIENT / "test" / "types" / "contract.ts").read_text()


def test_all_options_are_documented() -> None:
    sources = "".join(
        (npm.CLIENT / "src" / f"{name}.ts").read_text() for name in ("answers", "tracking")
    )
    options = set(re.findall(r"^  (\w+)\?: ", sources, re.MULTILINE)) - {"count"}
    table = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert options == set(table)


@pytest.mark.parametrize("module", ["", "/echo", "/ably", "/pusher", "/react", "/vue"])
def test_both_kinds_of_modules_have_the_same_names(module: str) -> None:
    script = (
        "import { createRequire } from 'node:module';"
        f"const required = createRequire(process.cwd() + '/a.js')('realtime-drf{module}');"
        f"const imported = await import('realtime-drf{module}');"
        "console.log(JSON.stringify([imported, required].map((all) => Object.keys(all).sort())));"
    )
    imported, required = json.loads(npm.run("node", "--input-type=module", "-e", script))
    assert imported == required
    assert imported


def test_the_versions_of_both_packages_are_the_same() -> None:
    package = json.loads((npm.CLIENT / "package.json").read_text())
    assert package["version"] == realtime_drf.__version__
    assert "dependencies" not in package
