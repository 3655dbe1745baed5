// The board as elements. What is there is kept and changed, so that focus and typing survive.

const still = matchMedia("(prefers-reduced-motion: reduce)");
const slide = { duration: 260, easing: "cubic-bezier(.2, .7, .2, 1)" };

export class View {
  // `act` has what people can do: add, change, move, remove, removeList.
  constructor(board, act) {
    this.board = board;
    this.act = act;
    this.root = document.getElementById("board");
    this.menu = document.getElementById("actions");
    this.dragged = null;
  }

  // Show the board as it is now; `nameOf` says what a member is called.
  render(nameOf) {
    const focused = document.activeElement;
    const places = new Map([...this.cards()].map((card) => [card, card.getBoundingClientRect()]));
    const lists = this.board.sortedLists();
    const wanted = lists.map((list) => this.showList(list, nameOf));
    for (const section of this.root.querySelectorAll(".list[data-id]")) {
      if (!wanted.includes(section)) section.remove();
    }
    keepInOrder(this.root, wanted);
    this.root.ariaBusy = "false";
    if (focused?.isConnected && document.activeElement !== focused) focused.focus();
    if (!still.matches) this.slideFrom(places);
  }

  cards() {
    return this.root.querySelectorAll(".todo");
  }

  card(id) {
    return this.root.querySelector(`.todo[data-id="${id}"]`);
  }

  // Let a card show that somebody else has changed it.
  highlight(id) {
    const card = this.card(id);
    if (!card) return;
    card.classList.remove("changed");
    void card.offsetWidth; // so that the animation starts again
    card.classList.add("changed");
    card.dataset.changes = Number(card.dataset.changes ?? 0) + 1;
  }

