/** Composables for Vue, on TanStack Query. */

import { hashKey, useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/vue-query";
import type { InfiniteData, UseInfiniteQueryReturnType, UseQueryReturnType } from "@tanstack/vue-query";
import { computed, onScopeDispose, shallowRef, toValue, watch, type MaybeRefOrGetter, type ShallowRef } from "vue";
import type { RowIn } from "./answers.js";
import { toClient, type AnyClient, type Member, type Status } from "./clients.js";
import type { AnswerOf, Channels, Fixed, Known, ModelOf, RowOf, Undeclared } from "./contract.js";
import { trackQuery } from "./query.js";
import type { TrackOptions } from "./tracking.js";

/** No channel as long as it is not known. */
type Maybe<T> = MaybeRefOrGetter<T | null | undefined>;

/** The query's options, of which the key and `enabled` may be refs or getters, and those of a live list. */
export interface UseLiveOptions<A, T = RowIn<Fixed<A>>> extends TrackOptions<T> {
  queryKey: MaybeRefOrGetter<readonly unknown[]>;
  queryFn: (context: any) => A | Promise<A>;
  enabled?: MaybeRefOrGetter<boolean>;
  staleTime?: number;
  gcTime?: number;
}

/** Use a query whose data is what the API would answer, by the events of a model on a channel. */
export function useLive<A, C extends string = string>(
  client: AnyClient,
  channel: Maybe<Undeclared<C>>,
  model: string,
  options: UseLiveOptions<A>,
): UseQueryReturnType<A, Error>;
export function useLive<C extends keyof Channels & string, M extends ModelOf<C>, A extends AnswerOf<C, M>>(
  client: AnyClient,
  channel: Maybe<C>,
  model: M,
  options: UseLiveOptions<A, RowOf<C, M>>,
): UseQueryReturnType<Known<A, RowOf<C, M>>, Error>;
export function useLive(client: AnyClient, channel: Maybe<string>, model: string, options: any): any {
  return useQuery(useTracking(client, channel, model, options));
}

export interface UseLiveInfiniteOptions<A, P> extends UseLiveOptions<A> {
  initialPageParam: P;
  getNextPageParam: (last: A, all: A[], lastParam: P, allParams: P[]) => P | null | undefined;
}

/** Use an infinite query whose pages are what the API would answer. */
export function useLiveInfinite<A, P>(
  client: AnyClient,
  channel: Maybe<string>,
  model: string,
  options: UseLiveInfiniteOptions<A, P>,
): UseInfiniteQueryReturnType<InfiniteData<A, P>, Error> {
  return useInfiniteQuery(useTracking(client, channel, model, options)) as any;
}

// Called before the query's own composable: the subscription begins before the first fetch.
function useTracking(client: AnyClient, channel: Maybe<string>, model: string, options: any): any {
  const queries = useQueryClient();
  const queryKey = computed(() => unwrap(options.queryKey));
  const name = () => (toValue(options.enabled) === false ? undefined : toValue(channel));
  watch(
    [name, () => hashKey(queryKey.value)] as const,
    ([channel, hash], _, onCleanup) => {
      if (!channel) return;
      const [, release] = trackQuery(queries, queryKey.value, hash, client, channel, model, options);
      onCleanup(release);
    },
    { immediate: true, flush: "sync" },
  );
  return { ...options, queryKey };
}

/** Return a key without refs and getters. */
function unwrap(value: any): any {
  value = toValue(value);
  if (Array.isArray(value)) return value.map(unwrap);
  if (value?.constructor !== Object) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, unwrap(each)]));
}

/** Use who is on a presence channel. */
export function usePresence<Info = any>(client: AnyClient, channel: Maybe<string>): Readonly<ShallowRef<Member<Info>[]>> {
  const members = shallowRef<Member<Info>[]>([]);
  watch(
    () => toValue(channel),
    (name, _, onCleanup) => {
      members.value = [];
      if (name) onCleanup(toClient(client).subscribe(name, { members: (list) => (members.value = list) }));
    },
    { immediate: true },
  );
  return members;
}

/** Use the state of the connection. */
export function useConnectionStatus(client: AnyClient): Readonly<ShallowRef<Status>> {
  const { getStatus, onStatus } = toClient(client);
  const status = shallowRef(getStatus());
  onScopeDispose(onStatus(() => (status.value = getStatus())));
  return status;
}
