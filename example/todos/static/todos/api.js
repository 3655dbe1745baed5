// What the page asks of the server, and as whom.

const KEPT = "who";

export class Refused extends Error {}

export class Api {
  // `urls` are the server's; `socketId()` names the live connection of this window, if it has one.
  constructor(urls, socketId) {
    this.urls = urls;
    this.socketId = socketId;
    this.who = null;
  }

  // The storage of a session belongs to one window, where a cookie belongs to all of a browser.
  async restore() {
    const wanted = new URL(location.href);
    const user = wanted.searchParams.get("as");
    const kept = sessionStorage.getItem(KEPT);
    if (user !== null) {
      wanted.searchParams.delete("as");
      history.replaceState(null, "", wanted);
      return this.become(user || null);
    }
    if (!kept) return this.become(null);
    this.who = JSON.parse(kept);
    return this.who;
  }

  // Be one of the demo's users, or, with null, a new guest.
  async become(user) {
    const who = await this.request("POST", this.urls.window, user ? { user } : {}, {});
    sessionStorage.setItem(KEPT, JSON.stringify(who));
    this.who = who;
    return who;
  }

  headers() {
    return this.who ? { Authorization: this.who.authorization } : {};
  }

  async board() {
    const ask = async () =>
      Promise.all([this.request("GET", this.urls.lists), this.request("GET", this.urls.todos)]);
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof Refused && error.status === 403)) throw error;
      await this.become(null); // the token is too old
      return ask();
    }
  }

  addTodo(todo) {
    return this.request("POST", this.urls.todos, todo);
  }

  changeTodo(id, changes) {
    return this.request("PATCH", `${this.urls.todos}${id}/`, changes);
  }

  deleteTodo(id) {
    return this.request("DELETE", `${this.urls.todos}${id}/`);
  }

  addList(list) {
    return this.request("POST", this.urls.lists, list);
  }

  deleteList(id) {
    return this.request("DELETE", `${this.urls.lists}${id}/`);
  }

  async request(method, url, body, headers = this.headers()) {
    const all = { Accept: "application/json", ...headers };
    if (body !== undefined) all["Content-Type"] = "application/json";
    // The client that makes a change has the response, and does not need the event.
    const socketId = method !== "GET" && this.socketId();
    if (socketId) all["X-Socket-Id"] = socketId;
    let response;
    try {
      response = await fetch(url, { method, headers: all, body: body && JSON.stringify(body) });
    } catch {
      throw new Refused("The server does not answer.");
    }
    if (!response.ok) {
      const error = new Refused(await explain(response));
      error.status = response.status;
      throw error;
    }
    return response.status === 204 ? null : response.json();
  }
}

async function explain(response) {
  try {
    return Object.values(await response.json()).flat().join(" ");
  } catch {
    return `The server answered ${response.status}.`;
  }
}