  slideFrom(places) {
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

  showList(list, nameOf) {
    const section = this.root.querySelector(`.list[data-id="${list.id}"]`) ?? this.makeList(list);
    const todos = this.board.todosOf(list.id);
    const done = todos.filter((todo) => todo.done).length;
    section.querySelector("h2").textContent = list.name;
    section.querySelector(".count").textContent = todos.length
      ? `${done} of ${todos.length} done`
      : "";
    section.style.setProperty("--done", todos.length ? done / todos.length : 0);
    section.querySelector(".empty").hidden = todos.length > 0;
    section.querySelector(".members").hidden = list.public;
    section.querySelector(".members span").textContent = list.members.map(nameOf).join(", ");
    const container = section.querySelector(".todos");
    const cards = todos.map((todo) => this.showTodo(todo));
    for (const card of [...container.children]) if (!cards.includes(card)) card.remove();
    keepInOrder(container, cards);
    return section;
  }

  makeList(list) {
    const section = clone("list-template");
    section.dataset.id = list.id;
    section.classList.toggle("private", !list.public);
    const heading = section.querySelector("h2");
    heading.id = `list-${list.id}`;
    section.setAttribute("aria-labelledby", heading.id);
    section.querySelector(".add label span").textContent = `Add a todo to ${list.name}`;
    const form = section.querySelector(".add");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const title = form.title.value.trim();
      if (title && (await this.act.add(list.id, title))) form.reset();
    });
    const remove = section.querySelector(".remove");
    remove.ariaLabel = `Delete the list ${list.name}`;
    remove.addEventListener("click", () => this.act.removeList(list.id));
    this.takeDrops(section, list.id);
    return section;
  }

  // Todos

  showTodo(todo) {
    const card = this.card(todo.id) ?? this.makeTodo(todo.id);
    card.classList.toggle("done", todo.done);
    const box = card.querySelector("[type=checkbox]");
    box.checked = todo.done;
    box.ariaLabel = `Done: ${todo.title}`;
    card.querySelector(".title").textContent = todo.title;
    card.querySelector(".by").textContent = todo.by;
    card.querySelector(".more").ariaLabel = `More for ${todo.title}`;
    return card;
  }

  makeTodo(id) {
    const card = clone("todo-template");
    card.dataset.id = id;
    const edit = card.querySelector(".edit");
    card
      .querySelector("[type=checkbox]")
      .addEventListener("change", ({ target }) => this.act.change(id, { done: target.checked }));
    card.querySelector(".title").addEventListener("click", () => this.startEditing(card));
    card.querySelector(".more").addEventListener("click", ({ currentTarget }) => {
      this.openMenu(card, currentTarget);
    });
    edit.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault(); // the button that gets the focus would be pressed by the same key
      this.stopEditing(card, event.key === "Enter");
    });
    edit.addEventListener("blur", () => this.stopEditing(card, true, false));
    card.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!event.altKey || !step) return;
      event.preventDefault();
      this.step(id, step);
    });
    card.addEventListener("dragstart", (event) => {
      this.dragged = id;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", this.board.todos.get(id)?.title ?? "");
      card.classList.add("dragged");
    });
    card.addEventListener("dragend", () => {
      this.dragged = null;
      card.classList.remove("dragged");
      this.markDrop(null);
    });
    return card;
  }

  startEditing(card) {
    const todo = this.board.todos.get(Number(card.dataset.id));
    const edit = card.querySelector(".edit");
    card.classList.add("editing");
    card.draggable = false;
    card.querySelector(".title").hidden = true;
    edit.hidden = false;
    edit.value = todo.title;
    edit.select();
    edit.focus();
  }

  stopEditing(card, save, focus = true) {
    const edit = card.querySelector(".edit");
    if (edit.hidden) return;
    const todo = this.board.todos.get(Number(card.dataset.id));
    const title = edit.value.trim();
    edit.hidden = true;
    card.classList.remove("editing");
    card.draggable = true;
    card.querySelector(".title").hidden = false;
    if (focus) card.querySelector(".title").focus();
    if (save && todo && title && title !== todo.title) this.act.change(todo.id, { title });
  }

  // Move a todo by one place within its list.
  step(id, by) {
    const { list } = this.board.todos.get(id);
    const todos = this.board.todosOf(list);
    const index = todos.findIndex((todo) => todo.id === id);
    const next = index + by;
    if (next < 0 || next >= todos.length) return;
    const before = todos[by < 0 ? next : next + 1]?.id ?? null;
    this.act.change(id, { before });
  }

  // The menu of a todo: all that dragging does, for keys and fingers too

  openMenu(card, button) {
    const id = Number(card.dataset.id);
    const { list } = this.board.todos.get(id);
    const todos = this.board.todosOf(list);
    const index = todos.findIndex((todo) => todo.id === id);
    const choices = [
      ["Edit", () => this.startEditing(card)],
      index > 0 && ["Move up", () => this.step(id, -1)],
      index < todos.length - 1 && ["Move down", () => this.step(id, 1)],
      ...this.board
        .sortedLists()
        .filter((other) => other.id !== list)
        .map((other) => [
          `Move to ${other.name}`,
          () => this.act.change(id, { list: other.id, before: null }),
        ]),
      ["Delete", () => this.act.remove(id), "danger"],
    ].filter(Boolean);
    this.menu.replaceChildren(
      ...choices.map(([text, choose, kind = ""]) => {
        const choice = document.createElement("button");
        choice.type = "button";
        choice.className = kind;
        choice.textContent = text;
        choice.addEventListener("click", () => {
          this.menu.hidePopover();
          choose();
        });
        return choice;
      }),
    );
    this.menu.showPopover({ source: button });
    placeAt(this.menu, button);
    this.menu.querySelector("button").focus();
  }

  // Dragging

  takeDrops(section, listId) {
    section.addEventListener("dragover", (event) => {
      if (this.dragged === null) return;
      event.preventDefault();
      this.markDrop(section, this.findDrop(section, event.clientY));
    });
    section.addEventListener("dragleave", (event) => {
      if (!section.contains(event.relatedTarget)) this.markDrop(null);
    });
    section.addEventListener("drop", (event) => {
      if (this.dragged === null) return;
      event.preventDefault();
      const before = this.findDrop(section, event.clientY);
      const id = this.dragged;
      this.markDrop(null);
      if (before?.dataset.id === String(id)) return;
      this.act.change(id, { list: listId, before: before ? Number(before.dataset.id) : null });
    });
  }

  // Return the card in front of which a drop at this height belongs, or null for the end.
  findDrop(section, y) {
    const below = [...section.querySelectorAll(".todo")].find((card) => {
      const { top, height } = card.getBoundingClientRect();
      return y < top + height / 2;
    });
    return below ?? null;
  }

  markDrop(section, before = null) {
    for (const marked of this.root.querySelectorAll(".drop-before, .drop-end")) {
      marked.classList.remove("drop-before", "drop-end");
    }
    if (before) before.classList.add("drop-before");
    else section?.querySelector(".todos").classList.add("drop-end");
  }
}

function clone(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}

// Put children at the front of their parent in this order, and move none that need not be.
function keepInOrder(parent, children) {
  let place = parent.firstElementChild;
  for (const child of children) {
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
}

// Put a menu below what has opened it, within the window; on a phone the style puts it elsewhere.
export function placeAt(menu, button) {
  const { right, bottom, top } = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = bottom + 6 + height < innerHeight ? bottom + 6 : Math.max(8, top - 6 - height);
  menu.style.setProperty("--top", `${below}px`);
  menu.style.setProperty("--left", `${Math.max(8, right - width)}px`);
}
