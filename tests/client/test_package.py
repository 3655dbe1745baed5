"""The npm package: its own tests, under Node, and how large it is."""

from __future__ import annotations

import gzip

import pytest

from tests.client import npm

pytestmark = pytest.mark.end_to_end

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
