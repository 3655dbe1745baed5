// The board as elements. What is there is kept and changed, so that focus and typing survive.

import type { Board } from "./board.ts";
import { find, keepInOrder, make, placeAt } from "./dom.ts";
import type { List, Todo } from "./realtime.ts";

export interface Actions {
  add(list: number, title: string): Promise<boolean>;
  change(id: number, changes: Partial<Todo> & { before?: number | null }): void;
  remove(id: number): void;
  removeList(list: List): void;
}

const still = matchMedia("(prefers-reduced-motion: reduce)");
const STEPS: Record<string, -1 | 1 | undefined> = { ArrowUp: -1, ArrowDown: 1 };
const slide = { duration: 260, easing: "cubic-bezier(.2, .7, .2, 1)" };

export class View {
  private board!: Board;
  private readonly root = find("#board");
  private readonly menu = find("#actions");
  private dragged: number | null = null;

  constructor(private readonly act: Actions) {}

  // Show the board as it is now; `nameOf` says what a member is called.
  render(board: Board, nameOf: (id: number) => string): void {
    this.board = board;
    const focused = document.activeElement as HTMLElement | null;
    const cards = [...this.root.querySelectorAll(".todo")];
    const places = new Map(cards.map((card) => [card, card.getBoundingClientRect()]));
    const wanted = board.lists.map((list) => this.showList(list, nameOf));
    for (const section of this.root.querySelectorAll<HTMLElement>(".list[data-id]")) {
      if (!wanted.includes(section)) section.remove();
    }
    keepInOrder(this.root, wanted);
    this.root.ariaBusy = "false";
    if (focused?.isConnected && document.activeElement !== focused) focused.focus();
    if (!still.matches) this.slideFrom(places);
  }

  private card(id: number): HTMLElement | null {
    return this.root.querySelector(`.todo[data-id="${id}"]`);
  }

  // Let a card show that somebody else has changed it.
  highlight(id: number): void {
    const card = this.card(id);
    if (!card) return;
    card.classList.remove("changed");
    void card.offsetWidth; // so that the animation starts again
    card.classList.add("changed");
    card.dataset.changes = String(Number(card.dataset.changes ?? 0) + 1);
  }

