import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Api, byId, CHANNEL, CountingPusher, rest, until } from './page.mjs';
import { QueryClient, VueQueryPlugin } from '@tanstack/vue-query';
import { createApp, h, ref } from 'vue';
import { useConnectionStatus, useLive, useLiveInfinite, usePresence } from 'realtime-drf/vue';

function mount(setup) {
  const queryClient = new QueryClient({ defaultOptions: { queries: { gcTime: Infinity } } });
  const element = document.createElement('div');
  const app = createApp({ setup });
  app.use(VueQueryPlugin, { queryClient });
  app.mount(element);
  return { text: () => element.textContent, unmount: () => app.unmount() };
}

const List = {
  props: ['pusher', 'api', 'channel', 'enabled'],
  setup(props) {
    const { data } = useLive(props.pusher, () => props.channel, 'todo', {
      queryKey: () => ['todos', () => props.channel], queryFn: props.api.fetch, settle: 1, ...byId,
    });
    return () => h('p', (data.value ?? []).map(({ title }) => title).join());
  },
};

test('two components on one list: one subscription, one fetch, one unsubscription', async () => {
  const [pusher, api] = [new CountingPusher(), new Api()];
  const { subscribe } = pusher;
  pusher.subscribe = function (name) {
    const channel = subscribe.call(this, name);
    channel.subscribed = true; // as when another part of the page has just subscribed
    return channel;
  };
  const shown = ref([1, 2]);
  const page = mount(() => () => shown.value.map((key) => h(List, { key, pusher, api, channel: CHANNEL })));
  await until(() => page.text() === 'milkmilk');
  await rest();
  assert.equal(api.fetches, 1);
  assert.equal(pusher.channel(CHANNEL).listeners.size, 1);
  pusher.channel(CHANNEL).send('todo.create', { id: 2, title: 'tea' });
  await until(() => page.text() === 'milk,teamilk,tea');
  api.rows.push({ id: 2, title: 'tea' });
  shown.value = [3];
  await until(() => page.text() === 'milk,tea');
  page.unmount();
  await until(() => pusher.calls.length === 2);
  assert.deepEqual(pusher.calls, [`subscribe ${CHANNEL}`, `unsubscribe ${CHANNEL}`]);
});

test('another channel takes the place of the first, and without one there is no subscription', async () => {
  const [pusher, api] = [new CountingPusher(), new Api()];
  const channel = ref();
  const page = mount(() => () => h(List, { pusher, api, channel: channel.value }));
  await rest();
  assert.deepEqual(pusher.calls, []);
  channel.value = 'a';
  await until(() => pusher.channel('a'));
  channel.value = 'b';
  await until(() => pusher.calls.includes('unsubscribe a'));
  page.unmount();
  await until(() => pusher.calls.includes('unsubscribe b'));
});

test('infinite pages are live', async () => {
  const pusher = new CountingPusher();
  const queryFn = async ({ pageParam }) => ({ next: null, previous: null, count: 1, results: [{ id: pageParam, title: 'milk' }] });
  const page = mount(() => {
    const { data } = useLiveInfinite(pusher, CHANNEL, 'todo', {
      queryKey: ['todos'], queryFn, initialPageParam: 1, getNextPageParam: () => null, ...byId,
    });
    return () => h('p', data.value?.pages.flatMap(({ results }) => results.map(({ title }) => title)).join());
  });
  await until(() => page.text() === 'milk');
  pusher.channel(CHANNEL).send('todo.update', { id: 1, title: 'tea' });
  await until(() => page.text() === 'tea');
  page.unmount();
});

test('who is there, and the state of the connection', async () => {
  const pusher = new CountingPusher();
  const page = mount(() => {
    const status = useConnectionStatus(pusher);
    const people = usePresence(pusher, 'presence-room');
    return () => h('p', `${status.value} ${people.value.map(({ info }) => info.name)}`);
  });
  await until(() => page.text() === 'connecting ');
  pusher.become('connected');
  const room = pusher.channel('presence-room');
  room.people = { 1: { name: 'Ann' } };
  room.send('pusher:subscription_succeeded');
  await until(() => page.text() === 'connected Ann');
  page.unmount();
  await until(() => pusher.calls.includes('unsubscribe presence-room'));
  assert.equal(pusher.listeners.size, 0);
});
