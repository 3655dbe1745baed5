import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apply } from '../dist/esm/answers.js';

const event = (action, data) => ({ action, data });
const byId = { compare: (a, b) => a.id - b.id };
const page = (ids, more) => ({ count: 9, next: null, previous: null, results: ids.map((id) => ({ id })), ...more });

test('an event that is older than the row in the answer changes nothing', () => {
  const rows = [{ id: 1, v: 2 }];
  assert.deepEqual(apply(rows, event('update', { id: 1, v: 1 }), { version: 'v' }), [rows, false]);
  assert.deepEqual(apply(rows, event('delete', { id: 1, v: 1 }), { version: 'v' }), [rows, false]);
  assert.deepEqual(apply(rows[0], event('delete', { id: 1, v: 1 }), { version: 'v' }), [rows[0], false]);
});

test('the event of another row leaves a detail alone, also one that has results or pages', () => {
  for (const detail of [{ id: 1 }, { id: 1, results: [] }, { id: 1, pages: 300 }]) {
    assert.deepEqual(apply(detail, event('update', { id: 2, title: 'a' }), {}), [detail, false]);
    assert.equal(apply(detail, event('update', { id: 1, title: 'a' }), {})[0].title, 'a');
  }
});

test('a row has the key that is named, of several columns too', () => {
  const rows = [{ user: 1, list: 2, role: 'a' }, { user: 1, list: 3, role: 'b' }];
  const [next] = apply(rows, event('delete', { user: 1, list: 3 }), { key: ['user', 'list'] });
  assert.deepEqual(next, [rows[0]]);
  assert.deepEqual(apply([{ uuid: 'x' }], event('delete', { uuid: 'x' }), { key: 'uuid' }), [[], false]);
});

test('what an event does not have, a row keeps', () => {
  const [next] = apply([{ id: 1, note: 'n', title: 'a' }], event('update', { id: 1, title: 'b' }), byId);
  assert.deepEqual(next, [{ id: 1, note: 'n', title: 'b' }]);
});

test('a page of CursorPagination has no count', () => {
  const { count, ...cursor } = page([1, 2]);
  assert.deepEqual(apply(cursor, event('delete', { id: 1 }), byId)[0], { ...cursor, results: [{ id: 2 }] });
});

test('a row that stays among its neighbours needs no fetch on a cut page, one at an end does', () => {
  const rows = [1, 2, 3, 4].map((id) => ({ id, at: id * 10 }));
  const cut = { count: 9, next: '?page=2', previous: null, results: rows };
  const compare = (a, b) => a.at - b.at;
  const move = (id, at) => apply(cut, event('update', { id, at }), { compare });
  assert.deepEqual(move(3, 15)[0].results.map(({ id }) => id), [1, 3, 2, 4]);
  assert.equal(move(3, 15)[1], false);
  assert.equal(move(1, 35)[1], false); // there is no page before it
  assert.equal(move(2, 45)[1], true);
  assert.equal(move(4, 15)[1], true);
});

test('on infinite pages a row changes where it is, and any other row is for the server', () => {
  const pages = { pages: [page([1, 2], { next: '?page=2' }), page([3, 4], { previous: '?page=1' })], pageParams: [1, 2] };
  const [next, ask] = apply(pages, event('update', { id: 3, title: 'b' }), byId);
  assert.equal(ask, false);
  assert.equal(next.pages[0], pages.pages[0]);
  assert.equal(next.pages[1].results[0].title, 'b');
  assert.deepEqual(apply(pages, event('create', { id: 5 }), byId), [pages, true]);
  const single = { pages: [page([1, 2], { count: 2 })], pageParams: [1] };
  const [grown, asks] = apply(single, event('create', { id: 3 }), { ...byId, pageSize: 3 });
  assert.deepEqual([grown.pages[0].count, asks], [3, false]);
});

test('pages that were fetched before and after a change are for the server', () => {
  const pages = { pages: [page([1, 2], { next: '?page=2' }), page([3], { count: 10, previous: '?page=1' })], pageParams: [1, 2] };
  assert.equal(apply(pages, event('create', { id: 3 }), byId)[1], true);
});

test('a refresh is for the server', () => {
  assert.deepEqual(apply([], event('refresh', {}), byId), [[], true]);
});
