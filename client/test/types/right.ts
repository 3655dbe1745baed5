// What compiles: each kind of client, answers that the contract types, and answers that say what they are.

import type { Realtime } from "ably";
import type Echo from "laravel-echo";
import type Pusher from "pusher-js";
import { live, type Page } from "realtime-drf";
import { fromAbly } from "realtime-drf/ably";
import { fromEcho } from "realtime-drf/echo";
import { createPusher } from "realtime-drf/pusher";
import * as react from "realtime-drf/react";
import * as vue from "realtime-drf/vue";
import type { LivePusher, Todo } from "./realtime";

declare const pusher: Pusher;
declare const livePusher: LivePusher;
declare const echo: Echo<"pusher">;
declare const ably: Realtime;
declare const id: number;
declare const api: <T>() => Promise<T>;
const json = () => fetch("/api/todos/").then((response) => response.json());

for (const client of [pusher, livePusher, fromEcho(echo), fromAbly(ably), createPusher("key", "/realtime/")]) {
  const list = live(client, `private-lists.${id}`, "todo", {
    fetch: json,
    compare: (a, b) => a.position - b.position,
    matches: (row) => !row.done,
    version: "position",
    onChange: (todos) => todos.map(({ title }) => title.trim()),
  });
  list.answer?.at(0)?.title.trim();
}

const page = live(pusher, `private-lists.${id}`, "todo", {
  fetch: () => api<Page<Todo>>(),
  pageSize: 20,
  onChange: ({ count, results }) => [count, results[0]!.title.trim()],
});
page.answer?.results[0]!.done.valueOf();

const detail = live(pusher, `private-lists.${id}`, "todo", { fetch: () => api<Todo>(), onChange: (todo) => todo.title.trim() });
detail.answer?.title.trim();

// A channel of no contract
live(pusher, "people", "person", {
  fetch: () => api<{ id: string; name: string }[]>(),
  compare: (a, b) => a.name.localeCompare(b.name),
  key: "id",
  onChange: (people) => people[0]!.name.trim(),
});
// One of which the contract does not say what it has
live(pusher, "private-teams.red", "person", { fetch: json, onChange: (people) => people[0].name });
// One that shares its pattern with others, which have no todos
live(pusher, "private-users.ann", "todo", { fetch: json, onChange: (todos) => todos[0]!.title.trim() });
const anything: string = "some-channel";
live(pusher, anything, "person", { fetch: json, onChange: (people) => people[0].name });

export function Component() {
  const { data } = react.useLive(pusher, `private-lists.${id}`, "todo", {
    queryKey: ["todos", id],
    queryFn: json,
    compare: (a, b) => a.position - b.position,
  });
  const paged = react.useLive(pusher, `private-lists.${id}`, "todo", {
    queryKey: ["todos", id, "page"],
    queryFn: () => api<Page<Todo>>(),
    select: ({ count }) => count ?? 0,
  });
  const staff = react.useLive(pusher, "private-staff", "todo", { queryKey: ["staff"], queryFn: json });
  const endless = react.useLiveInfinite(pusher, `private-lists.${id}`, "todo", {
    queryKey: ["endless"],
    queryFn: ({ pageParam }) => api<Page<Todo>>().then((page) => (pageParam.toFixed(), page)),
    initialPageParam: 1,
    getNextPageParam: (last, all) => (last.next ? all.length + 1 : undefined),
    version: "position",
  });
  const people = react.usePresence<{ name: string }>(pusher, "presence-room");
  const status: "connected" | string = react.useConnectionStatus(pusher);
  return [data?.[0]!.title.trim(), paged.data?.toFixed(), staff.data?.[0]!.note.trim(),
    endless.data?.pages[0]!.results[0]!.title.trim(), people[0]?.info?.name.trim(), status];
}

export function setup() {
  const { data } = vue.useLive(pusher, () => `private-lists.${id}` as const, "todo", {
    queryKey: () => ["todos", id],
    queryFn: json,
    compare: (a, b) => a.position - b.position,
  });
  const paged = vue.useLive(pusher, "people", "person", { queryKey: ["page"], queryFn: () => api<Page<{ id: number }>>() });
  const people = vue.usePresence<{ name: string }>(pusher, "presence-room");
  return [data.value?.[0]!.title.trim(), paged.data.value?.results[0]!.id.toFixed(), people.value[0]?.info?.name.trim()];
}
