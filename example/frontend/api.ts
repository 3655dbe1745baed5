// What the page asks of the server, and as whom.

export interface Person {
  id: string;
  name: string;
}

export interface User extends Person {
  user: string; // the name to sign in with
}

export interface Me extends Person {
  guest: boolean;
  authorization: string;
}

export interface Config {
  live: { key: string; options: object } | null;
  library: string;
  transport: string;
  people: User[];
  urls: Record<"lists" | "todos" | "window", string>;
}

const KEPT = "who";

export class Api {
  me: Me | null = null;
  fetch: typeof fetch = (input, init) => fetch(input, { ...init, headers: { ...init?.headers, ...this.headers() } });

  constructor(
    readonly urls: Config["urls"],
    private readonly expired: () => void,
  ) {}

  headers = (): Record<string, string> => (this.me ? { Authorization: this.me.authorization } : {});

  // The storage of a session belongs to one window, where a cookie belongs to all of a browser.
  async restore(): Promise<void> {
    const wanted = new URL(location.href);
    const user = wanted.searchParams.get("as");
    const kept = sessionStorage.getItem(KEPT);
    wanted.searchParams.delete("as");
    history.replaceState(null, "", wanted);
    if (user !== null || !kept) await this.become(user);
    else this.me = JSON.parse(kept);
  }

  // Be one of the demo's users, or, without a name, a new guest.
  async become(user?: string | null): Promise<void> {
    this.me = await this.ask<Me>("POST", this.urls.window, user ? { user } : {});
    sessionStorage.setItem(KEPT, JSON.stringify(this.me));
  }

  async ask<T>(method: string, url: string, body?: object): Promise<T> {
    const headers = { Accept: "application/json", ...(body && { "Content-Type": "application/json" }) };
    const { me } = this;
    const response = await this.fetch(url, { method, headers, body: JSON.stringify(body) }).catch(() => {
      throw new Error("The server does not answer.");
    });
    if (response.ok) return (response.status === 204 ? undefined : await response.json()) as T;
    if (response.status === 403 && method === "GET" && me && me === this.me) {
      this.me = null; // its token is too old
      this.expired();
    }
    const problems = await response.json().catch(() => [`The server answered ${response.status}.`]);
    throw new Error(Object.values(problems).flat().join(" "));
  }
}
