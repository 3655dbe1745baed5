// The page: puts the board, the live connection and the elements together.

import type { PresenceChannel } from "pusher-js";
import type { AnyClient } from "realtime-drf";
import { createPusher, type PusherWithFetch } from "realtime-drf/pusher";
import { Api, type Config, type Person } from "./api.ts";
import { Board } from "./board.ts";
import { find, make, placeAt } from "./dom.ts";
import { People, colourOf, makeChoice, makeWindowLink, showIdentities } from "./people.ts";
import type { List, Todo } from "./realtime.ts";
import { View } from "./view.ts";

const STATES = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  offline: "Offline",
  plain: "Not live",
};
const PATIENCE = 10_000; // milliseconds for pusher-js to load
const NOT_LIVE: AnyClient = { subscribe: () => () => {}, getStatus: () => "disconnected", onStatus: () => () => {} };

const config: Config = JSON.parse(find("#config").textContent!);
const names = new Map(config.people.map(({ id, name }) => [Number(id), name]));
const api = new Api(config.urls, () => become());
const people = new People();
const view = new View({ add, change, remove, removeList });
let board: Board | undefined;
let pusher: PusherWithFetch | undefined;
let obstacle = ""; // why this page is not live, and will not be
let shown: { lists: Map<number, List>; todos: Map<number, Todo> } | undefined;
let isDue = false;

// What people do: the response is applied to the lists, which do not receive the event

async function attempt<T>(ask: () => Promise<T>, apply?: (answer: T) => void): Promise<boolean> {
  try {
    const answer = await ask();
    apply?.(answer);
    return true;
  } catch (error) {
    complain(error);
    return false;
  } finally {
    render(false); // after a failure too: a box that was ticked is no longer
  }
}

function add(list: number, title: string): Promise<boolean> {
  const ask = () => api.ask<Todo>("POST", config.urls.todos, { list, title });
  return attempt(ask, (todo) => board!.applyToTodos("create", todo));
}

function change(id: number, changes: object): Promise<boolean> {
  const ask = () => api.ask<Todo>("PATCH", `${config.urls.todos}${id}/`, changes);
  return attempt(ask, (todo) => board!.applyToTodos("update", todo));
}

function remove(id: number): Promise<boolean> {
  const ask = () => api.ask("DELETE", `${config.urls.todos}${id}/`);
  // Newer than any event that is on its way.
  return attempt(ask, () => board!.applyToTodos("delete", { id, revision: Infinity }));
}

async function removeList({ id, name }: List): Promise<void> {
  if (!confirm(`Delete “${name}”, and all that is in it?`)) return;
  const ask = () => api.ask("DELETE", `${config.urls.lists}${id}/`);
  await attempt(ask, () => board!.applyToLists("delete", { id }));
}

// Showing the board, and news of what others have changed

function render(isNews = true): void {
  isDue = false;
  if (!board?.isReady) return;
  const before = shown;
  shown = {
    lists: new Map(board.lists.map((list) => [list.id, list])),
    todos: new Map(board.todos.map((todo) => [todo.id, todo])),
  };
  view.render(board, nameOf);
  if (before && isNews) report(before, shown);
}

// Events of one change, such as a move between two lists, are shown together.
function renderSoon(): void {
  if (!isDue) queueMicrotask(() => isDue && render());
  isDue = true;
}

const nameOf = (id: number) => (String(id) === api.me?.id ? "you" : (names.get(id) ?? "somebody"));

function report(before: NonNullable<typeof shown>, after: NonNullable<typeof shown>): void {
  for (const [id, todo] of after.todos) {
    const was = before.todos.get(id);
    const isSame = was && JSON.stringify(was) === JSON.stringify(todo);
    if (isSame || !before.lists.has(todo.list)) continue;
    view.highlight(id);
    say(describe(todo, was, after.lists.get(todo.list)!.name));
  }
  for (const [id, { title, list }] of before.todos) {
    if (!after.todos.has(id) && after.lists.has(list)) say(`“${title}” is gone`);
  }
  for (const [id, { name }] of after.lists) if (!before.lists.has(id)) say(`A new list: ${name}`);
  for (const [id, { name }] of before.lists) if (!after.lists.has(id)) say(`The list ${name} is gone`);
}

function describe(todo: Todo, was: Todo | undefined, list: string): string {
  const { by, title, done } = todo;
  const who = by || "Somebody";
  if (!was) return `${who} added “${title}” to ${list}`;
  if (was.list !== todo.list) return `${who} moved “${title}” to ${list}`;
  if (was.done !== done) return `${who} ${done ? "ticked off" : "reopened"} “${title}”`;
  if (was.title !== title) return `${who} changed “${was.title}” to “${title}”`;
  return was.by === by && was.revision === todo.revision ? "" : `${who} moved “${title}”`;
}

function say(text: string, className = ""): void {
  if (!text) return;
  const line = make("span", { className }, text);
  line.addEventListener("animationend", () => line.remove());
  find("#news").replaceChildren(line);
}

