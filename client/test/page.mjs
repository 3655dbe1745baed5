// A document for React and Vue, and a connection that counts.

import { Window } from 'happy-dom';

const window = new Window({ url: 'http://127.0.0.1/' });
for (const name of ['document', 'HTMLElement', 'Element', 'SVGElement', 'Node', 'MathMLElement', 'ShadowRoot', 'navigator']) Object.defineProperty(globalThis, name, { value: window[name], configurable: true, writable: true });
globalThis.window = window;

export const CHANNEL = 'private-lists.5';

export const until = async (is) => {
  for (const end = Date.now() + 5000; !is(); ) {
    if (Date.now() > end) throw new Error(`It is not so: ${is}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

/** What has been put off to the next turns of the event loop has run. */
export const rest = () => new Promise((resolve) => setTimeout(resolve, 30));

/** As much of pusher-js as is used, with what a test does to it. */
export class CountingPusher {
  constructor() {
    this.channels = {};
    this.calls = [];
    this.listeners = new Set();
    this.connection = {
      state: 'connecting',
      bind: (_, listener) => this.listeners.add(listener),
      unbind: (_, listener) => this.listeners.delete(listener),
    };
  }

  channel(name) {
    return this.channels[name];
  }

  subscribe(name) {
    if (!this.channels[name]) this.calls.push(`subscribe ${name}`);
    return (this.channels[name] ??= new CountingChannel());
  }

  unsubscribe(name) {
    this.calls.push(`unsubscribe ${name}`);
    delete this.channels[name];
  }

  become(state) {
    this.connection.state = state;
    for (const listener of this.listeners) listener();
  }
}

class CountingChannel {
  subscribed = false;
  listeners = new Set();
  people = {};
  members = { each: (call) => Object.entries(this.people).forEach(([id, info]) => call({ id, info })) };

  bind_global(listener) {
    this.listeners.add(listener);
  }

  unbind_global(listener) {
    this.listeners.delete(listener);
  }

  send(event, data) {
    if (event === 'pusher:subscription_succeeded') this.subscribed = true;
    for (const listener of [...this.listeners]) listener(event, data);
  }
}

/** An API that answers at once, and counts. */
export class Api {
  fetches = 0;
  rows = [{ id: 1, title: 'milk' }];

  fetch = async () => {
    this.fetches++;
    return structuredClone(this.rows);
  };
}

export const byId = { compare: (a, b) => a.id - b.id };
