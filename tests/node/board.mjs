// The live lists of the example's board, fed in orders that a network may bring about.

import { createServer } from "../../example/node_modules/vite/dist/node/index.js";

const frontend = new URL("../../example/frontend/", import.meta.url).pathname;
const vite = await createServer({
  configFile: `${frontend}vite.config.ts`,
  root: frontend,
  appType: "custom",
  logLevel: "error",
  server: { middlewareMode: true, watch: null, ws: false },
});
const { Board } = await vite.ssrLoadModule("/board.ts");

const lists = [
  { id: 1, name: "Open", public: true, members: [] },
  { id: 2, name: "Secret", public: false, members: [1] },
];

function todo(id, changes = {}) {
  return { id, list: 1, title: "a", position: id, revision: 0, ...changes };
}

const until = async (condition) => {
  for (const end = Date.now() + 20_000; !condition(); ) {
    if (Date.now() > end) throw new Error(`Never: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve));
  }
};

// A board of user 1, with its server and its connection.
async function makeBoard(...todos) {
  const subscriptions = new Set();
  const client = {
    subscribe(channel, listener) {
      const subscription = { channel, listener };
      subscriptions.add(subscription);
      return () => subscriptions.delete(subscription);
    },
    getStatus: () => "connected",
    onStatus: () => () => {},
  };
  const urls = { lists: "/lists/", todos: "/todos/" };
  const api = {
    me: { id: "1" },
    urls,
    answer: async (url) =>
      url === urls.lists ? lists : todos.filter(({ list }) => url === `${urls.todos}?list=${list}`),
    ask: (_, url) => api.answer(url),
  };
  const errors = [];
  const board = new Board(client, api, () => {}, (error) => errors.push(error));
  const call = (channel, method, ...data) => {
    for (const each of [...subscriptions]) if (each.channel === channel) each.listener[method](...data);
  };
  await until(() => board.isReady && board.lists.length === 2);
  return {
    board,
    api,
    errors,
    receive: (channel, name, data) => call(channel, "event", name, data),
    reconnect: (channel) => call(channel, "subscribed"),
    titles: (id = 1) => board.todos.filter(({ list }) => list === id).map(({ title }) => title),
    channels: () => [...new Set([...subscriptions].map(({ channel }) => channel))].sort(),
  };
}

const cases = {
  async older_answers_do_not_undo_newer_events() {
    const { board, receive, titles } = await makeBoard(todo(1));
    receive("todos", "todo.update", todo(1, { title: "c", revision: 2 }));
    board.applyToTodos("update", todo(1, { title: "b", revision: 1 }));
    return titles();
  },
  async what_was_deleted_does_not_come_back() {
    const { board, receive, titles } = await makeBoard(todo(1), todo(2, { title: "b" }));
    receive("todos", "todo.delete", { id: 1, revision: 1 });
    receive("todos", "todo.update", todo(1, { revision: 1 }));
    board.applyToTodos("delete", { id: 2, revision: Infinity });
    receive("todos", "todo.update", todo(2, { revision: 1 }));
    return titles();
  },
  async events_during_a_fetch_are_not_lost() {
    const { board, api, receive, reconnect, titles } = await makeBoard(todo(1));
    let answer;
    const { answer: ask } = api;
    api.answer = (url) => (url.endsWith("=1") ? new Promise((resolve) => (answer = resolve)) : ask(url));
    reconnect("todos");
    await until(() => answer);
    receive("todos", "todo.create", todo(2, { title: "new" }));
    receive("todos", "todo.delete", { id: 1, revision: 0 });
    answer([todo(1)]);
    await until(() => titles()[0] === "new");
    return titles();
  },
  async a_fetch_that_fails_changes_nothing() {
    const { api, errors, receive, reconnect, titles } = await makeBoard(todo(1));
    api.answer = () => Promise.reject(new Error("down"));
    reconnect("todos");
    await until(() => errors.length);
    receive("todos", "todo.create", todo(2, { title: "b" }));
    return titles();
  },
  async leaving_removes_from_the_channel_that_was_left_and_no_other() {
    const { receive, titles, channels } = await makeBoard(todo(1), todo(2, { title: "b" }));
    receive("private-lists.2", "todo.create", todo(1, { list: 2, revision: 1 }));
    receive("todos", "todo.delete", { id: 1, revision: 1 });
    receive("todos", "todo.delete", { id: 2, revision: 1 });
    return [titles(), titles(2), channels()];
  },
  async a_move_between_lists_of_one_channel_is_one_change() {
    const { board, receive, titles } = await makeBoard(todo(1));
    receive("todos", "list.create", { id: 3, name: "Later", public: true, members: [] });
    await until(() => board.isReady);
    receive("todos", "todo.update", todo(1, { list: 3, revision: 1 }));
    return [titles(), titles(3)];
  },
  async what_comes_back_is_shown_again() {
    const { receive, titles } = await makeBoard(todo(1));
    receive("todos", "todo.delete", { id: 1, revision: 1 });
    receive("todos", "todo.create", todo(1, { title: "back", revision: 2 }));
    return titles();
  },
  async a_list_takes_its_todos_along() {
    const { receive, titles, channels } = await makeBoard(todo(1), todo(2, { list: 2 }));
    receive("private-users.1", "list.delete", { id: 2 });
    return [titles(), titles(2), channels()];
  },
};

const results = {};
for (const [name, run] of Object.entries(cases)) results[name] = await run();
console.log(JSON.stringify(results));
process.exit(); // boards that still wait to fetch again
