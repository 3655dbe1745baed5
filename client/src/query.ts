/** Keeps a query of TanStack's in step with the events of a channel. */

import { share, toClient, type AnyClient, type Client } from "./clients.js";
import { track, type TrackOptions } from "./tracking.js";

/** The part of a QueryClient that is used; React's and Vue's have it. */
interface Queries {
  getQueryCache(): { get(hash: string): any; subscribe(listener: (event: any) => void): () => void };
  setQueryData(queryKey: any, data: any): unknown;
  invalidateQueries(filters: any): Promise<void>;
}

type Share = ReturnType<typeof share<TrackOptions<any>>>;
const shares = new WeakMap<object, WeakMap<Client, Share>>();

/**
 * Track a query, or share what tracks it; the last options count. Return those in use, which may be
 * assigned to, and a function that releases it.
 */
export function trackQuery(
  queries: Queries,
  queryKey: readonly unknown[],
  hash: string,
  anyClient: AnyClient,
  channel: string,
  model: string,
  options: TrackOptions<any>,
): [options: TrackOptions<any>, release: () => void] {
  const client = toClient(anyClient);
  let clients = shares.get(queries);
  if (!clients) shares.set(queries, (clients = new WeakMap()));
  let use = clients.get(client);
  if (!use) clients.set(client, (use = share()));
  const own = { ...options };
  const [shared, release] = use(`${channel} ${model} ${hash}`, () => [
    own,
    start(queries, queryKey, hash, client, channel, model, own),
  ]);
  return [Object.assign(shared, options), release];
}

function start(
  queries: Queries,
  queryKey: readonly unknown[],
  hash: string,
  client: Client,
  channel: string,
  model: string,
  options: TrackOptions<any>,
): () => void {
  const cache = queries.getQueryCache();
  const read = () => cache.get(hash)?.state;
  const set = (answer: any) => queries.setQueryData(queryKey, answer);
  const refetch = () => void queries.invalidateQueries({ queryKey, exact: true });
  const tracking = track(client, channel, model, { get: () => read()?.data, set, refetch }, options);

  let isFetching = (read()?.fetchStatus ?? "idle") !== "idle";
  // It may have begun at any time: another one has to follow.
  if (isFetching) tracking.begin(false);

  const unsubscribe = cache.subscribe(({ type, query, action }) => {
    if (type !== "updated" || query.queryHash !== hash) return;
    if (action.type === "fetch") {
      isFetching = true;
      return tracking.begin(!action.meta?.fetchMore);
    }
    if (!isFetching || query.state.fetchStatus !== "idle") return;
    isFetching = false;
    // Also after a fetch that was cancelled: the query has then the answer from before it.
    const { data } = query.state;
    const next = data === undefined ? data : tracking.replay(data);
    tracking.end(/^(success|error)$/.test(action.type) ? action.type : "cancelled");
    if (next !== data) set(next);
  });
  return () => {
    unsubscribe();
    tracking.stop();
  };
}
