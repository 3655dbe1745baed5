/** ably-js, with the Ably transport of realtime_drf. */

import { once, share, type Client, type Listener, type Member, type Status } from "./clients.js";

/** An `Ably.Realtime` of ably-js 2. */
export interface AblyLike {
  connection: any;
  channels: any;
}

const STATES: Record<string, Status> = {
  initialized: "initialized",
  connecting: "connecting",
  connected: "connected",
  disconnected: "unavailable",
  suspended: "unavailable",
  closing: "disconnected",
  closed: "disconnected",
  failed: "failed",
};

/** Return the name that a channel has at Ably: `private-lists.5` is `private:lists.5`. */
export const nameAtAbly = (name: string): string => {
  const [, kind, rest] = name.match(/^(private|presence)-(.+)$/s) ?? [];
  return kind ? `${kind}:${rest}` : `public:${name}`;
};

/**
 * Return the client of ably-js. `open` returns a channel by its name at Ably, or a promise of it,
 * where that needs a token, a key or a prefix.
 */
export function fromAbly(ably: AblyLike, open: (name: string) => any = (name) => ably.channels.get(name)): Client {
  return once(ably, () => makeClient(ably, open));
}

function makeClient({ connection }: AblyLike, open: (name: string) => any): Client {
  const use = share<Promise<any>>();
  const openChannel = (name: string): [Promise<any>, () => void] => {
    // A channel that was there before stays attached.
    let isOurs = false;
    const opening = Promise.resolve(open(nameAtAbly(name))).then((channel) => {
      isOurs = channel.state === "initialized" || channel.state === "detached";
      return channel;
    });
    return [opening, () => void opening.then((channel) => isOurs && channel.detach())];
  };
  return {
    subscribe(name, listener) {
      let isEnded = false;
      let end = () => {};
      const [opening, release] = use(name, () => openChannel(name));
      void opening.then((channel) => {
        if (!isEnded) end = listen(channel, listener);
      });
      return () => {
        isEnded = true;
        end();
        release();
      };
    },
    getStatus: () => STATES[connection.state] ?? "initialized",
    onStatus(listener) {
      connection.on(listener);
      return () => connection.off(listener);
    },
  };
}

function listen(channel: any, listener: Listener): () => void {
  const receive = ({ name, data }: any) => listener.event?.(name, data);
  // After a short outage Ably sends what was missed, and says so by `resumed`.
  const attached = ({ current, resumed }: any) => {
    if (current === "attached" && !resumed) listener.subscribed?.();
  };
  const showMembers = async () => {
    const present = await channel.presence.get();
    listener.members?.(present.map(({ clientId, data }: any): Member => ({ id: clientId, info: data })));
  };
  channel.on(["attached", "update"], attached);
  attached({ current: channel.state });
  // A channel that is refused reports it by its own state, and ably-js logs it.
  channel.subscribe(receive).catch(() => {});
  if (listener.members) channel.presence.subscribe(showMembers).then(showMembers).catch(() => {});
  return () => {
    channel.off(attached);
    channel.unsubscribe(receive);
    channel.presence.unsubscribe(showMembers);
  };
}
