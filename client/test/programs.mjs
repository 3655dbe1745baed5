// Random programs: what happens to the rows, the connection and the fetches, and when.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Server, Time } from './world.mjs';

/** How many are tried; with SEED, the same again. */
export const PROGRAMS = Number(process.env.PROGRAMS ?? 1000);
const SEED = Number(process.env.SEED ?? 0);

export const read = (server) => server.answer();

const number = fc.nat(1000);

const write = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('create'), a: number, done: fc.boolean() }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('rename', 'move', 'tick'), row: number, a: number }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('delete', 'hide', 'show', 'tag'), row: number, a: number }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('drop', 'refresh', 'refetch'), a: number }) },
);

const step = fc.record({
  // Several writes at one moment, within one fetch, and far from each other.
  wait: fc.oneof(fc.constant(0), fc.nat(40), fc.nat(1500)),
  latency: fc.nat(250),
  write,
});

const program = fc.record({
  rows: fc.nat(12),
  delays: fc.array(fc.nat(400), { minLength: 1, maxLength: 10 }),
  steps: fc.array(step, { minLength: 1, maxLength: 40, size: 'max' }),
});

/** Carry out one step; return false for what only the page can do. */
function carryOut(server, { do: what, row: which, a, done }) {
  if (what === 'create') return server.create(a, done);
  if (what === 'refresh') return server.refresh();
  if (what === 'drop') return server.drop(a);
  const row = server.rows.length ? server.pick(which) : undefined;
  if (!row) return undefined;
  if (what === 'rename') return server.change(row, { title: `title ${a}` });
  if (what === 'move') return server.change(row, { position: a });
  if (what === 'tick') return server.change(row, { done: !row.done });
  if (what === 'hide') return server.change(row, { hidden: true });
  if (what === 'show') return server.change(row, { hidden: false });
  // What the payload shows of another row changes, and the version does not.
  if (what === 'tag') return server.change(row, { tags: `tag ${a}`, revision: row.revision });
  return server.delete(row);
}

/**
 * Run a program and return what the page shows at its end beside what the server answers.
 *
 * `open(server, fetch)` opens the page: it returns `shown()`, `refetch()` and `close()`. `order` is
 * true if events arrive in the order of the writes.
 */
async function run({ rows, delays, steps }, options, { open, inOrder, read }) {
  const time = new Time();
  try {
    const server = new Server(time, { ...options, rows });
    await time.run(); // what has been published before that is nothing to the page
    let taken = 0;
    const delay = () => delays[taken++ % delays.length];
    const page = open(server, (one = read) => server.fetch(() => one(server), delay(), delay()));
    for (const { wait, latency, write } of steps) {
      await time.run(time.now + wait);
      // A row without growth of its version has no order of its own.
      if (!inOrder && write.do === 'tag') continue;
      server.latency = inOrder ? 30 : latency;
      if (write.do === 'refetch') page.refetch();
      else carryOut(server, write);
    }
    await time.run();
    let answer;
    try {
      answer = read(server);
    } catch (error) {
      answer = error.message;
    }
    const shown = page.shown();
    page.close();
    await time.run();
    return { shown, answer, server };
  } finally {
    time.restore();
  }
}

/** Run programs until one ends with something else than what the server answers. */
export const runAll = (programs, options, open, inOrder, readOne = read, compare = assert.deepEqual) =>
  fc.check(
    fc.asyncProperty(program, async (random) => {
      const { shown, answer } = await run(random, options, { open, inOrder, read: readOne });
      compare(shown, answer);
    }),
    { numRuns: programs, ...(SEED && { seed: SEED }) },
  );

export async function holds(...args) {
  const { failed, seed, errorInstance, counterexample } = await runAll(...args);
  assert.ok(!failed, `SEED=${seed}: ${errorInstance?.message}\n${JSON.stringify(counterexample)}`);
}