  private slideFrom(places: Map<Element, DOMRect>): void {
    for (const [card, from] of places) {
      if (!card.isConnected) continue;
      const to = card.getBoundingClientRect();
      const [x, y] = [from.left - to.left, from.top - to.top];
      if (x || y) {
        card.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], slide);
      }
    }
  }

  // Lists

  private showList(list: List, nameOf: (id: number) => string): HTMLElement {
    const section = this.root.querySelector<HTMLElement>(`.list[data-id="${list.id}"]`) ?? this.makeList(list);
    const todos = this.board.todosOf(list);
    const done = todos.filter((todo) => todo.done).length;
    find("h2", section).textContent = list.name;
    find(".count", section).textContent = todos.length ? `${done} of ${todos.length} done` : "";
    section.style.setProperty("--done", String(todos.length ? done / todos.length : 0));
    find(".empty", section).hidden = todos.length > 0;
    find(".members", section).hidden = list.public;
    find(".members span", section).textContent = list.members.map(nameOf).join(", ");
    const container = find(".todos", section);
    const cards = todos.map((todo) => this.showTodo(todo));
    for (const card of [...container.children]) if (!cards.includes(card as HTMLElement)) card.remove();
    keepInOrder(container, cards);
    return section;
  }

  private makeList(list: List): HTMLElement {
    const section = clone("list-template");
    section.dataset.id = String(list.id);
    section.classList.toggle("private", !list.public);
    const heading = find("h2", section);
    heading.id = `list-${list.id}`;
    section.setAttribute("aria-labelledby", heading.id);
    find(".add label span", section).textContent = `Add a todo to ${list.name}`;
    const form = find<HTMLFormElement>(".add", section);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const title = find<HTMLInputElement>("[name=title]", form).value.trim();
      if (title && (await this.act.add(list.id, title))) form.reset();
    });
    const remove = find(".remove", section);
    remove.ariaLabel = `Delete the list ${list.name}`;
    remove.addEventListener("click", () => this.act.removeList(list));
    this.takeDrops(section, list.id);
    return section;
  }

  // Todos

  private todoOf(id: number): Todo | undefined {
    return this.board.todos.find((todo) => todo.id === id);
  }

  private showTodo(todo: Todo): HTMLElement {
    const card = this.card(todo.id) ?? this.makeTodo(todo.id);
    card.classList.toggle("done", todo.done);
    const box = find<HTMLInputElement>("[type=checkbox]", card);
    box.checked = todo.done;
    box.ariaLabel = `Done: ${todo.title}`;
    find(".title", card).textContent = todo.title;
    find(".by", card).textContent = todo.by;
    find(".more", card).ariaLabel = `More for ${todo.title}`;
    return card;
  }

  private makeTodo(id: number): HTMLElement {
    const card = clone("todo-template");
    card.dataset.id = String(id);
    const box = find<HTMLInputElement>("[type=checkbox]", card);
    const edit = find(".edit", card);
    const more = find(".more", card);
    box.addEventListener("change", () => this.act.change(id, { done: box.checked }));
    find(".title", card).addEventListener("click", () => this.startEditing(id, card));
    more.addEventListener("click", () => this.openMenu(id, card, more));
    edit.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault(); // the button that gets the focus would be pressed by the same key
      this.stopEditing(id, card, event.key === "Enter");
    });
    edit.addEventListener("blur", () => this.stopEditing(id, card, true, false));
    card.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (!event.altKey || !step) return;
      event.preventDefault();
      this.findStep(id, step)?.();
    });
    card.addEventListener("dragstart", (event) => {
      this.dragged = id;
      event.dataTransfer!.effectAllowed = "move";
      event.dataTransfer!.setData("text/plain", this.todoOf(id)?.title ?? "");
      card.classList.add("dragged");
    });
    card.addEventListener("dragend", () => {
      this.dragged = null;
      card.classList.remove("dragged");
      this.markDrop(null);
    });
    return card;
  }

  private startEditing(id: number, card: HTMLElement): void {
    const edit = find<HTMLInputElement>(".edit", card);
    this.setEditing(card, true);
    edit.value = this.todoOf(id)!.title;
    edit.select();
    edit.focus();
  }

  private stopEditing(id: number, card: HTMLElement, save: boolean, focus = true): void {
    const edit = find<HTMLInputElement>(".edit", card);
    if (edit.hidden) return;
    const todo = this.todoOf(id);
    const title = edit.value.trim();
    this.setEditing(card, false);
    if (focus) find(".title", card).focus();
    if (save && todo && title && title !== todo.title) this.act.change(id, { title });
  }

  private setEditing(card: HTMLElement, isEditing: boolean): void {
    card.classList.toggle("editing", isEditing);
    card.draggable = !isEditing;
    find(".title", card).hidden = isEditing;
    find(".edit", card).hidden = !isEditing;
  }

  // The menu of a todo: all that dragging does, for keys and fingers too

  private openMenu(id: number, card: HTMLElement, button: HTMLElement): void {
    const lists = this.board.lists.filter((list) => list.id !== this.todoOf(id)!.list);
    const moves = lists.map(
      (list) => [`Move to ${list.name}`, () => this.act.change(id, { list: list.id, before: null })] as const,
    );
    const choices: (readonly [text: string, choose: (() => void) | null, className?: string])[] = [
      ["Edit", () => this.startEditing(id, card)],
      ["Move up", this.findStep(id, -1)],
      ["Move down", this.findStep(id, 1)],
      ...moves,
      ["Delete", () => this.act.remove(id), "danger"],
    ];
    this.menu.replaceChildren(
      ...choices.flatMap(([text, choose, className = ""]) => {
        const choice = make("button", { type: "button", className }, text);
        choice.addEventListener("click", () => {
          this.menu.hidePopover();
          choose?.();
        });
        return choose ? choice : [];
      }),
    );
    this.menu.showPopover({ source: button });
    placeAt(this.menu, button);
    find("button", this.menu).focus();
  }

  // Return what moves a todo by one place within its list, or null at the end of it.
  private findStep(id: number, by: -1 | 1): (() => void) | null {
    const list = this.board.lists.find((each) => each.id === this.todoOf(id)?.list);
    const todos = list ? this.board.todosOf(list) : [];
    const next = todos.findIndex((todo) => todo.id === id) + by;
    if (!todos[next]) return null;
    const before = todos[by < 0 ? next : next + 1]?.id ?? null;
    return () => this.act.change(id, { before });
  }

  // Dragging

  private takeDrops(section: HTMLElement, list: number): void {
    section.addEventListener("dragover", (event) => {
      if (this.dragged === null) return;
      event.preventDefault();
      this.markDrop(section, this.findDrop(section, event.clientY));
    });
    section.addEventListener("dragleave", (event) => {
      if (!section.contains(event.relatedTarget as Node | null)) this.markDrop(null);
    });
    section.addEventListener("drop", (event) => {
      if (this.dragged === null) return;
      event.preventDefault();
      const before = this.findDrop(section, event.clientY);
      const id = this.dragged;
      this.markDrop(null);
      if (before?.dataset.id === String(id)) return;
      this.act.change(id, { list, before: before ? Number(before.dataset.id) : null });
    });
  }

  // Return the card in front of which a drop at this height belongs, or null for the end.
  private findDrop(section: HTMLElement, y: number): HTMLElement | null {
    const below = [...section.querySelectorAll<HTMLElement>(".todo")].find((card) => {
      const { top, height } = card.getBoundingClientRect();
      return y < top + height / 2;
    });
    return below ?? null;
  }

  private markDrop(section: HTMLElement | null, before: HTMLElement | null = null): void {
    for (const marked of this.root.querySelectorAll(".drop-before, .drop-end")) {
      marked.classList.remove("drop-before", "drop-end");
    }
    if (before) before.classList.add("drop-before");
    else if (section) find(".todos", section).classList.add("drop-end");
  }
}

function clone(template: string): HTMLElement {
  const { content } = find<HTMLTemplateElement>(`#${template}`);
  return content.firstElementChild!.cloneNode(true) as HTMLElement;
}
