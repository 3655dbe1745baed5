import assert from 'node:assert/strict';
import { test } from 'node:test';
import Echo from 'laravel-echo';
import Pusher from 'pusher-js';
import { live } from 'realtime-drf';
import { fromEcho } from 'realtime-drf/echo';
import { rest } from './page.mjs';

const CHANNEL = 'private-lists.5';
const options = { fetch: async () => [], onChange() {} };

/** A pusher-js that is not connected: what it wants to be subscribed to shows all the same. */
function disconnected() {
  const pusher = new Pusher('key', { cluster: '', wsHost: '127.0.0.1', wsPort: 9, forceTLS: false });
  pusher.disconnect();
  return pusher;
}

const isWanted = (pusher) => pusher.channel(CHANNEL)?.subscriptionCancelled === false;

test('lists share the subscription of their channel, and the last one ends it', async () => {
  const pusher = disconnected();
  const [one, two] = [live(pusher, CHANNEL, 'todo', options), live(pusher, CHANNEL, 'tag', options)];
  one.stop();
  await rest();
  assert.ok(isWanted(pusher));
  two.stop();
  await rest();
  assert.ok(!isWanted(pusher));
  live(pusher, CHANNEL, 'todo', options).stop();
  live(pusher, CHANNEL, 'todo', options);
  await rest();
  assert.ok(isWanted(pusher));
});

test('a channel that the page uses too stays subscribed', async () => {
  for (const use of [(channel) => channel.bind('news', () => {}), (channel) => channel.bind_global(() => {})]) {
    const pusher = disconnected();
    const list = live(pusher, CHANNEL, 'todo', options);
    use(pusher.subscribe(CHANNEL));
    list.stop();
    await rest();
    assert.ok(isWanted(pusher));
  }
  const pusher = disconnected();
  pusher.subscribe(CHANNEL);
  live(pusher, CHANNEL, 'todo', options).stop();
  await rest();
  assert.ok(isWanted(pusher));
});

test('a channel that Echo has stays subscribed, and one that it does not have does not', async () => {
  const pusher = disconnected();
  const echo = new Echo({ broadcaster: 'pusher', client: pusher, key: 'key' });
  assert.equal(fromEcho(echo), fromEcho(echo));
  const list = live(fromEcho(echo), CHANNEL, 'todo', options);
  echo.private('lists.5');
  list.stop();
  await rest();
  assert.ok(isWanted(pusher));
  echo.leave('lists.5');
  live(fromEcho(echo), CHANNEL, 'todo', options).stop();
  await rest();
  assert.ok(!isWanted(pusher));
});

test('an Echo over something else is an error', () => {
  assert.throws(() => fromEcho({ connector: {} }), /broadcaster "pusher" or "reverb"/);
});
