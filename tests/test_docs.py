"""What the README and the documentation show is true: it runs, and what it names is there."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime_drf import checks, conf, exceptions
from realtime_drf.backends import RealtimeBackend
from realtime_drf.testing import Outbox, RealtimeClient
from realtime_drf.testing.contract.harness import Harness
from realtime_drf.transports.base import BaseTransport
from realtime_drf.transports.pusher import address
from tests import capabilities, option_tables
from tests.pages import PAGES, PROJECT_PAGES, ROOT, read_blocks, read_prose, slugs
from tests.processes import environment, run_server
from tests.services.policy import REQUIRE_VARIABLE

pytestmark = pytest.mark.end_to_end

DOCS = ROOT / "docs"
PACKAGE = ROOT / "realtime_drf"
SETTINGS = "mysite/settings.py"
PROJECTS = [page for page in PAGES if page.name in PROJECT_PAGES]
STORIES = [page for page in PAGES if page not in PROJECTS]
WITH_PYTHON = [
    page for page in STORIES if any(block.language == "python" for block in read_blocks(page))
]
WITH_TESTS = [
    page
    for page in PAGES
    if any(Path(block.file or "").name.startswith("test_") for block in read_blocks(page))
]
LANGUAGES = {"console", "html", "ini", "js", "jsx", "nginx", "python", "text", "ts", "vue"}
HELPERS_OF_CLAUSES = {
    *("miss", "skip", "require", "transport", "try_examples", "channel", "kinds"),
    *("arrivals", "send_all", "wait_for"),
}
DIRECTIVES = {"{eval-rst}", "{toctree}", "{include} ../CHANGELOG.md"}


def by_name(page: Path) -> str:
    return page.name


def run(*args: str, cwd: Path) -> str:
    """Run Python in a project with warnings as errors; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *args],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def write_files(page: Path, project: Path) -> None:
    """Write the files that a page shows, but for settings."""
    for block in read_blocks(page):
        if block.file is not None and block.file != SETTINGS:
            (project / block.file).write_text(block.text)


def add_settings(page: Path, project: Path) -> None:
    """Add the settings that a page shows to those that Django made."""
    for block in read_blocks(page):
        if block.file == SETTINGS:
            with (project / SETTINGS).open("a") as file:
                file.write(block.text)


