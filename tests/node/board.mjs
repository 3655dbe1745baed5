// What the example's page keeps of the board, fed in orders that a network may bring about.

import { Board } from "../../example/todos/static/todos/board.js";

const lists = [
  { id: 1, name: "Open", public: true, members: [] },
  { id: 2, name: "Secret", public: false, members: [1] },
];

function todo(id, changes = {}) {
  return { id, list: 1, title: "a", position: id, revision: 0, ...changes };
}

async function makeBoard(...todos) {
  const board = new Board();
  await board.refresh(async () => [lists, todos]);
  return board;
}

const titles = (board, list = 1) => board.todosOf(list).map(({ title }) => title);

const cases = {
  async older_answers_do_not_undo_newer_events() {
    const board = await makeBoard(todo(1));
    board.apply("todo.update", todo(1, { title: "c", revision: 2 }), "todos");
    board.apply("todo.update", todo(1, { title: "b", revision: 1 }));
    return titles(board);
  },
  async what_was_deleted_does_not_come_back() {
    const board = await makeBoard(todo(1));
    board.apply("todo.delete", { id: 1, revision: 1 }, "todos");
    board.apply("todo.update", todo(1, { revision: 1 }), "todos");
    return titles(board);
  },
  async events_during_a_fetch_are_not_lost() {
    const board = await makeBoard(todo(1));
    let answer;
    const refreshed = board.refresh(() => new Promise((resolve) => (answer = resolve)));
    board.apply("todo.create", todo(2, { title: "new" }), "todos");
    board.apply("todo.delete", { id: 1, revision: 0 }, "todos");
    answer([lists, [todo(1)]]);
    await refreshed;
    return titles(board);
  },
  async a_fetch_that_fails_changes_nothing() {
    const board = await makeBoard(todo(1));
    await board.refresh(() => Promise.reject(new Error("down"))).catch(() => {});
    board.apply("todo.create", todo(2, { title: "b" }), "todos");
    return titles(board);
  },
  async leaving_removes_from_the_channel_that_was_left_and_no_other() {
    const board = await makeBoard(todo(1), todo(2, { title: "b" }));
    board.apply("todo.create", todo(1, { list: 2, revision: 1 }), "private-lists.2");
    board.apply("todo.delete", { id: 1, revision: 1 }, "todos"); // it is in the other list already
    board.apply("todo.delete", { id: 2, revision: 1 }, "todos");
    return [titles(board), titles(board, 2), board.channels()];
  },
  async what_comes_back_is_shown_again() {
    const board = await makeBoard(todo(1));
    board.apply("todo.delete", { id: 1, revision: 1 }, "todos");
    board.apply("todo.create", todo(1, { title: "back", revision: 2 }), "todos");
    return titles(board);
  },
  async a_list_takes_its_todos_along() {
    const board = await makeBoard(todo(1), todo(2, { list: 2 }));
    board.apply("list.delete", { id: 2 }, "private-users.1");
    return [titles(board), titles(board, 2), board.channels()];
  },
};

const results = {};
for (const [name, run] of Object.entries(cases)) results[name] = await run();
console.log(JSON.stringify(results));
