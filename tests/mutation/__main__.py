"""Plant faults in the core, one at a time, and print whether a test of their field finds them.

`make mutants SEED=2026 N=100` draws N lines, and for each one of its faults. A fault is planted in
a copy of the working tree, and the tests of its module's field run there until one fails.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tests.mutation.faults import Mutant, find_mutants
from tests.pages import ROOT

T = TypeVar("T")

TRANSPORTS = "tests/transports/test_"
SERVER = [
    "tests/server/test_connecting.py",
    "tests/server/test_subscribing.py",
    "tests/server/test_client_events.py",
    "tests/server/test_presence.py",
    "tests/server/test_bad_frames.py",
    "tests/server/test_outbox.py",
    "tests/server/test_slow_clients.py",
    "tests/server/test_turns.py",
    "tests/server/test_ending.py",
    "tests/server/test_http_api.py",
    "tests/server/test_http_rules.py",
    "tests/server/test_http_fuzz.py",
    "tests/server/test_health.py",
    "tests/server/test_key_rotation.py",
    "tests/server/test_store_failures.py",
    "tests/server/test_layer_faults.py",
    "tests/server/test_faults.py",
    "tests/server/test_machine.py",
    "tests/test_server_shortcut.py",
]
FIELDS: dict[str, str] = {
    "authorization": "tests/test_authorization.py tests/test_authentication.py "
    "tests/test_object_permissions.py tests/test_permissions.py tests/test_memberships.py",
    "backends": "tests/test_backends.py tests/test_publishing.py tests/test_mixins.py",
    "delivery": "tests/test_publishing.py tests/test_configuration.py tests/test_occupancy.py",
    "events": "tests/test_events.py tests/test_publishing.py",
    "mixins": "tests/test_mixins.py tests/test_rows.py tests/test_silence.py tests/test_shapes.py "
    "tests/test_async_views.py tests/test_backends.py",
    "names": "tests/test_names.py tests/test_events.py tests/test_patterns.py",
    "occupancy": "tests/test_occupancy.py tests/test_occupancy_caches.py "
    "tests/test_occupancy_machine.py",
    "patterns": "tests/test_patterns.py tests/test_authorization.py tests/test_channel_checks.py",
    "publishing": "tests/test_publishing.py tests/test_backends.py tests/test_async_views.py "
    "tests/test_commit_machine.py tests/test_occupancy.py",
    "rendering": "tests/test_events.py tests/test_backends.py tests/server/test_bad_frames.py",
    "webhooks": "tests/test_webhooks.py tests/test_occupancy.py",
    "transports/base": f"{TRANSPORTS}base.py {TRANSPORTS}pusher.py "
    "tests/test_memory_and_console.py",
    "transports/packing": f"{TRANSPORTS}packing.py {TRANSPORTS}pusher.py",
    "transports/pusher": f"{TRANSPORTS}pusher.py {TRANSPORTS}pusher_options.py "
    f"{TRANSPORTS}pusher_outages.py {TRANSPORTS}pusher_connections.py",
    "transports/signatures": f"tests/test_authorization.py {TRANSPORTS}pusher.py "
    "tests/server/test_http_api.py tests/server/test_key_rotation.py",
    **{
        f"server/{name}": " ".join(sorted(SERVER, key=lambda path: nearest not in path))
        for name, nearest in {
            "channels": "presence",
            "connection": "connecting",
            "frames": "bad_frames",
            "http_api": "http_",
            "node": "subscribing",
            "outbox": "outbox",
            "roster": "presence",
        }.items()
    },
    "server/webhooks": "tests/server/test_webhooks_out.py tests/server/test_ending.py",
}
"""Modules of the core, and the tests of their fields, in the order in which they run."""


def get_path(root: Path, module: str) -> Path:
    """Return where a module is."""
    return root / "realtime_drf" / f"{module}.py"


def get_field(module: str) -> frozenset[str]:
    """Return the tests of a module's field."""
    return frozenset(FIELDS[module].split())


