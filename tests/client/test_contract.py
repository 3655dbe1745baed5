"""The contract that a project writes types the npm package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from realtime_drf.contract.reading import read_contract
from realtime_drf.contract.typescript import write_typescript
from tests.client import npm
from tests.contract_types.conftest import _only_ours, project  # noqa: F401  fixtures

pytestmark = [pytest.mark.end_to_end, pytest.mark.usefixtures("project")]

USE = """\
import type { Channels as Declared } from "./realtime";
import { live } from "realtime-drf";
import { createPusher } from "realtime-drf/pusher";

declare module "realtime-drf" {
  interface Channels extends Declared {}
}
declare const id: number;
const fetch = async (): Promise<any> => [];
const pusher = createPusher("key", "/realtime/");

live(pusher, `private-shelves.${id}`, "note", {
  fetch,
  compare: (one, other) => one.id - other.id,
  onChange: (notes) => notes.map((note) => note.title.trim()),
});
// @ts-expect-error: no such model on the channel
live(pusher, `private-shelves.${id}`, "seat", { fetch, onChange: () => {} });
// @ts-expect-error: write-only
live(pusher, `private-shelves.${id}`, "note", { fetch, compare: (a) => a.secret, onChange() {} });
"""


@pytest.mark.parametrize("compiler", ["typescript-oldest", "typescript"])
def test_live_lists_have_the_types_of_the_contract(compiler: str, tmp_path: Path) -> None:
    npm.need()
    (tmp_path / "realtime.ts").write_text(write_typescript(read_contract()))
    (tmp_path / "use.ts").write_text(USE)
    (tmp_path / "node_modules").symlink_to(npm.CLIENT / "node_modules")
    types = {name: [str(npm.DIST / "esm" / f"{name}.d.ts")] for name in ("index", "pusher")}
    options = json.loads((npm.CLIENT / "test" / "types" / "tsconfig.json").read_text())
    options["compilerOptions"]["paths"] = {
        "realtime-drf": types["index"],
        "realtime-drf/pusher": types["pusher"],
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps(options))
    npm.run("node", f"node_modules/{compiler}/bin/tsc", "--project", str(tmp_path))
