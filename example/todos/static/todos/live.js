// The live connection: an unchanged pusher-js, with options from the server.

const PATIENCE = 10_000; // milliseconds for the library to load

// Load pusher-js; return whether that worked.
export function loadLibrary(url) {
  return new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = () => resolve("Pusher" in window);
    script.onerror = () => resolve(false);
    setTimeout(() => resolve("Pusher" in window), PATIENCE);
    document.head.append(script);
  });
}

export class Live {
  // `on` has: state(name, reason), event(name, data, channel), subscribed(channel), people(members).
  constructor({ key, options }, { authEndpoint, headers }, on) {
    this.on = on;
    this.wasLive = false;
    this.reason = "";
    this.pusher = new window.Pusher(key, {
      ...options,
      channelAuthorization: { endpoint: authEndpoint, headersProvider: headers },
    });
    this.pusher.connection.bind("error", ({ error, data = error?.data }) => {
      this.reason = data?.message ?? "";
    });
    this.pusher.connection.bind("state_change", ({ current }) => this.report(current));
    this.report(this.pusher.connection.state);
  }

  get socketId() {
    const { state, socket_id } = this.pusher.connection;
    return state === "connected" ? socket_id : null;
  }

  report(state) {
    if (state === "connected") {
      this.wasLive = true;
      this.reason = "";
    }
    const names = {
      connected: "live",
      disconnected: "offline",
      failed: "offline",
      unavailable: navigator.onLine ? "reconnecting" : "offline",
    };
    this.on.state(names[state] ?? (this.wasLive ? "reconnecting" : "connecting"), this.reason);
  }

  // Subscribe to these channels only. pusher-js subscribes again when it has reconnected.
  follow(channels) {
    for (const { name } of this.pusher.allChannels()) {
      if (!channels.includes(name)) this.pusher.unsubscribe(name);
    }
    for (const name of channels) {
      if (!this.pusher.channel(name)) this.subscribe(name);
    }
  }

  subscribe(name) {
    const channel = this.pusher.subscribe(name);
    channel.bind_global((event, data) => {
      if (!event.startsWith("pusher")) this.on.event(event, data, name);
    });
    channel.bind("pusher:subscription_succeeded", () => this.on.subscribed(name));
    if (name.startsWith("presence-")) {
      const report = () => {
        const members = [];
        channel.members.each(({ id, info }) => members.push({ id, name: info.name }));
        this.on.people(members);
      };
      for (const event of ["subscription_succeeded", "member_added", "member_removed"]) {
        channel.bind(`pusher:${event}`, report);
      }
    }
  }

  close() {
    this.pusher.connection.unbind();
    this.pusher.disconnect();
  }
}
