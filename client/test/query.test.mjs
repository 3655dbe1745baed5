import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashKey, InfiniteQueryObserver, QueryClient, QueryObserver } from '@tanstack/react-query';
import { trackQuery } from '../dist/esm/query.js';
import { holds, PROGRAMS } from './programs.mjs';
import { byPosition, CHANNEL } from './world.mjs';

const KEY = ['todos'];
const RULES = { compare: byPosition, version: 'revision' };

/** Open a page that observes a query, fetches it whenever it likes and cancels fetches. */
const openWith = (rules, infinite) => (server, fetch) => {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false, gcTime: Infinity } } });
  queries.mount();
  const [, release] = trackQuery(queries, KEY, hashKey(KEY), server.client, CHANNEL, 'todo', rules);
  const observer = infinite
    ? new InfiniteQueryObserver(queries, {
        queryKey: KEY,
        queryFn: ({ pageParam }) => fetch(({ readPage }) => readPage.call(server, pageParam)),
        initialPageParam: 1,
        getNextPageParam: ({ next }) => (next ? Number(next.split('=')[1]) : undefined),
      })
    : new QueryObserver(queries, { queryKey: KEY, queryFn: () => fetch() });
  const close = observer.subscribe(() => {});
  let calls = 0;
  return {
    shown: () => (infinite ? observer.getCurrentResult().data.pages : observer.getCurrentResult().data),
    refetch() {
      if (++calls % 3 === 0) void queries.cancelQueries({ queryKey: KEY });
      // It cancels one that is under way: the answers of both may come in any order.
      else if (infinite && calls % 2) void observer.fetchNextPage();
      else void observer.refetch();
    },
    close() {
      close();
      release();
      queries.unmount();
    },
  };
};

const isOpen = (row) => !row.done;

for (const inOrder of [true, false]) {
  test(`a query is what the server answers, ${inOrder ? 'in order' : 'out of order'}`, () =>
    holds(PROGRAMS, { pageSize: 4, isOpenOnly: true }, openWith({ ...RULES, pageSize: 4, matches: isOpen }), inOrder));
}

/** The pages as the page that was loaded last leaves them. */
const readPages = (server) => {
  const pages = [];
  for (let number = 1; ; number++) {
    pages.push(server.readPage(number));
    if (!pages.at(-1).next) return pages;
  }
};

for (const inOrder of [true, false]) {
  test(`infinite pages are what the server answers, ${inOrder ? 'in order' : 'out of order'}`, () =>
    holds(PROGRAMS, { pageSize: 3 }, openWith({ ...RULES, pageSize: 3 }, true), inOrder, readPages, (shown, answer) => {
      assert.deepEqual(shown, answer.slice(0, shown.length));
    }));
}