def commands(page: Path) -> Iterator[str]:
    for block in read_blocks(page):
        if block.language == "console":
            for line in block.text.splitlines():
                assert line.startswith("$ "), f"{block}: a line without a prompt"
                yield from line[2:].split(" && ")


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the project of the quickstart, with its own commands, up to the server."""
    page = DOCS / "quickstart.md"
    project = tmp_path_factory.mktemp("mysite")
    written = False
    for command in commands(page):
        words = shlex.split(command)
        if words[:2] == ["django-admin", "startproject"]:
            run("-m", "django", *words[1:], cwd=project)
        elif words[0] == "python" and words[2] != "runserver":
            if words[2] != "startapp" and not written:
                write_files(page, project)
                add_settings(page, project)
                written = True
            run(*words[1:], cwd=project)
    return project


@pytest.fixture
def project(quickstart: Path, tmp_path: Path) -> Path:
    """Copy the project of the quickstart, so that a page may change it."""
    return Path(shutil.copytree(quickstart, tmp_path / "mysite"))


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("page", PROJECTS, ids=by_name)
def test_project_of_page_prints_the_event_that_it_promises(page: Path, project: Path) -> None:
    write_files(page, project)
    assert "no issues" in run("manage.py", "check", cwd=project)
    curl = next(line for line in commands(DOCS / "quickstart.md") if line.startswith("curl"))
    promised = next(block.text for block in read_blocks(page) if block.language == "text")
    with run_server(project, env=environment()) as server:
        command = shlex.split(curl.replace("127.0.0.1:8000", server.address))
        subprocess.run([*command, "--silent", "--show-error"], check=True, capture_output=True)
        assert server.wait_for("todo.create") == promised.strip()


def test_readme_and_quickstart_show_the_same_settings() -> None:
    first, second = (
        [block.text for block in read_blocks(page) if block.file == SETTINGS] for page in PROJECTS
    )
    assert first == second


@pytest.mark.parametrize("page", [*WITH_PYTHON, ROOT / "README.md"], ids=by_name)
def test_python_of_page_runs(page: Path, project: Path) -> None:
    for transport, modules in (
        ("PusherTransport", ("pusher",)),
        ("AblyTransport", ("ably", "Crypto")),
        ("ChannelsTransport", ("channels", "nacl")),
    ):
        if transport in page.read_text():
            for module in modules:
                pytest.importorskip(module)
    write_files(page, project)
    run("-m", "tests.run_page", str(page), cwd=project)


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
@pytest.mark.skipif(sys.platform == "darwin", reason="its sed is not GNU's")
def test_one_command_moves_a_project_from_drf_model_pusher(tmp_path: Path) -> None:
    seed = ROOT / "tests" / "seed"  # such a project, once it is moved
    [command] = [
        line for line in commands(DOCS / "moving-from-drf_model_pusher.md") if "sed" in line
    ]
    moved = {path.relative_to(seed): path.read_text() for path in seed.rglob("*.py")}
    for path, text in moved.items():
        module = "views" if path.stem == "views" else "backends"
        old = text.replace("realtime_drf.compat", f"drf_model_pusher.{module}")
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(old.replace('"realtime_drf"', '"drf_model_pusher"'))
    for line in ("git init -q", "git add .", "! git grep -q realtime_drf.compat", command):
        subprocess.run(["bash", "-c", line], cwd=tmp_path, check=True)
    for path, text in moved.items():
        # What its docstrings tell of the old library is renamed along.
        assert (tmp_path / path).read_text() == text.replace("drf_model_pusher", "realtime_drf")


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
@pytest.mark.skipif(sys.platform == "darwin", reason="its sed is not GNU's")
def test_that_command_knows_each_way_of_naming_a_module(tmp_path: Path) -> None:
    [command] = [
        line for line in commands(DOCS / "moving-from-drf_model_pusher.md") if "sed" in line
    ]
    spellings = {
        "import drf_model_pusher.backends as x": "import realtime_drf.compat as x",
        "import drf_model_pusher.views": "import realtime_drf.compat",
        "from drf_model_pusher import backends": "from realtime_drf import compat as backends",
        "from drf_model_pusher.views import (": "from realtime_drf.compat import (",
        'patch("drf_model_pusher.backends.PusherBackend.push_change")': (
            'patch("realtime_drf.compat.PusherBackend.push_change")'
        ),
        '["drf_model_pusher.apps.DrfModelPusherConfig"]': '["realtime_drf"]',
        '["drf_model_pusher"]': '["realtime_drf"]',
        "DRF_MODEL_PUSHER_DISABLED = True": "DRF_MODEL_PUSHER_DISABLED = True",
    }
    (tmp_path / "project.py").write_text("\n".join(spellings))
    for line in ("git init -q", "git add .", command):
        subprocess.run(["bash", "-c", line], cwd=tmp_path, check=True)
    moved = (tmp_path / "project.py").read_text().splitlines()
    assert dict(zip(spellings, moved, strict=True)) == spellings


@pytest.mark.parametrize("page", WITH_TESTS, ids=by_name)
def test_tests_of_page_pass(
    page: Path, project: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "REDIS_URL" in page.read_text():
        monkeypatch.setenv("REDIS_URL", request.getfixturevalue("redis").url)
    write_files(page, project)
    files = [block.file for block in read_blocks(page) if block.file and "/test_" in block.file]
    run("-m", "pytest", "--ds=mysite.settings", "-p", "no:cacheprovider", *files, cwd=project)


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_blocks_are_of_a_known_language(page: Path) -> None:
    for block in read_blocks(page):
        assert block.language in LANGUAGES | DIRECTIVES, str(block)
        if block.language == "python":
            block.compile()


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_javascript_parses(tmp_path: Path) -> None:
    for block in (block for page in PAGES for block in read_blocks(page)):
        if block.language == "js":
            file = tmp_path / "block.mjs"
            file.write_text(block.text)
            subprocess.run(["node", "--check", str(file)], check=True)


ASK_FOR_101_CHANNELS = """
const requests = [];
globalThis.document = { cookie: "a=b; csrftoken=secret" };
globalThis.fetch = async (url, { headers, body }) => {
  const { socket_id, channel_names } = JSON.parse(body);
  requests.push([url, headers["X-CSRFToken"], socket_id, channel_names.length]);
  const decide = (auth) => auth.endsWith("7") ? { status: 403 } : { status: 200, data: { auth } };
  const results = Object.fromEntries(channel_names.map((name) => [name, decide(name)]));
  return { ok: channel_names.length > 1, status: 500, json: async () => results };
};
const names = [...Array(101).keys()].map((number) => `private-${number}`);
const answers = await Promise.all(names.map((channelName) => new Promise((resolve) => {
  authorize({ socketId: "1.2", channelName }, (error, data) => resolve([error?.message, data]));
})));
console.log(JSON.stringify({ requests, answers: [answers[6], answers[7], answers[100]] }));
"""


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_javascript_that_collects_channels_asks_for_a_hundred_at_once(tmp_path: Path) -> None:
    [block] = [
        block
        for block in read_blocks(DOCS / "authorization.md")
        if block.language == "js" and "function authorize(" in block.text
    ]
    file = tmp_path / "block.mjs"
    file.write_text(block.text + ASK_FOR_101_CHANNELS)
    done = subprocess.run(["node", str(file)], check=True, capture_output=True, text=True)
    seen = json.loads(done.stdout)
    assert seen["requests"] == [["/realtime/auth/", "secret", "1.2", size] for size in (100, 1)]
    assert seen["answers"] == [
        [None, {"auth": "private-6"}],
        ["private-7: 403", None],
        ["status 500", None],
    ]


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", read_prose(page)):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), target
        assert linked.is_relative_to(ROOT), target
        assert not anchor or anchor in slugs(linked), target


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = next(
        block.text for block in read_blocks(DOCS / "index.md") if block.language == "{toctree}"
    )
    listed = set(contents.splitlines())
    assert {page.stem for page in DOCS.glob("*.md")} - {"index"} <= listed


def test_installed_extras_exist() -> None:
    extras = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]
    for page in PAGES:
        for extra in re.findall(r"realtime-drf\[([\w-]+)\]", page.read_text()):
            assert re.search(rf"^{extra} = ", extras, re.MULTILINE), extra


def test_settings_that_are_named_exist() -> None:
    sources = [source_of(conf), source_of(address)]
    known = set(re.findall(r"\b(?:REALTIME|PUSHER|DRF_MODEL_PUSHER)_\w+", "".join(sources)))
    known.add(REQUIRE_VARIABLE)  # of the tests
    for page in PAGES:
        text = page.read_text()
        assert set(re.findall(r"\b(?:REALTIME|PUSHER|DRF_MODEL_PUSHER)_\w+", text)) <= known, page


def test_settings_are_all_documented() -> None:
    page = (DOCS / "settings.md").read_text()
    settings = set(re.findall(r'"((?:REALTIME|PUSHER|DRF_MODEL_PUSHER)_\w+)"', source_of(conf)))
    for name in settings | set(conf._KEYS):
        assert f"`{name}`" in page or f"\n## {name}\n" in page, name


def test_checks_are_all_documented() -> None:
    page = (DOCS / "settings.md").read_text()
    ids = set(re.findall(r"^([EW]\d{3}) ", checks.__doc__ or "", re.MULTILINE))
    assert ids == set(re.findall(r"realtime_drf\.([EW]\d{3})", page))
    text = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert ids == set(re.findall(r"\bid=f?\"(?:\{TAG\}|realtime_drf)\.([EW]\d{3})", text))


@pytest.mark.parametrize("transport", option_tables.PAGES, ids=lambda cls: cls.__name__)
def test_options_are_documented(transport: type[BaseTransport]) -> None:
    assert option_tables.read_table(transport) == option_tables.make_table(transport), (
        "run: python -m tests.option_tables"
    )


def test_each_transport_has_a_table_of_options() -> None:
    assert set(option_tables.PAGES) == set(capabilities.find_transports())


def test_what_transports_can_is_published() -> None:
    text = capabilities.PAGE.read_text()
    table = text.partition(capabilities.BEGIN)[2].partition(capabilities.END)[0]
    assert table.strip() == capabilities.make_table(), "run: python -m tests.capabilities"


def test_hooks_of_the_contract_are_documented() -> None:
    page = (DOCS / "writing-a-transport.md").read_text()
    hooks = {
        name
        for name in vars(Harness)
        if not name.startswith("_") and name not in HELPERS_OF_CLAUSES
    }
    assert {name for name in hooks if f"`{name}" not in page} == set()


def test_the_outbox_and_its_client_are_documented() -> None:
    page = (DOCS / "testing.md").read_text()
    names = {*vars(Outbox), *vars(RealtimeClient)} - {"record_call", "sent"}
    public = {name for name in names if not name.startswith("_")}
    assert {name for name in public if name not in page} == set()


def test_hooks_of_backends_are_documented() -> None:
    page = "".join((DOCS / f"{name}.md").read_text() for name in ("backends-and-views", "rows"))
    asked = {  # not to be overridden
        *("build_channels", "get_channel_columns", "get_data_of", "get_events"),
        *("get_fallback_event", "get_model", "handles", "label", "make_event"),
        *("make_key_data", "observes", "rendering"),
    }
    hooks = {name for name in vars(RealtimeBackend) if not name.startswith("_")} - asked
    assert {name for name in hooks if name not in page} == set()


def test_abilities_and_errors_of_transports_are_documented() -> None:
    page = (DOCS / "writing-a-transport.md").read_text()
    assert {name for name in vars(BaseTransport) if name.startswith("supports_")} <= set(
        re.findall(r"`(supports_\w+)`", page)
    )
    errors = (DOCS / "publishing.md").read_text()
    tree = ast.parse(source_of(exceptions))
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    configuration = {"InvalidTransport", "TransportDoesNotExist", "MissingDependency"}
    assert {
        name for name in names - configuration - {"RealtimeError"} if f"`{name}`" not in errors
    } == set()


def read_reference() -> dict[str, set[str]]:
    """Return the public names of each module as the reference lists them."""
    text = (DOCS / "reference.md").read_text()
    section = text.partition("## realtime_drf\n")[2].partition("```")[0]
    listed = {"realtime_drf": set(re.findall(r"`(\w+)`", section)) - {"realtime_drf"}}
    for module, options in re.findall(r"automodule:: ([\w.]+)((?:\n +:.+)*)", text):
        assert ":members: " not in options, f"{module}: its __all__ says which members"
        if ":members:" in options:
            listed[module] = set(importlib.import_module(module).__all__)
    for path in re.findall(r"auto(?:class|data|function):: ([\w.]+)", text):
        module, _, name = path.rpartition(".")
        listed.setdefault(module, set()).add(name)
    return listed


def test_the_reference_lists_what_is_public() -> None:
    for module, names in read_reference().items():
        assert names == set(importlib.import_module(module).__all__), module


def test_every_public_module_is_in_the_reference() -> None:
    for path in PACKAGE.rglob("*.py"):
        if re.search(r"^__all__ = ", path.read_text(), re.MULTILINE):
            parts = path.relative_to(ROOT).with_suffix("").parts
            module = ".".join(part for part in parts if part != "__init__")
            if module != "realtime_drf.testing.contract":  # is imported from realtime_drf.testing
                assert module in read_reference(), module


def test_what_is_public_has_a_docstring() -> None:
    """Sphinx leaves out members without one."""
    text = (DOCS / "reference.md").read_text()
    for module, names in read_reference().items():
        source = source_of(importlib.import_module(module))
        for name in names:
            value = getattr(importlib.import_module(module), name)
            if inspect.isroutine(value) or isinstance(value, type):
                described = bool(value.__doc__)
            else:
                described = (
                    f"autodata:: {module}.{name}\n" in text
                    or re.search(rf'^{name}\b.* = .*\n"""', source, re.MULTILINE) is not None
                    or name in (importlib.import_module(module).__doc__ or "")
                )
            assert described, f"{module}.{name}"


def test_what_users_import_is_public() -> None:
    sources = {str(path): path.read_text() for path in (ROOT / "example").rglob("*.py")}
    for page in PAGES:
        for block in read_blocks(page):
            if block.language == "python" and not block.hidden:
                sources[str(block)] = block.text
    public = read_reference()
    for where, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("realtime_drf"):
                names = {alias.name for alias in node.names}
                assert names <= public.get(node.module or "", set()), f"{where}: {node.module}"
        for path in re.findall(r'"(realtime_drf\.[\w.]+\.[A-Z]\w+)"', source):
            module, _, name = path.rpartition(".")
            assert name in public.get(module, ()), f"{where}: {path}"


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_has_the_targets_that_are_named() -> None:
    named = {
        target
        for page in PAGES
        for target in re.findall(r"(?:^\$|`)\s?make ([\w-]+)", page.read_text(), re.MULTILINE)
    }
    assert {"demo", "test", "docs"} <= named
    for target in named | {"lint", "types", "check", "clean", "help"}:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def source_of(module: object) -> str:
    return inspect.getsource(module)  # type: ignore[arg-type]
