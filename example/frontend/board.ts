// The lists of the board and their todos: each is a live list. No DOM here.

import { live, type AnyClient, type Live } from "realtime-drf";
import type { Api } from "./api.ts";
import type { Channels as Contract, List, Todo } from "./realtime.ts";

declare module "realtime-drf" {
  interface Channels extends Contract {}
}

const channelOf = (list: List): "todos" | `private-lists.${number}` => (list.public ? "todos" : `private-lists.${list.id}`);
const keyOf = (list: List) => `${channelOf(list)} ${list.id}`;

export class Board {
  private readonly sources: Live<List[]>[];
  private readonly found = new Map<string, Live<Todo[]>>();

  constructor(
    private readonly client: AnyClient,
    private readonly api: Pick<Api, "ask" | "urls" | "me">,
    private readonly changed: () => void,
    private readonly onError: (error: unknown) => void,
  ) {
    const { me } = api;
    this.sources = [this.followLists("todos", true)];
    if (me && !me.guest) this.sources.push(this.followLists(`private-users.${Number(me.id)}`, false));
  }

  get isReady(): boolean {
    return [...this.sources, ...this.found.values()].every(({ answer }) => answer);
  }

  get lists(): List[] {
    return this.sources.flatMap(({ answer }) => answer ?? []);
  }

  get todos(): Todo[] {
    return this.lists.flatMap((list) => this.todosOf(list));
  }

  todosOf(list: List): Todo[] {
    return this.found.get(keyOf(list))?.answer ?? [];
  }

  // Apply a change of this window, whose event it does not receive.
  applyToTodos(action: "create" | "update" | "delete", todo: Partial<Todo>): void {
    for (const todos of this.found.values()) todos.apply(action, todo);
  }

  applyToLists(action: "create" | "delete", list: Partial<List>): void {
    for (const lists of this.sources) lists.apply(action, list);
  }

  stop(): void {
    for (const each of [...this.sources, ...this.found.values()]) each.stop();
  }

  private followLists(channel: "todos" | `private-users.${number}`, isPublic: boolean): Live<List[]> {
    const matches = (list: List) => list.public === isPublic;
    return live(this.client, channel, "list", {
      fetch: async () => (await this.api.ask<List[]>("GET", this.api.urls.lists)).filter(matches),
      matches,
      compare: (a, b) => a.id - b.id,
      onChange: () => this.followTodos(),
      onError: this.onError,
    });
  }

  private followTodos(): void {
    const wanted = new Map(this.lists.map((list) => [keyOf(list), list]));
    for (const [key, todos] of this.found) {
      if (wanted.has(key)) continue;
      todos.stop();
      this.found.delete(key);
    }
    for (const [key, list] of wanted) {
      if (!this.found.has(key)) this.found.set(key, this.followTodosOf(list));
    }
    this.changed();
  }

  private followTodosOf(list: List): Live<Todo[]> {
    return live(this.client, channelOf(list), "todo", {
      fetch: () => this.api.ask<Todo[]>("GET", `${this.api.urls.todos}?list=${list.id}`),
      version: "revision",
      matches: (todo) => todo.list === list.id,
      compare: (a, b) => a.position - b.position || a.id - b.id,
      onChange: this.changed,
      onError: this.onError,
    });
  }
}
