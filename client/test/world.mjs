// A server, its API and a connection, in a time of their own.

export const CHANNEL = 'private-lists.5';

const clock = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };

/** The time: what waits for it runs in order, and as fast as it can. */
export class Time {
  constructor() {
    this.now = 0;
    this.timers = new Map();
    this.last = 0;
    globalThis.setTimeout = (run, wait = 0, ...args) => {
      this.timers.set(++this.last, { at: this.now + Math.max(wait, 0), run: () => run(...args) });
      return this.last;
    };
    globalThis.clearTimeout = (id) => this.timers.delete(id);
  }

  restore() {
    Object.assign(globalThis, clock);
  }

  wait(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  /** Let the time pass until `end`, or until nothing waits for it. */
  async run(end = Infinity) {
    await settled();
    for (let steps = 0; ; steps++) {
      if (steps > 20_000) throw new Error('It does not come to rest.');
      let next;
      for (const [id, timer] of this.timers) if (!next || timer.at < next.at) next = { id, ...timer };
      if (!next || next.at > end) break;
      this.timers.delete(next.id);
      this.now = next.at;
      next.run();
      await settled();
    }
    if (end < Infinity) this.now = end;
  }
}

const settled = () => new Promise(setImmediate);

export const byPosition = (a, b) => a.position - b.position || a.id - b.id;

/** Rows, and what an endpoint answers of them; each write is published on the channel. */
export class Server {
  constructor(time, { rows = 0, pageSize = 0, page = 1, isOpenOnly = false } = {}) {
    Object.assign(this, { time, pageSize, page, isOpenOnly });
    this.rows = [];
    this.fetches = 0;
    this.events = 0;
    this.listeners = new Set();
    this.isUp = true;
    this.latency = 0;
    this.next = 1;
    for (let i = 0; i < rows; i++) this.create(i * 7);
  }

  // The API

  list() {
    return this.rows
      .filter((row) => !row.hidden && !(this.isOpenOnly && row.done))
      .sort(byPosition)
      .map(serialize);
  }

  readPage(page) {
    const all = this.list();
    const pages = Math.max(1, Math.ceil(all.length / this.pageSize));
    if (page > pages) throw new Error('404');
    return {
      count: all.length,
      next: page < pages ? `?page=${page + 1}` : null,
      previous: page > 1 ? `?page=${page - 1}` : null,
      results: all.slice((page - 1) * this.pageSize, page * this.pageSize),
    };
  }

  answer() {
    return this.pageSize ? this.readPage(this.page) : this.list();
  }

  detail(id) {
    const row = this.rows.find((each) => each.id === id && !each.hidden);
    if (!row) throw new Error('404');
    return serialize(row);
  }

  /** Answer late: the state is that of some moment between the request and the response. */
  async fetch(read, before, after) {
    this.fetches++;
    await this.time.wait(before);
    let answer, error;
    try {
      answer = structuredClone(read());
    } catch (caught) {
      error = caught;
    }
    await this.time.wait(after);
    if (error) throw error;
    return answer;
  }

  // Writes

  create(position, done = false) {
    const row = { id: this.next++, title: 'new', position, done, revision: 0, tags: '', hidden: false };
    this.rows.push(row);
    this.publish('create', serialize(row));
  }

  pick(number) {
    return this.rows[number % this.rows.length];
  }

  change(row, changes) {
    const wasHidden = row.hidden;
    Object.assign(row, { revision: row.revision + 1 }, changes);
    if (wasHidden && row.hidden) return;
    if (row.hidden) this.publish('delete', keyOf(row));
    else this.publish(wasHidden ? 'create' : 'update', serialize(row));
  }

  delete(row) {
    this.rows.splice(this.rows.indexOf(row), 1);
    if (!row.hidden) this.publish('delete', keyOf(row));
  }

  refresh() {
    this.publish('refresh', {});
  }

  publish(action, data) {
    // Who is not subscribed when it is published does not receive it.
    setTimeout(() => {
      this.events++;
      for (const each of [...this.listeners]) if (each.isSubscribed) each.event?.(`todo.${action}`, data);
    }, this.latency);
  }

  // The connection: what `live` takes as a client

  get client() {
    return {
      getStatus: () => (this.isUp ? 'connected' : 'connecting'),
      onStatus: () => () => {},
      subscribe: (channel, listener) => {
        const each = { ...listener, isSubscribed: false };
        this.listeners.add(each);
        if (this.isUp) this.accept(each);
        return () => this.listeners.delete(each);
      },
    };
  }

  accept(each) {
    setTimeout(() => {
      if (!this.isUp || !this.listeners.has(each) || each.isSubscribed) return;
      each.isSubscribed = true;
      each.subscribed?.();
    }, 20);
  }

  drop(ms) {
    if (!this.isUp) return;
    this.isUp = false;
    for (const each of this.listeners) each.isSubscribed = false;
    setTimeout(() => {
      this.isUp = true;
      for (const each of this.listeners) this.accept(each);
    }, ms);
  }
}

const serialize = ({ hidden, ...row }) => ({ ...row });
const keyOf = ({ id, revision }) => ({ id, revision });