def draw(seed: int, count: int, modules: Sequence[str]) -> list[Mutant]:
    """Draw lines of the core, and for each one of its faults."""
    lines: dict[tuple[str, int], list[Mutant]] = {}
    for module in modules:
        for mutant in find_mutants(module, get_path(ROOT, module).read_text()):
            lines.setdefault((module, mutant.line), []).append(mutant)
    chance = random.Random(seed)
    drawn = chance.sample(sorted(lines), min(count, len(lines)))
    return [chance.choice(lines[line]) for line in sorted(drawn)]


def describe(mutant: Mutant) -> str:
    """Return the place of a fault, and its line before and after."""
    source = get_path(ROOT, mutant.module).read_text()
    texts = (text.splitlines()[mutant.line - 1] for text in (source, mutant.plant(source)))
    before, after = map(str.strip, texts)
    return f"realtime_drf/{mutant.module}.py:{mutant.line}\n  - {before}\n  + {after}"


class Bench:
    """A copy of the working tree, in which one mutant at a time is tried."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.seed = seed
        listed = subprocess.check_output(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT
        )
        for name in filter(None, listed.decode().split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)

    def is_found(self, mutant: Mutant, timeout: float) -> bool:
        """Tell whether the tests fail, or do not come to an end, once a mutant is planted."""
        path = get_path(self.folder, mutant.module)
        source = path.read_text()
        path.write_text(mutant.plant(source))
        try:
            return not self.passes(mutant.module, timeout)
        finally:
            path.write_text(source)

    def passes(self, module: str, timeout: float) -> bool:
        """Run the tests of a module's field until one fails."""
        options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not end_to_end and not soak"]
        seeds = [f"--hypothesis-seed={self.seed}", "-p", "no:randomly"]  # the nearest come first
        process = subprocess.Popen(
            [sys.executable, "-B", "-m", "pytest", *options, *seeds, *FIELDS[module].split()],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(timeout) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def main() -> None:
    """Plant, try and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--count", type=int, default=100, help="of lines that are drawn")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("modules", nargs="*", metavar="module", help=f"of {', '.join(FIELDS)}")
    given = parser.parse_args()
    mutants = draw(given.seed, given.count, given.modules or list(FIELDS))
    print(f"SEED={given.seed}, {len(mutants)} faults", flush=True)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.workers) as pool:
        benches: queue.SimpleQueue[Bench] = queue.SimpleQueue()
        for number in range(given.workers):
            benches.put(Bench(Path(folder, str(number)), given.seed))

        def on_a_bench(act: Callable[[Bench], T]) -> T:
            bench = benches.get()
            try:
                return act(bench)
            finally:
                benches.put(bench)

        def measure(module: str) -> float:
            """Return how long the tests of a module's field take."""
            started = time.monotonic()
            if not on_a_bench(lambda bench: bench.passes(module, 1200)):
                sys.exit(f"The tests of {module} fail without a fault.")
            return time.monotonic() - started

        def is_found(mutant: Mutant) -> bool:
            limit = 30 + 4 * seconds[get_field(mutant.module)].result()
            return on_a_bench(lambda bench: bench.is_found(mutant, limit))

        # Several modules may have one field. It is measured right before its first mutant.
        seconds: dict[frozenset[str], Future[float]] = {}
        tried: list[Future[bool]] = []
        for mutant in mutants:
            field = get_field(mutant.module)
            if field not in seconds:
                seconds[field] = pool.submit(measure, mutant.module)
            tried.append(pool.submit(is_found, mutant))
        survivors = 0
        try:
            for mutant, attempt in zip(mutants, tried, strict=True):
                found = attempt.result()
                survivors += not found
                print("found" if found else "SURVIVED", describe(mutant), flush=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    print(f"{len(mutants) - survivors} of {len(mutants)} faults were found.")


if __name__ == "__main__":
    main()
