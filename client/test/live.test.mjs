import assert from 'node:assert/strict';
import { test } from 'node:test';
import { live } from 'realtime-drf';
import { holds, PROGRAMS, read, runAll } from './programs.mjs';
import { byPosition, CHANNEL, Server, Time } from './world.mjs';

const isOpen = (row) => !row.done;
const LISTS = {
  list: {},
  'filtered list': { isOpenOnly: true },
  'first page': { pageSize: 5 },
  'second page': { pageSize: 3, page: 2 },
  'filtered page': { pageSize: 4, isOpenOnly: true },
};

/** Open a page that shows a list, without a framework. */
const openWith = (rules) => (server, fetch) => {
  let error;
  const page = live(server.client, CHANNEL, 'todo', {
    ...rules,
    fetch: () => fetch(),
    onChange: () => { error = undefined; },
    onError: (caught) => { error = caught.message; },
  });
  return { shown: () => error ?? page.answer, refetch: page.refetch, close: page.stop };
};

const rulesOf = (options, more = {}) => ({
  compare: byPosition,
  matches: options.isOpenOnly ? isOpen : undefined,
  pageSize: options.pageSize,
  ...more,
});

for (const [name, options] of Object.entries(LISTS)) {
  const versioned = openWith(rulesOf(options, { version: 'revision' }));
  test(`a ${name} is what the server answers`, () => holds(PROGRAMS, options, versioned, true));
  test(`a ${name} is what the server answers when events are out of order`, () =>
    holds(PROGRAMS, options, versioned, false));
  test(`a ${name} is what the server answers without a version, in order`, () =>
    holds(PROGRAMS / 4, options, openWith(rulesOf(options)), true));
  test(`a ${name} is what the server answers without a known order`, () =>
    holds(PROGRAMS / 4, options, openWith({ matches: rulesOf(options).matches }), true));
}

const DETAIL = { open: openWith({ version: 'revision' }), read: (server) => server.detail(1) };

test('a detail is what the server answers', () =>
  holds(PROGRAMS / 4, {}, DETAIL.open, true, DETAIL.read));

test('a detail is what the server answers when events are out of order', () =>
  holds(PROGRAMS / 4, {}, DETAIL.open, false, DETAIL.read));

test('these programs find a list without a version that is wrong when events are out of order', async () => {
  const { failed } = await runAll(PROGRAMS, {}, openWith({ compare: byPosition }), false);
  assert.ok(failed);
});

test('1,000 events with four disconnections take 100 fetches or less', async () => {
  const time = new Time();
  try {
    const server = new Server(time, { rows: 60, pageSize: 20 });
    await time.run();
    server.events = 0;
    const fetch = (one = read) => server.fetch(() => one(server), 30, 30);
    const page = openWith({ ...rulesOf({ pageSize: 20 }), version: 'revision' })(server, fetch);
    let seed = 7;
    const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
    for (let writes = 0; server.events < 1000; writes++) {
      // As a page sees it whose users work, and a task now and then changes many rows at once.
      await time.run(time.now + (writes % 8 ? random(60) : random(1200)));
      if (writes % 80 === 79 && writes < 400) server.drop(random(2000));
      const many = writes % 20 === 0 ? 30 : 1;
      for (let i = 0; i < many; i++) {
        const row = server.pick(random(1000));
        const what = random(10);
        if (what < 2) server.create(random(1000));
        else if (what < 4) server.change(row, { position: random(1000) });
        else if (what < 5) server.delete(row);
        else server.change(row, { title: `title ${writes}` });
      }
    }
    await time.run();
    assert.deepEqual(page.shown(), server.answer());
    page.close();
    console.log(`${server.fetches} fetches for ${server.events} events`);
    assert.ok(server.fetches <= 100, String(server.fetches));
  } finally {
    time.restore();
  }
});

test('a page puts its own change into its list', async () => {
  const time = new Time();
  try {
    const server = new Server(time, { rows: 1 });
    const rules = { fetch: async () => server.answer(), onChange() {}, compare: byPosition };
    const page = live(server.client, CHANNEL, 'todo', rules);
    await time.run();
    const row = { id: 9, title: 'mine', position: 9 };
    page.apply('create', row);
    assert.deepEqual(page.answer.at(-1), row);
    page.apply('delete', row);
    assert.deepEqual(page.answer, server.answer());
    page.stop();
    page.apply('create', row);
    page.refetch();
    await time.run();
    assert.deepEqual(page.answer, server.answer());
  } finally {
    time.restore();
  }
});

test('a fetch that fails is tried again three times, and its error is reported', async () => {
  const time = new Time();
  try {
    const server = new Server(time);
    const errors = [];
    let fetches = 0;
    const page = live(server.client, CHANNEL, 'todo', {
      fetch: async () => {
        if (++fetches < 5) throw new Error(`fetch ${fetches}`);
        return server.answer();
      },
      onChange() {},
      onError: ({ message }) => errors.push(message),
    });
    await time.run();
    assert.ok(fetches >= 4);
    server.create(1);
    await time.run();
    assert.deepEqual(page.answer, server.answer());
    assert.deepEqual(errors, [1, 2, 3, 4].map((count) => `fetch ${count}`));
    page.stop();
  } finally {
    time.restore();
  }
});
