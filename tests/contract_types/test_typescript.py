"""The declaration file, read by TypeScript's compilers beside unchanged clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_drf.contract import declare, declared
from realtime_drf.contract.reading import read_contract
from realtime_drf.contract.typescript import write_typescript
from tests.contract_types.project import LobbyChannel, ShelfChannel, define
from tests.services import node
from tests.services.policy import require
from tests.services.typescript import COMPILERS, find_errors

GOOD = """\
import Pusher from "pusher-js";
import type { Channels, EchoEvents, LivePusher, Note, StaffNote } from "./realtime";
import { useEcho } from "@laravel/echo-react";
import { useEcho as useVueEcho } from "@laravel/echo-vue";

declare module "@laravel/echo-react" {
  interface Events extends EchoEvents {}
}
declare module "@laravel/echo-vue" {
  interface Events extends EchoEvents {}
}

declare const id: number;
declare const anything: string;

const pusher: LivePusher = new Pusher("key", { cluster: "eu" });
const shelf = pusher.subscribe(`private-shelves.${id}`);
shelf.bind("note.create", (note) => note.title.length + note.labels.length);
shelf.bind("note.update", (note) => note satisfies Note);
shelf.bind("note.delete", (gone) => gone.id.toFixed() + gone.revision.toFixed());
shelf.bind("note.refresh", () => {}).bind("closing", (data) => data satisfies null);
shelf.bind("pusher:subscription_succeeded", () => {});
shelf.bind("client-typing", (data) => data.who);
shelf.trigger("client-typing", { who: 1 });
shelf.unbind("note.update").unbind_all();
pusher.subscribe("private-shelves.5").bind("note.update", (note) => note.shelf?.toFixed());
pusher.subscribe("private-staff.editors").bind("note.update", (note) => note satisfies StaffNote);
pusher.subscribe("notes").bind("import.finished", (result) => result.errors.join(result.rows + ""));
pusher.subscribe("notes").bind("notes.sorted", (notes) => notes.map((note) => note.title));
pusher.subscribe("seats").bind("seat.delete", (gone) => gone.row + gone.number.toFixed());
pusher.subscribe("cache-parcels").bind("parcel.create", ({ state }) => state satisfies "o" | "c");
pusher.subscribe(`presence-rooms.${anything}.${id}`).members.me;
pusher.subscribe(anything).bind("whatever", (data) => data satisfies unknown);
pusher.channel(`private-shelves.${id}`)?.unbind();
pusher.user.bind("parcel.create", (parcel) => parcel.price.length);
pusher.bind("note.update", (data) => data satisfies unknown);
pusher.connection.bind("connected", () => pusher.connection.socket_id);

const name: keyof Channels = `private-shelves.${id}`;
pusher.unsubscribe(name);

useEcho(`shelves.${id}`, ".note.update", (note) => note.title.length);
useEcho(`shelves.${id}`, [".note.create", ".note.update"], (note) => note.title.length);
useVueEcho(`shelves.${id}`, ".note.update", (note) => note.title.length);
"""

BAD = """\
import Pusher from "pusher-js";
import type { Channels, LivePusher } from "./realtime";
import { useEcho } from "@laravel/echo-react";

declare const id: number;
declare const anything: string;
const pusher: LivePusher = new Pusher("key", { cluster: "eu" });
const shelf = pusher.subscribe(`private-shelves.${id}`);
shelf.bind("note.updated", () => {}); // no such event
shelf.bind("seat.create", () => {}); // an event of another channel
shelf.bind("note.update", (note) => note.is_hidden); // staff alone
shelf.bind("note.update", (note) => note.secret); // write-only
shelf.bind("note.update", (note) => note.shelf.toFixed()); // may be null
shelf.bind("note.delete", (gone) => gone.title); // a key has no more
shelf.bind("note.refresh", (data) => data.id.toFixed()); // empty
pusher.subscribe("private-staff.editors").bind("note.delete", (e) => e.revision); // no version
pusher.subscribe("notes").bind("import.finished", (result) => result.rows.length); // a number
pusher.subscribe("cache-parcels").bind("parcel.update", () => {}); // no action of the backend
pusher.subscribe("cache-parcels").bind("parcel.create", ({ state }) => state === "x"); // no choice
pusher.subscribe(anything).bind("note.update", (note) => note.title); // unknown
pusher.bind("note.update", (note) => note.title); // of any channel
pusher.user.bind("note.update", () => {}); // not for users
const name: keyof Channels = "private-shelves.all"; // not a number
useEcho(`shelves.${id}`, ".note.update", (note) => note.is_hidden); // staff alone
useEcho(`shelves.${id}`, ".note.updated", (note) => note.title); // unknown
"""

WITHIN = """\
import type { LivePusher } from "./within-others";
declare const pusher: LivePusher;
declare const anything: string;
declare const id: number;
pusher.subscribe("notes").bind("note.create", (data) => data.toFixed());
pusher.subscribe(`private-shelves.${id}`).bind("note.update", (data) => data satisfies boolean);
pusher.subscribe(anything).bind("note.sorted", (data) => data.length);
pusher.subscribe(anything).bind("note.create", (data) => data satisfies string | number);
pusher.subscribe(anything).bind("note.create", (data) => data.length); // may be a number
"""

EMPTY = """\
import type { LivePusher } from "./of-nothing";
declare const pusher: LivePusher;
pusher.subscribe("todos").bind("todo.create", (data) => data satisfies unknown);
"""

API = """\
export interface components {
  schemas: {
    Note: { id: number; title: string };
    Parcel: { id: string };
    Seat: { row: string };
    StaffNote: { id: number };
  };
}
"""

IMPORTED = """\
import type { LivePusher } from "./from-api";
declare const pusher: LivePusher;
declare const id: number;
pusher.subscribe(`private-shelves.${id}`).bind("note.update", (note) => note.title.length);
pusher.subscribe(`private-shelves.${id}`).bind("note.update", (note) => note.labels); // not there
pusher.subscribe("seats").bind("seat.create", (seat) => seat.row.length);
"""

pytestmark = pytest.mark.end_to_end


@pytest.fixture(params=COMPILERS)
def compiler(request: pytest.FixtureRequest) -> str:
    require("TypeScript", node.unavailable())
    return str(request.param)


def write_files(folder: Path) -> set[tuple[str, int]]:
    """Write contracts and what uses them; return the lines that must not compile."""

    def write(name: str, types_from: str | None = None) -> None:
        # Not as .d.ts, whose errors are not shown.
        text = write_typescript(read_contract(), types_from=types_from)
        (folder / f"{name}.ts").write_text(text)

    write("of-nothing")
    declare("note.create", "notes", int)
    declare("note.create", LobbyChannel, str)
    declare("note.sorted", LobbyChannel, str)
    declare("note.update", ShelfChannel, bool)
    write("within-others")
    declared._events.clear()
    define()
    write("realtime")
    write("from-api", types_from="./api")
    wrong = set()
    texts = {
        "good": GOOD,
        "bad": BAD,
        "within": WITHIN,
        "empty": EMPTY,
        "api": API,
        "imported": IMPORTED,
    }
    for name, text in texts.items():
        (folder / f"{name}.ts").write_text(text)
        lines = enumerate(text.splitlines(), 1)
        wrong |= {(f"{name}.ts", number) for number, line in lines if " // " in line}
    return wrong


def test_what_is_wrong_is_an_error_and_nothing_else(compiler: str, tmp_path: Path) -> None:
    wrong = write_files(tmp_path)
    found = find_errors(compiler, tmp_path)
    assert found.keys() == wrong, found
