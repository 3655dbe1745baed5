// What is on the board, as far as this window knows. No DOM and no network here.

const PUBLIC = "todos";

export class Board {
  constructor() {
    this.clear();
  }

  clear() {
    this.lists = new Map();
    this.todos = new Map();
    this.gone = new Map(); // the revisions with which todos have left a channel
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
    if (action === "delete") return this.remove(before, data, channel);
    const left = this.gone.get(`${channel ?? this.channelOf(data.list)} ${data.id}`);
    if (data.revision <= left || data.revision < before?.revision) return null; // overtaken
    this.todos.set(data.id, data);
    return { before: before ?? null, after: data };
  }

  // Remove a todo from a channel, which it may have left for another one of this window.
  remove(before, { id, revision = Infinity }, channel) {
    const place = channel ?? (before && this.channelOf(before.list));
    this.gone.set(`${place} ${id}`, revision);
    if (!before || this.channelOf(before.list) !== place || before.revision > revision) return null;
    this.todos.delete(id);
    return { before, after: null };
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
