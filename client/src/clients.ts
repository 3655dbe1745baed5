/** The connection of a page, whatever its SDK. */

/** The states of a connection, as Pusher names them. */
export type Status = "initialized" | "connecting" | "connected" | "unavailable" | "failed" | "disconnected";

export interface Member<Info = any> {
  id: string;
  info?: Info;
}

export interface Listener {
  /** Called each time that the subscription begins: what was sent before it has not been received. */
  subscribed?(): void;
  event?(name: string, data: any): void;
  members?(members: Member[]): void;
}

/** What `fromEcho` and `fromAbly` return. */
export interface Client {
  /** Subscribe, or share the subscription that there is. Return a function that ends it. */
  subscribe(channel: string, listener: Listener): () => void;
  getStatus(): Status;
  onStatus(listener: () => void): () => void;
}

/** A connection of pusher-js. */
export interface PusherLike {
  connection: { state: string; bind(event: string, callback: (data: any) => void): unknown };
  subscribe(channel: string): any;
  unsubscribe(channel: string): unknown;
}

/** What is taken as a client: a `Client`, or pusher-js itself. */
export type AnyClient = Client | PusherLike;

const clients = new WeakMap<object, Client>();

/** Return the one client of a connection. */
export function once<T extends object>(connection: T, make: (connection: T) => Client): Client {
  let client = clients.get(connection);
  if (!client) clients.set(connection, (client = make(connection)));
  return client;
}

export const toClient = (client: AnyClient): Client =>
  "getStatus" in client ? client : once(client, (pusher) => makePusherClient(pusher));

/** Return a function that opens what a name stands for, or shares it, and returns how to release it. */
export function share<T>() {
  const all = new Map<string, { opened: T; users: number; close: () => void }>();
  return (name: string, open: () => [opened: T, close: () => void]): [opened: T, release: () => void] => {
    let mine = all.get(name);
    if (!mine) {
      const [opened, close] = open();
      all.set(name, (mine = { opened, users: 0, close }));
    }
    const { opened } = mine;
    mine.users++;
    // A moment later: React's StrictMode ends each effect once and starts it again.
    const release = () => setTimeout(() => {
      if (--mine!.users) return;
      all.delete(name);
      mine!.close();
    });
    return [opened, release];
  };
}

/** Make the client of pusher-js. A channel that the page uses too stays subscribed: one of Echo's, perhaps. */
export function makePusherClient(pusher: any, isEchos: (channel: string) => boolean = () => false): Client {
  const use = share<any>();
  const open = (name: string): [any, () => void] => {
    const before = pusher.channel(name);
    const isOurs = !before || before.subscriptionCancelled;
    const channel = pusher.subscribe(name);
    const isBound = () => channel.global_callbacks?.length || Object.keys(channel.callbacks?._callbacks ?? {}).length;
    return [channel, () => isOurs && !isEchos(name) && !isBound() && pusher.unsubscribe(name)];
  };
  return {
    subscribe(name, listener) {
      const [channel, release] = use(name, () => open(name));
      const members = () => {
        const list: Member[] = [];
        channel.members?.each((member: Member) => list.push(member));
        listener.members?.(list);
      };
      const receive = (event: string, data?: any) => {
        if (event === "pusher:subscription_succeeded") listener.subscribed?.();
        else if (!/^pusher:member_/.test(event)) return listener.event?.(event, data);
        members();
      };
      channel.bind_global(receive);
      if (channel.subscribed) receive("pusher:subscription_succeeded");
      return () => {
        channel.unbind_global(receive);
        release();
      };
    },
    getStatus: () => pusher.connection.state,
    onStatus(listener) {
      pusher.connection.bind("state_change", listener);
      return () => pusher.connection.unbind("state_change", listener);
    },
  };
}
