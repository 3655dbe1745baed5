/** A live answer for pages without a framework. */

import type { RowIn } from "./answers.js";
import type { AnyClient } from "./clients.js";
import type { AnswerOf, Channels, Fixed, Known, ModelOf, RowOf, Undeclared } from "./contract.js";
import { track, type TrackOptions } from "./tracking.js";

export interface LiveOptions<A, T = RowIn<Fixed<A>>> extends TrackOptions<T> {
  /** Ask the endpoint, as in `() => fetch("/api/todos/").then((response) => response.json())`. */
  fetch: () => Promise<A>;
  onChange: (answer: Known<A, T>) => void;
  /** Called when a fetch has failed; it is tried again three times. The default is `console.error`. */
  onError?: (error: unknown) => void;
}

export interface Live<A> {
  /** What the API would answer now, or undefined before the first fetch has ended. */
  readonly answer: A | undefined;
  refetch(): void;
  /** Do what an event would do, for a change of this page that the connection does not receive. */
  apply(action: "create" | "update" | "delete", row: Partial<RowIn<A>>): void;
  stop(): void;
}

const RETRIES = [1000, 2000, 4000];

/** Fetch an answer, and keep it equal to what the API would answer, by the events of a model on a channel. */
export function live<A, C extends string = string>(
  client: AnyClient,
  channel: Undeclared<C>,
  model: string,
  options: LiveOptions<A>,
): Live<A>;
export function live<C extends keyof Channels & string, M extends ModelOf<C>, A extends AnswerOf<C, M>>(
  client: AnyClient,
  channel: C,
  model: M,
  options: LiveOptions<A, RowOf<C, M>>,
): Live<Known<A, RowOf<C, M>>>;
export function live(client: AnyClient, channel: string, model: string, options: LiveOptions<any>): Live<any> {
  let answer: any;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let isStopped = false;

  const set = (next: any) => options.onChange((answer = next));
  const load = async (failures = 0) => {
    clearTimeout(retry);
    tracking.begin();
    let next: any;
    try {
      next = await options.fetch();
    } catch (error) {
      if (isStopped) return;
      tracking.end("error");
      if (failures < RETRIES.length) retry = setTimeout(load, RETRIES[failures], failures + 1);
      return (options.onError ?? console.error)(error);
    }
    if (isStopped) return;
    next = tracking.replay(next);
    tracking.end("success");
    set(next);
  };
  const tracking = track(client, channel, model, { get: () => answer, set, refetch: () => void load() }, options);
  void load();

  return {
    get answer() {
      return answer;
    },
    refetch: () => tracking.ask(0),
    apply: tracking.apply,
    stop() {
      isStopped = true;
      clearTimeout(retry);
      tracking.stop();
    },
  };
}