const complain = (error: unknown) => say((error as Error).message, "problem");

function showState(state: keyof typeof STATES, reason = ""): void {
  document.documentElement.dataset.state = state;
  find("#state span").textContent = STATES[state];
  showNotice(reason);
}

function showNotice(reason = ""): void {
  const { state } = document.documentElement.dataset;
  const notice = find("#notice");
  const text = {
    plain: `${obstacle} The board works all the same, but what others do shows when you reload.`,
    offline: `${reason ? `${reason}.` : "This window is offline."} What others do does not show.`,
    reconnecting: "The connection is gone. What others do meanwhile is caught up with once it is back.",
  }[state!];
  const isAlone = state === "live" && people.members.length === 1;
  if (text) notice.textContent = text;
  else if (isAlone) {
    const other = config.people.find(({ id }) => id !== api.me?.id)!;
    const link = makeWindowLink(other, `Open a second window as ${other.name}`);
    notice.replaceChildren("Only you are here. ", link, " and change something in either.");
  }
  notice.hidden = !text && !isAlone;
}

function showPeople(members: Person[]): void {
  const { come, left } = people.show(members, api.me!);
  if (come.length === 1 && come[0].id !== api.me!.id) say(`${come[0].name} is here`);
  if (left.length === 1 && left[0].id !== api.me!.id) say(`${left[0].name} has left`);
  showNotice();
}

function showMe(): void {
  const me = api.me!;
  find("#my-name").textContent = me.name;
  showIdentities(config.people, me, become);
  people.members = [];
  people.show([me], me);
  find("#me").className = `me ${colourOf(me)}`;
  find("#new-list").hidden = me.guest;
  find("#for-guests").hidden = !me.guest;
  const others = config.people.filter(({ id }) => id !== me.id);
  find("#new-list-members").replaceChildren(
    ...others.map(({ id, name }) =>
      make("label", {}, make("input", { type: "checkbox", name: "members", value: id }), name),
    ),
  );
}

// Starting, and starting again as another user

function connect({ key, options }: NonNullable<Config["live"]>): PusherWithFetch {
  const made = createPusher(key, "/realtime/", { ...options, headers: api.headers });
  let wasLive = false;
  let reason = "";
  const showConnection = (state: string) => {
    if (state === "connected") [wasLive, reason] = [true, ""];
    if (state === "connected") showState("live");
    else if (/disconnected|failed/.test(state) || (state === "unavailable" && !navigator.onLine)) {
      showState("offline", reason);
    } else showState(wasLive || state === "unavailable" ? "reconnecting" : "connecting");
  };
  made.connection.bind("error", ({ error, data = error?.data }: any) => (reason = data?.message ?? ""));
  made.connection.bind("state_change", ({ current }: { current: string }) => showConnection(current));
  showConnection(made.connection.state);
  const channel = made.subscribe("presence-board") as PresenceChannel;
  channel.bind_global((event: string) => {
    if (!/^pusher:(subscription_succeeded|member_)/.test(event)) return;
    const members: Person[] = [];
    channel.members.each(({ id, info }: any) => members.push({ id, name: info.name }));
    showPeople(members);
  });
  return made;
}

async function become(user?: string): Promise<void> {
  find("#who").hidePopover();
  if (await attempt(() => api.become(user))) begin();
}

function begin(): void {
  board?.stop();
  pusher?.connection.unbind();
  pusher?.disconnect();
  shown = undefined;
  showMe();
  pusher = !obstacle && config.live ? connect(config.live) : undefined;
  if (pusher) api.fetch = pusher.fetch;
  else showState("plain");
  board = new Board(pusher ?? NOT_LIVE, api, renderSoon, complain);
}

// Return why the page cannot be live, or nothing; pusher-js has then been loaded.
async function load(): Promise<string> {
  if (!config.live) return `Events go to the ${config.transport}, which reaches no browser.`;
  await new Promise((resolve) => {
    document.head.append(make("script", { src: config.library, onload: resolve, onerror: resolve }));
    setTimeout(resolve, PATIENCE);
  });
  return "Pusher" in window ? "" : `The library pusher-js could not be loaded from ${config.library}.`;
}

async function start(): Promise<void> {
  find("#choices").append(...config.people.map((one) => makeChoice(one, become)));
  find("#who").addEventListener("toggle", ({ newState }) => {
    if (newState === "open") placeAt(find("#who"), find("#me"));
  });
  const form = find<HTMLFormElement>("#new-list");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const data = new FormData(form);
    const wanted = { name: data.get("name"), members: data.getAll("members").map(Number) };
    const ask = () => api.ask<List>("POST", config.urls.lists, wanted);
    if (await attempt(ask, (list) => board!.applyToLists("create", list))) form.reset();
  });
  const loading = load();
  await attempt(() => api.restore());
  if (!api.me) return showState("offline", "The server does not answer: reload to try again");
  obstacle = await loading;
  begin();
}

void start();
