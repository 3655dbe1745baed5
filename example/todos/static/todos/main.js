// The page: puts the board, the live connection and the elements together.

import { Api } from "./api.js";
import { Board } from "./board.js";
import { Live, loadLibrary } from "./live.js";
import { People, makeChoice, showIdentities } from "./people.js";
import { View, placeAt } from "./view.js";

const PRESENCE = "presence-board";
const STATES = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  offline: "Offline",
  plain: "Not live",
};

const config = JSON.parse(document.getElementById("config").textContent);
const api = new Api(config.urls, () => live?.socketId ?? null);
const board = new Board();
const people = new People();
const view = new View(board, { add, change, remove, removeList });
const names = new Map(config.people.map(({ id, name }) => [Number(id), name]));
let live = null;
let obstacle = ""; // why this page is not live, and will not be
let refreshing = null;
let refreshAgain = false;
const library = load();

// What people do: the answer to a request is applied just as an event is

async function attempt(doIt) {
  try {
    await doIt();
    return true;
  } catch (error) {
    say(error.message, "problem");
    render(); // a box that was ticked is no longer
    return false;
  }
}

function add(list, title) {
  return attempt(async () => take("todo.create", await api.addTodo({ list, title })));
}

function change(id, changes) {
  return attempt(async () => take("todo.update", await api.changeTodo(id, changes)));
}

function remove(id) {
  return attempt(async () => {
    await api.deleteTodo(id);
    take("todo.delete", { id });
  });
}

function removeList(id) {
  if (!confirm(`Delete “${board.lists.get(id).name}”, and all that is in it?`)) return null;
  return attempt(async () => {
    await api.deleteList(id);
    take("list.delete", { id });
  });
}

function take(name, data) {
  board.apply(name, data);
  render();
}

// What others do

function receive(name, data, channel) {
  const changed = board.apply(name, data, channel);
  if (!changed) return;
  render();
  if (name.startsWith("todo") && changed.after) view.highlight(data.id);
  const text = describe(name, changed);
  if (text) say(text);
}

function describe(name, { before, after }) {
  const { by, title } = after ?? before;
  const who = by || "Somebody";
  if (name === "list.create" && !before) return `A new list: ${after.name}`;
  if (name === "list.delete") return `The list ${before.name} is gone`;
  if (!name.startsWith("todo")) return "";
  if (!after) return `“${title}” is gone`;
  const where = board.lists.get(after.list)?.name;
  if (!before) return `${who} added “${title}” to ${where}`;
  if (before.list !== after.list) return `${who} moved “${title}” to ${where}`;
  if (before.done !== after.done) return `${who} ${after.done ? "ticked off" : "reopened"} “${title}”`;
  if (before.title !== title) return `${who} changed “${before.title}” to “${title}”`;
  return before.by === by && before.revision === after.revision ? "" : `${who} moved “${title}”`;
}

function say(text, kind = "") {
  const news = document.getElementById("news");
  news.replaceChildren();
  const line = document.createElement("span");
  line.className = kind;
  line.textContent = text;
  line.addEventListener("animationend", () => line.remove());
  news.append(line);
}

// Showing

function render() {
  view.render((id) => (String(id) === api.who?.id ? "you" : (names.get(id) ?? "somebody")));
  if (live) live.follow(channels());
}

function channels() {
  const own = api.who.guest ? [] : [`private-users.${api.who.id}`];
  return [...board.channels(), PRESENCE, ...own];
}

function showState(state, reason = "") {
  document.documentElement.dataset.state = state;
  document.querySelector("#state span").textContent = STATES[state];
  showNotice(reason);
}

function showNotice(reason = "") {
  const { state } = document.documentElement.dataset;
  const notice = document.getElementById("notice");
  const text = {
    plain: `${obstacle} The board works all the same, but what others do shows when you reload.`,
    offline: `${reason ? `${reason}.` : "This window is offline."} What others do does not show.`,
    reconnecting: "The connection is gone. What others do meanwhile is caught up with once it is back.",
  }[state];
  if (text) notice.textContent = text;
  else if (state === "live" && people.members.length === 1) notice.replaceChildren(...invite());
  notice.hidden = !(text || (state === "live" && people.members.length === 1));
}

