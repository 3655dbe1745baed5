// What must not compile, line by line.

import type Pusher from "pusher-js";
import { live, type Page } from "realtime-drf";
import { createPusher } from "realtime-drf/pusher";
import * as react from "realtime-drf/react";
import * as vue from "realtime-drf/vue";
import type { StaffTodo, Todo } from "./realtime";

declare const pusher: Pusher;
declare const api: <T>() => Promise<T>;
const json = () => fetch("/api/todos/").then((response) => response.json());
const quiet = { onChange: () => {} };

// @ts-expect-error: no connection
live({}, "private-lists.5", "todo", { fetch: json, ...quiet });
// @ts-expect-error: no fetch
live(pusher, "private-lists.5", "todo", quiet);
// @ts-expect-error: a row has no such field
live(pusher, "private-lists.5", "todo", { fetch: json, ...quiet, compare: (a, b) => a.rank - b.rank });
// @ts-expect-error: the version is a field
live(pusher, "private-lists.5", "todo", { fetch: json, ...quiet, version: "revision" });
// @ts-expect-error: the list's rows have no note, which is for staff
live(pusher, "private-lists.5", "todo", { fetch: json, onChange: (todos) => todos[0]!.note });
// @ts-expect-error: a page is not a list
live(pusher, "private-lists.5", "todo", { fetch: () => api<Page<Todo>>(), onChange: (page) => page.map(String) });
// @ts-expect-error: a person has no age
live(pusher, "people", "person", { fetch: () => api<{ id: number }[]>(), onChange: (people) => people[0]!.age });
// @ts-expect-error: the channel has no such model
live(pusher, "private-lists.5", "person", { fetch: json, ...quiet });
// @ts-expect-error: a number is not a key
createPusher(5, "/realtime/");

export function Component() {
  const { data } = react.useLive(pusher, "private-lists.5", "todo", { queryKey: ["todos"], queryFn: json });
  const staff = react.useLive(pusher, "private-staff", "todo", { queryKey: ["staff"], queryFn: () => api<StaffTodo[]>() });
  // @ts-expect-error: which is for staff
  const note = data?.[0]!.note;
  // @ts-expect-error: a query has a key
  react.useLive(pusher, "private-lists.5", "todo", { queryFn: json });
  // @ts-expect-error: a row has no such field
  react.useLive(pusher, "private-lists.5", "todo", { queryKey: ["todos"], queryFn: json, compare: (a, b) => a.rank - b.rank });
  return [note, staff.data?.[0]!.note];
}

export function setup() {
  const { data } = vue.useLive(pusher, "private-lists.5", "todo", { queryKey: ["todos"], queryFn: json });
  // @ts-expect-error: which is for staff
  return data.value?.[0]!.note;
}
