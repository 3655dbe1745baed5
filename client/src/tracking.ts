/** Keeps an answer that something else has fetched and stored in step with the events of a channel. */

import { apply, keyOf, type RowEvent, type Rules } from "./answers.js";
import { toClient, type AnyClient } from "./clients.js";

export interface TrackOptions<T> extends Rules<T> {
  /** Milliseconds to wait for more events before a fetch. The default is 300. */
  settle?: number;
  /** Milliseconds within which clients fetch after a reconnection, at random. The default is 2,000. */
  jitter?: number;
}

/** Where the answer is kept. */
export interface Store {
  get(): any;
  set(answer: any): void;
  /** Fetch it again. Not called while a fetch is under way. */
  refetch(): void;
}

/** The fetches of a store, as it reports them. */
export interface Tracking {
  /** A fetch has begun, of the whole answer or of one more page. */
  begin(isWhole?: boolean): void;
  /** Return what was fetched, with the events that have arrived since it began. */
  replay(answer: any): any;
  /** The fetch has ended. If it failed and had to be, the next event asks for another. */
  end(outcome: "success" | "error" | "cancelled"): void;
  /** Fetch again in so many milliseconds, and once the fetch that is under way has ended. */
  ask(wait?: number): void;
  apply(action: string, data: any): void;
  stop(): void;
}

const ACTIONS = ["create", "update", "delete", "refresh"];

export function track(anyClient: AnyClient, channel: string, model: string, store: Store, options: TrackOptions<any>): Tracking {
  const newest = new Map<string, [version: any, isDeleted: boolean]>();
  let log: RowEvent[] = [];
  let isFetching = false;
  let isDue = false; // for a fetch, of which only the server's answer is right
  let isServed = false; // by the fetch that is under way
  let isAgain = false;
  let isStopped = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const run = () => {
    timer = undefined;
    if (isDue && !isFetching) store.refetch();
  };
  const settle = () => options.settle ?? 300;
  const ask = (wait = settle()) => {
    isDue = true;
    if (!isStopped) timer ??= setTimeout(run, wait);
  };

  /** Return whether a newer event of its row has been received. A deleted row comes back with a newer one only. */
  const isStale = ({ action, data }: RowEvent): boolean => {
    const version = options.version && data[options.version];
    if (version === undefined) return false;
    const key = keyOf(data, options);
    const isDeleted = action === "delete";
    const [last, wasDeleted] = newest.get(key) ?? [];
    if (last > version || (last === version && wasDeleted && !isDeleted)) return true;
    newest.set(key, [version, isDeleted]);
    return false;
  };

  const change = (answer: any, event: RowEvent) => {
    const [next, asks] = apply(answer, event, options);
    if (asks || (isDue && next !== answer)) ask();
    return next;
  };

  const event = (name: string, data: any) => {
    const action = name.slice(model.length + 1);
    if (name === `${model}.${action}` && ACTIONS.includes(action)) receive(action, data);
  };

  const receive = (action: string, data: any) => {
    const event = { action, data };
    if (isStopped || (action !== "refresh" && isStale(event))) return;
    if (isFetching) log.push(event);
    const answer = store.get();
    if (answer === undefined) return isFetching ? undefined : ask(); // the first fetch has failed
    const next = change(answer, event);
    if (next !== answer) store.set(next);
  };

  const subscribed = () => {
    // What was fetched before may lack what was sent before.
    log = [];
    newest.clear();
    // And so that what was published late cannot bring back a row of which the delete was missed.
    ask(settle() + (isAgain ? Math.random() * (options.jitter ?? 2000) : 0));
    isAgain = true;
  };

  const unsubscribe = toClient(anyClient).subscribe(channel, { subscribed, event });

  return {
    begin(isWhole = true) {
      isDue ||= isFetching && isServed;
      isServed = isWhole && isDue;
      isFetching = true;
      log = [];
      if (!isWhole) return;
      isDue = false;
      clearTimeout(timer);
      timer = undefined;
    },
    replay: (answer) => log.reduce(change, answer),
    end(outcome) {
      isFetching = false;
      const isDone = outcome === "success";
      if (!isDone) isDue ||= isServed;
      if (isDue && outcome !== "error") ask(isDone ? 0 : settle());
    },
    ask,
    apply: receive,
    stop() {
      isStopped = true;
      unsubscribe();
      clearTimeout(timer);
    },
  };
}
