"""What the page on live lists shows for ably-js, run by Node against the example over Ably."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.client import npm
from tests.example_database import EXAMPLE, create_database
from tests.pages import ROOT, read_blocks
from tests.processes import environment, run_server
from tests.services.ably_realtime import AblyRealtime
from tests.services.reporter import Reporter

pytestmark = pytest.mark.end_to_end

pytest.importorskip("ably")

LOCAL_CLIENT = (
    "Ably.Realtime({ endpoint: '127.0.0.1', port: %d, tls: false,"
    " useBinaryProtocol: false, logLevel: 0,"
)
BEFORE = """
import { createInterface } from "node:readline";
createInterface({ input: process.stdin }).on("close", () => process.exit(0));
const report = (details) => process.stdout.write(JSON.stringify(details) + "\\n");
const show = (titles) => report({ type: "shown", titles });
"""

PRESENCE = """
import * as Ably from "ably";
import { fromAbly } from "realtime-drf/ably";
const client = new Ably.Realtime({
  authUrl: "/realtime/auth/",
  authHeaders: { Authorization: "Basic " + btoa("ann:demo") },
  authParams: { channel_names: JSON.stringify(["presence:board"]) },
});
let names = [];
const realtime = fromAbly(client);
realtime.onStatus(() => report({ type: "status", status: realtime.getStatus() }));
const leave = realtime.subscribe("presence-board", {
  members(members) {
    names = members.map(({ info }) => info.name);
    report({ type: "members", names });
  },
});
const channel = client.channels.get("presence:board");
channel.presence.enter({ name: "Ann" }).then(() => channel.presence.update({ name: "Ann Lee" }));
const waiting = setInterval(() => {
  if (names[0] !== "Ann Lee") return;
  clearInterval(waiting);
  channel.on("detached", () => report({ type: "detached" }));
  leave();
}, 10);
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], tuple[str, Reporter]]]:
    """Return a function that runs a page by Node; it returns the API's address, too."""
    npm.need()
    with ExitStack() as stack:
        service = stack.enter_context(AblyRealtime())
        env = environment(
            EXAMPLE_DATABASE=str(tmp_path / "db.sqlite3"),
            REALTIME="ably",
            ABLY_API_KEY=service.key,
            ABLY_ENDPOINT=service.host,
            ABLY_PORT=str(service.port),
            ABLY_TLS="false",
            ABLY_USE_TOKEN_AUTH="true",
        )
        create_database(Path(env["EXAMPLE_DATABASE"]), is_seeded=True)
        server = stack.enter_context(run_server(EXAMPLE, env=env))

        def run(text: str) -> tuple[str, Reporter]:
            url = f"http://{server.address}"
            text = text.replace('"/', f'"{url}/').replace(
                "Ably.Realtime({", LOCAL_CLIENT % service.port
            )
            (tmp_path / "page.js").write_text(BEFORE + text)
            output = tmp_path / "page.cjs"
            npm.run("node", "test/bundle.mjs", str(tmp_path / "page.js"), str(output), "node")
            return url, stack.enter_context(Reporter(["node", str(output)], first={}))

        yield run


def test_a_list_is_live_over_ably(start: Callable[[str], tuple[str, Reporter]]) -> None:
    [text] = [
        block.text
        for block in read_blocks(ROOT / "docs" / "live-lists.md")
        if block.language == "js" and "fromAbly" in block.text
    ]
    url, page = start(text.replace("console.log(", "show("))

    def shown() -> list[list[str]]:
        return [report["titles"] for report in page.seen if report["type"] == "shown"]

    # It is fetched again once the channel is attached; from then on there are events alone.
    page.wait_for(lambda report: len(shown()) == 2)
    data = json.dumps({"title": "tea for all"}).encode()
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{url}/api/todos/", data=data, headers=headers), timeout=30
    ):
        pass
    page.wait_for(lambda report: "tea for all" in (report["titles"] or []))
    assert len(shown()) == 3


def test_who_is_present_at_ably(start: Callable[[str], tuple[str, Reporter]]) -> None:
    _, page = start(PRESENCE)
    page.wait_for(lambda report: report["names"] == ["Ann Lee"])
    page.wait_for(lambda report: report["type"] == "detached")
    statuses = [report["status"] for report in page.seen if report["type"] == "status"]
    assert statuses == ["connecting", "connected"]
