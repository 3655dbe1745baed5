// What is on the board, as far as this window knows. No DOM and no network here.

const PUBLIC = "todos";

export class Board {
  constructor() {
    this.clear();
  }

  clear() {
    this.lists = new Map();
    this.todos = new Map();
    this.gone = new Set(); // ids are never used again
    this.waiting = null; // what has happened while the board is being fetched
  }

  channelOf(listId) {
    return this.lists.get(listId)?.public ? PUBLIC : `private-lists.${listId}`;
  }

  // The channels of this board.
  channels() {
    const lists = [...this.lists.keys()].map((id) => this.channelOf(id));
    return [...new Set([PUBLIC, ...lists])];
  }

  sortedLists() {
    return [...this.lists.values()].sort((a, b) => b.public - a.public || a.id - b.id);
  }

  todosOf(listId) {
    return [...this.todos.values()]
      .filter((todo) => todo.list === listId)
      .sort((a, b) => a.position - b.position || a.id - b.id);
  }

  // Replace everything by what `fetch()` returns. Events that come meanwhile may be older or newer
  // than that, so they are applied once more on top of it.
  async refresh(fetch) {
    const waiting = (this.waiting = []);
    try {
      const [lists, todos] = await fetch();
      if (this.waiting !== waiting) return; // cleared meanwhile
      this.lists = new Map(lists.map((list) => [list.id, list]));
      this.todos = new Map(todos.map((todo) => [todo.id, todo]));
      this.waiting = null;
      for (const happened of waiting) this.apply(...happened);
    } finally {
      if (this.waiting === waiting) this.waiting = null;
    }
  }

  // Apply what has happened; return what it has changed as {before, after}, or null.
  apply(name, data, channel) {
    this.waiting?.push([name, data, channel]);
    const [model, action] = name.split(".");
    if (model === "list") return this.applyToList(action, data);
    if (model !== "todo") return null;
    const before = this.todos.get(data.id);
    if (action === "leave") {
      // It may have come back, or have moved to a list of another channel of this window.
      if (!before || this.channelOf(before.list) !== channel) return null;
      this.todos.delete(data.id);
      return { before, after: null };
    }
    if (action === "delete") {
      this.gone.add(data.id);
      return this.todos.delete(data.id) ? { before, after: null } : null;
    }
    if (this.gone.has(data.id) || (before && isOlder(data, before))) return null;
    this.todos.set(data.id, data);
    return { before: before ?? null, after: data };
  }

  applyToList(action, list) {
    const before = this.lists.get(list.id) ?? null;
    if (action !== "delete") {
      this.lists.set(list.id, list);
      return { before, after: list };
    }
    for (const todo of this.todosOf(list.id)) this.todos.delete(todo.id);
    return this.lists.delete(list.id) ? { before, after: null } : null;
  }
}

// An answer may arrive after the event of a later change. Times are in UTC, with or without a
// fraction, and compare as text once the letter at their end is gone.
function isOlder(a, b) {
  return a.updated.replace("Z", "") < b.updated.replace("Z", "");
}
