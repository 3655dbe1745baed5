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

SERVER = [
    *["connecting", "subscribing", "client_events", "presence", "bad_frames", "writer", "flushing"],
    *["slow_clients", "ending", "http_api", "http_rules", "http_fuzz", "health", "key_rotation"],
    *["store_failures", "faults", "machine", "fast_path", "pace", "inflow", "lifespan", "reporter"],
]
CLUSTER = ["states", "serial_worker", "layer_faults", "companions", "origins", "prefixes"]
SOURCES = ["rows", "kinds", "views", "edges", "mirror", "costs", "versions"]
PUSHER = "pusher pusher_options pusher_outages pusher_connections pusher_servers pusher_packing"
CONTRACT = ["reading", "schemas", "printing", "documents", "writing", "validating"]
PUSHER_MODULES = ("address", "options", "packing", "session", "transport")
ABLY = "ably ably_auth ably_options ably_outages ably_webhooks ably_connections"


def _paths(folder: str, names: Sequence[str], nearest: str = "") -> str:
    ordered = sorted(names, key=lambda name: not nearest or nearest not in name)
    return " ".join(f"tests/{folder}test_{name}.py" for name in ordered)


FIELDS: dict[str, str] = {
    **{
        module: _paths("", names.split())
        for module, names in {
            "authorization": "authorization authentication object_permissions permissions",
            "backends": "backends publishing mixins payloads",
            "changes": "backends publishing rows",
            "channel_objects": "object_permissions channel_checks",
            "channels": "authorization channel_checks object_permissions",
            "checks/configuration": "configuration occupancy backends",
            "checks/deployment": "deployment_checks",
            "checks/policies": "channel_checks permissions",
            "checks/setup": "setup_checks",
            "commits": "commits publishing commit_machine async_views",
            "compat": "compat",
            "conf": "configuration setup_checks deployment_checks",
            "deadlines": "occupancy_caches occupancy",
            "delivery/handler": "configuration publishing",
            "delivery/sending": "publishing configuration occupancy error_reports",
            "events": "events publishing",
            "hyperlinks": "payloads",
            "instances": "rows mixins payloads backends",
            "logs": "logs occupancy",
            "memberships": "memberships webhooks",
            "mixins": "mixins rows silence shapes async_views backends",
            "names": "names events patterns",
            "options": "options configuration",
            "occupancy/handler": "occupancy",
            "occupancy/knowledge": "occupancy occupancy_caches occupancy_machine",
            "occupancy/prefixes": "occupancy",
            "occupancy/recent": "occupancy occupancy_machine",
            "occupancy/vacancy": "occupancy occupancy_machine",
            "patterns": "patterns authorization channel_checks",
            "permissions": "permissions authorization",
            "preparing": "backends publishing payloads",
            "publishing": "publishing backends async_views",
            "rendering": "events backends payloads",
            "serializing": "serializing payloads backends",
            "silence": "silence",
            "tracebacks": "error_reports",
            "webhooks": "webhooks occupancy memberships",
        }.items()
    },
    **{
        f"transports/{module}": _paths("transports/", names.split())
        for module, names in {
            "base": "base pusher ably channels",
            "environment": "environment",
            "handler": "base pusher_options ably_options",
            "hosts": "pusher_options ably_options",
            "redaction": "redaction",
            "signing": "pusher channels base",
            **{f"pusher/{name}": PUSHER for name in PUSHER_MODULES},
            **{
                f"ably/{name}": ABLY
                for name in (
                    "auth",
                    "credentials",
                    "messages",
                    "names",
                    "network",
                    "options",
                    "packing",
                    "publishing",
                    "rest",
                    "sender",
                    "tokens",
                    "transport",
                    "webhooks",
                )
            },
            "channels": "channels channels_store channels_redis",
        }.items()
    },
    **{
        f"sources/{name}": _paths("sources/", SOURCES)
        for name in (
            *("bulk", "compiled", "connecting", "crowds", "dependencies", "entries", "observing"),
            *("placements", "resolving", "rows", "scopes", "slots"),
        )
    },
    **{
        f"contract/{name}": _paths("contract_types/", CONTRACT)
        for name in ("declared", "places", "printing", "reading", "schemas", "typescript")
    },
    "contract/validating": _paths("contract_types/", ["validating"]),
    "contract/documents": _paths("contract_types/", ["documents"]),
    "management/commands/realtime_contract": _paths("contract_types/", ["command"]),
    "checks/rows": _paths("sources/", ["checks"]),
    "keys": _paths("sources/", ["rows", "kinds"]) + " " + _paths("", ["backends"]),
    "http_connections": _paths("transports/", ["stale_connections", "pusher_connections"]),
    "forks": _paths("server/", ["forks"]),
    "views": _paths("", ["authorization", "authentication", "async_views", "webhooks", "schema"])
    + " tests/server/test_health.py tests/transports/test_ably_auth.py",
    "pusher_protocol/frames": _paths("server/", SERVER, "bad_frames"),
    "pusher_protocol/http_signature": _paths("server/", SERVER, "http_"),
    "pusher_protocol/limits": _paths(
        "server/", ["http_rules", "presence", "features", "client_events"]
    ),
    "pusher_protocol/signatures": "tests/test_authorization.py "
    + _paths("transports/", ["pusher", "channels"])
    + " "
    + _paths("server/", ["http_api", "key_rotation"]),
    "pusher_protocol/user_data": _paths("server/", SERVER, "features"),
    "pusher_protocol/webhooks": "tests/test_webhooks.py",
    **{
        f"cluster/{name}": _paths("cluster/", CLUSTER, nearest) + " " + _paths("server/", SERVER)
        for name, nearest in {
            "backplane": "layer_faults",
            "layer_backplane": "layer_faults",
            "publisher": "serial_worker",
            "sequence": "layer_faults",
            "companions": "companions",
            "last_events": "layer_faults",
            "memory_state": "states",
            "messages": "layer_faults",
            "options": "origins",
            "origins": "origins",
            "redis_connections": "layer_faults",
            "redis_state": "states",
            "serial_worker": "serial_worker",
            "state": "states",
        }.items()
    },
    **{
        f"cluster/{name}": _paths("transports/", ["channels", "channels_store"])
        for name in ("app", "checks")
    },
    "cluster/webhooks/endpoints": _paths("cluster/", ["endpoints"]),
    "cluster/webhooks/queue": _paths("cluster/", ["webhook_queue"])
    + " tests/server/test_webhooks_out.py",
    "cluster/webhooks/sender": _paths("server/", ["webhooks_out", "ending"]),
    **{
        f"server/{name}": _paths("server/", SERVER, nearest)
        for name, nearest in {
            "cache_channels": "features",
            "channel": "presence",
            "connection": "connecting",
            "fast_path": "fast_path",
            "http_api": "http_",
            "http_messages": "http_",
            "hub": "presence",
            "inflow": "inflow",
            "lifespan": "lifespan",
            "node": "subscribing",
            "pace": "pace",
            "paths": "connecting",
            "reporter": "reporter",
            "shutdown": "ending",
            "subscription_counts": "features",
            "subscriptions": "subscribing",
            "users": "features",
            "writer": "writer",
        }.items()
    },
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
