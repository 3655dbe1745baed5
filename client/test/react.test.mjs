import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Api, byId, CHANNEL, CountingPusher, rest, until } from './page.mjs';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createElement as h, StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { useConnectionStatus, useLive, useLiveInfinite, usePresence } from 'realtime-drf/react';

function mount(Component) {
  const queries = new QueryClient({ defaultOptions: { queries: { gcTime: Infinity } } });
  const element = document.createElement('div');
  const root = createRoot(element);
  root.render(h(StrictMode, null, h(QueryClientProvider, { client: queries }, h(Component))));
  return { text: () => element.textContent, unmount: () => root.unmount(), queries };
}

const List = ({ pusher, api, channel = CHANNEL, enabled, settle = 1 }) => {
  const { data } = useLive(pusher, channel, 'todo', { queryKey: ['todos', channel], queryFn: api.fetch, enabled, settle, ...byId });
  return h('p', null, (data ?? []).map(({ title }) => title).join());
};

test('two components on one list in StrictMode: one subscription, one fetch, one unsubscription', async () => {
  const [pusher, api] = [new CountingPusher(), new Api()];
  pusher.subscribe(CHANNEL).send('pusher:subscription_succeeded'); // which the page has already
  const page = mount(() => [h(List, { key: 1, pusher, api }), h(List, { key: 2, pusher, api })]);
  await until(() => page.text() === 'milkmilk');
  await rest();
  assert.equal(api.fetches, 1);
  assert.equal(pusher.channel(CHANNEL).listeners.size, 1);
  pusher.channel(CHANNEL).send('todo.create', { id: 2, title: 'tea' });
  await until(() => page.text() === 'milk,teamilk,tea');
  page.unmount();
  await rest();
  assert.equal(pusher.channel(CHANNEL).listeners.size, 0);
  assert.deepEqual(pusher.calls, [`subscribe ${CHANNEL}`]); // which stays, as the page has made it
  assert.equal(api.fetches, 1);
});

test('a subscription that begins after the fetch makes one more, and ends with the last component', async () => {
  const [pusher, api] = [new CountingPusher(), new Api()];
  let show;
  const page = mount(() => {
    const [shown, setShown] = useState([1, 2]);
    show = setShown;
    return shown.map((key) => h(List, { key, pusher, api }));
  });
  await until(() => page.text() === 'milkmilk');
  api.rows.push({ id: 2, title: 'tea' }); // before the subscription: nobody receives it
  pusher.channel(CHANNEL).send('pusher:subscription_succeeded');
  await until(() => page.text() === 'milk,teamilk,tea');
  assert.equal(api.fetches, 2);
  show([3]); // another component in place of both
  await rest();
  assert.deepEqual(pusher.calls, [`subscribe ${CHANNEL}`]);
  page.unmount();
  await until(() => pusher.calls.length === 2);
  assert.equal(pusher.calls[1], `unsubscribe ${CHANNEL}`);
});

test('another channel takes the place of the first, and without one there is no subscription', async () => {
  const [pusher, api] = [new CountingPusher(), new Api()];
  let go;
  const page = mount(() => {
    const [props, setProps] = useState({ channel: null });
    go = setProps;
    return h(List, { pusher, api, ...props });
  });
  await rest();
  assert.deepEqual(pusher.calls, []);
  go({ channel: 'a' });
  await until(() => pusher.channel('a'));
  go({ channel: 'b' });
  await until(() => pusher.calls.includes('unsubscribe a'));
  go({ channel: 'b', enabled: false });
  await until(() => pusher.calls.includes('unsubscribe b'));
  assert.deepEqual(pusher.calls, ['subscribe a', 'subscribe b', 'unsubscribe a', 'unsubscribe b']);
  page.unmount();
});

test('another connection takes the place of the first', async () => {
  const api = new Api();
  const [first, second] = [new CountingPusher(), new CountingPusher()];
  let connect;
  const page = mount(() => {
    const [pusher, setPusher] = useState(first);
    connect = setPusher;
    return h(List, { pusher, api });
  });
  await until(() => first.channel(CHANNEL));
  connect(second);
  await until(() => first.calls.length === 2 && second.channel(CHANNEL));
  api.rows.push({ id: 2, title: 'tea' });
  second.channel(CHANNEL).send('pusher:subscription_succeeded');
  second.channel(CHANNEL).send('todo.create', { id: 2, title: 'tea' });
  await until(() => page.text() === 'milk,tea');
  page.unmount();
});

test('the rules are those of the last rendering', async () => {
  const [pusher, api] = [new CountingPusher(), new Api()];
  let want;
  const Filtered = () => {
    const [word, setWord] = useState('tea');
    want = setWord;
    const matches = ({ title }) => title !== word;
    const { data } = useLive(pusher, CHANNEL, 'todo', { queryKey: ['todos'], queryFn: api.fetch, matches, ...byId });
    return h('p', null, `${word}: ${data?.map(({ title }) => title)}`);
  };
  const page = mount(Filtered);
  await until(() => page.text() === 'tea: milk');
  want('juice');
  await until(() => page.text() === 'juice: milk');
  pusher.channel(CHANNEL).send('todo.create', { id: 2, title: 'tea' });
  pusher.channel(CHANNEL).send('todo.create', { id: 3, title: 'juice' });
  await until(() => page.text() === 'juice: milk,tea');
  page.unmount();
});

test('infinite pages are live', async () => {
  const pusher = new CountingPusher();
  const queryFn = async ({ pageParam }) => ({ next: null, previous: null, count: 1, results: [{ id: pageParam, title: 'milk' }] });
  const Pages = () => {
    const { data } = useLiveInfinite(pusher, CHANNEL, 'todo', {
      queryKey: ['todos'], queryFn, initialPageParam: 1, getNextPageParam: () => null, ...byId,
    });
    return h('p', null, data?.pages.flatMap(({ results }) => results.map(({ title }) => title)).join());
  };
  const page = mount(Pages);
  await until(() => page.text() === 'milk');
  pusher.channel(CHANNEL).send('todo.update', { id: 1, title: 'tea' });
  await until(() => page.text() === 'tea');
  page.unmount();
});

test('who is there, and the state of the connection', async () => {
  const pusher = new CountingPusher();
  const People = () => h('p', null, `${useConnectionStatus(pusher)} ${usePresence(pusher, 'presence-room').map(({ info }) => info.name)}`);
  const page = mount(People);
  await until(() => page.text() === 'connecting ');
  pusher.become('connected');
  await until(() => pusher.channel('presence-room'));
  const room = pusher.channel('presence-room');
  room.people = { 1: { name: 'Ann' } };
  room.send('pusher:subscription_succeeded');
  await until(() => page.text() === 'connected Ann');
  room.people[2] = { name: 'Bob' };
  room.send('pusher:member_added', { id: '2' });
  await until(() => page.text() === 'connected Ann,Bob');
  page.unmount();
  await until(() => pusher.calls.includes('unsubscribe presence-room'));
});
