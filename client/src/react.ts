/** Hooks for React, on TanStack Query. */

import {
  hashKey,
  useInfiniteQuery,
  useQuery,
  useQueryClient,
  type InfiniteData,
  type UseInfiniteQueryOptions,
  type UseInfiniteQueryResult,
  type UseQueryOptions,
  type UseQueryResult,
} from "@tanstack/react-query";
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { RowIn } from "./answers.js";
import { toClient, type AnyClient, type Member, type Status } from "./clients.js";
import type { AnswerOf, Channels, Fixed, Known, ModelOf, RowOf, Undeclared } from "./contract.js";
import { trackQuery } from "./query.js";
import type { TrackOptions } from "./tracking.js";

/** No client on a server, and no channel as long as it is not known. */
type Maybe<T> = T | null | undefined;

export type UseLiveOptions<A, D, T = RowIn<Fixed<A>>> = UseQueryOptions<A, Error, D> & TrackOptions<T>;

/** Use a query whose data is what the API would answer, by the events of a model on a channel. */
export function useLive<A, D = A, C extends string = string>(
  client: Maybe<AnyClient>,
  channel: Maybe<Undeclared<C>>,
  model: string,
  options: UseLiveOptions<A, D>,
): UseQueryResult<D>;
export function useLive<C extends keyof Channels & string, M extends ModelOf<C>, A extends AnswerOf<C, M>, D = Known<A, RowOf<C, M>>>(
  client: Maybe<AnyClient>,
  channel: Maybe<C>,
  model: M,
  options: UseLiveOptions<A, D, RowOf<C, M>>,
): UseQueryResult<D>;
export function useLive(client: Maybe<AnyClient>, channel: Maybe<string>, model: string, options: any): UseQueryResult<any> {
  useTracking(client, channel, model, options);
  return useQuery(options);
}

/** The version and the key are any names: TypeScript would infer the pages from them. */
export type UseLiveInfiniteOptions<A, P> = UseInfiniteQueryOptions<A, Error, InfiniteData<A, P>, any, P> &
  Omit<TrackOptions<RowIn<A>>, "version" | "key"> & { version?: string; key?: string | readonly string[] };

/** Use an infinite query whose pages are what the API would answer. */
export function useLiveInfinite<A, P>(
  client: Maybe<AnyClient>,
  channel: Maybe<string>,
  model: string,
  options: UseLiveInfiniteOptions<A, P>,
): UseInfiniteQueryResult<InfiniteData<A, P>> {
  useTracking(client, channel, model, options);
  return useInfiniteQuery(options);
}

// Called before the query's own hook: the subscription begins before the first fetch.
function useTracking(client: Maybe<AnyClient>, channel: Maybe<string>, model: string, options: any): void {
  const queries = useQueryClient();
  const { queryKey } = options;
  const hash = hashKey(queryKey);
  const isOn = options.enabled !== false;
  const tracked = useRef<object>({});
  useEffect(() => {
    if (!client || !channel || !isOn) return;
    const [rules, release] = trackQuery(queries, queryKey, hash, client, channel, model, options);
    tracked.current = rules;
    return release;
  }, [queries, client, channel, model, hash, isOn]);
  useEffect(() => {
    Object.assign(tracked.current, options);
  });
}

/** Use who is on a presence channel. */
export function usePresence<Info = any>(client: Maybe<AnyClient>, channel: Maybe<string>): Member<Info>[] {
  const [members, setMembers] = useState<Member<Info>[]>([]);
  useEffect(() => {
    setMembers([]);
    return client && channel ? toClient(client).subscribe(channel, { members: setMembers }) : undefined;
  }, [client, channel]);
  return members;
}

/** Use the state of the connection. */
export function useConnectionStatus(client: Maybe<AnyClient>): Status {
  const one = client && toClient(client);
  return useSyncExternalStore(one?.onStatus ?? noStatus, one?.getStatus ?? initialized, initialized);
}

const noStatus = () => () => {};
const initialized = () => "initialized" as const;