function invite() {
  const other = config.people.find(({ id }) => id !== api.who.id);
  const link = document.createElement("a");
  [link.href, link.target, link.rel] = [`?as=${other.user}`, "_blank", "noopener"];
  link.textContent = `Open a second window as ${other.name}`;
  return ["Only you are here. ", link, " and change something in either."];
}

function showPeople(members) {
  const { come, left } = people.show(members, api.who);
  if (come.length === 1 && come[0].id !== api.who.id) say(`${come[0].name} is here`);
  if (left.length === 1 && left[0].id !== api.who.id) say(`${left[0].name} has left`);
  showNotice();
}

function showMe() {
  document.getElementById("my-name").textContent = api.who.name;
  showIdentities(config.people, api.who, become);
  people.show([api.who], api.who);
  const flag = people.find(api.who.id);
  document.getElementById("me").className = `me ${flag.className}`.replace("flag", "");
  const form = document.getElementById("new-list");
  form.hidden = api.who.guest;
  document.getElementById("for-guests").hidden = !api.who.guest;
  document.getElementById("new-list-members").replaceChildren(
    ...config.people
      .filter(({ id }) => id !== api.who.id)
      .map(({ id, name }) => {
        const label = document.createElement("label");
        const box = document.createElement("input");
        [box.type, box.name, box.value] = ["checkbox", "members", id];
        label.append(box, name);
        return label;
      }),
  );
}

// Fetch the board; calls that come while it is being fetched are answered by one fetch after it.
async function refresh() {
  if (refreshing) {
    refreshAgain = true;
    return refreshing;
  }
  refreshing = (async () => {
    do {
      refreshAgain = false;
      try {
        await board.refresh(() => api.board());
        render();
      } catch (error) {
        say(error.message, "problem");
      }
    } while (refreshAgain);
    refreshing = null;
  })();
  return refreshing;
}

// Starting, and starting again as another user

function connect() {
  live?.close();
  const server = { authEndpoint: config.urls.auth, headers: () => api.headers() };
  live = new Live(config.live, server, {
    state: showState,
    event: receive,
    // What was missed before the subscription, the first or a later one, is fetched now.
    subscribed: (name) => name !== PRESENCE && refresh(),
    people: showPeople,
  });
  live.follow(channels());
}

async function become(user) {
  document.getElementById("who").hidePopover();
  if (!(await attempt(async () => api.become(user)))) return;
  await begin();
}

async function begin() {
  board.clear();
  people.members = [];
  people.list.replaceChildren();
  live?.close();
  live = null;
  showMe();
  const { who } = api;
  await Promise.all([refresh(), library]);
  if (api.who !== who) return; // somebody else again, meanwhile
  if (obstacle) showState("plain");
  else connect();
}

async function load() {
  if (!config.live) obstacle = `Events go to the ${config.transport}, which reaches no browser.`;
  else if (!(await loadLibrary(config.library))) {
    obstacle = `The library pusher-js could not be loaded from ${config.library}.`;
  }
}

async function start() {
  document.getElementById("choices").append(...config.people.map((one) => makeChoice(one, become)));
  document.getElementById("who").addEventListener("toggle", ({ newState, target }) => {
    if (newState === "open") placeAt(target, document.getElementById("me"));
  });
  const form = document.getElementById("new-list");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const data = new FormData(form);
    attempt(async () => {
      const members = data.getAll("members").map(Number);
      take("list.create", await api.addList({ name: data.get("name"), members }));
      form.reset();
    });
  });
  await attempt(async () => api.restore());
  if (!api.who) return showState("offline", "The server does not answer: reload to try again");
  return begin();
}

start();
