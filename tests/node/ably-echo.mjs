// Drive an unchanged @ably/laravel-echo from another process, by JSON lines.
//
// The first line on stdin is the configuration: {port, authEndpoint, headers}. Every further line is
// a command, see `commands`. Every line on stdout is one thing that happened, with its `type`. End
// of input ends the process.

import { createInterface } from 'node:readline';
import Ably from 'ably';
import Echo from '@ably/laravel-echo';

// It looks for these where a page has them.
globalThis.Ably = Ably;

let echo;

function report(type, details = {}) {
  process.stdout.write(`${JSON.stringify({ type, ...details })}\n`);
}

const say = (error) => ({ code: error?.code ?? error?.reason?.code });

function connect({ port, authEndpoint, headers }) {
  // A CommonJS module, of which Node's import is the whole.
  echo = new Echo.default({
    broadcaster: 'ably',
    // Events have the names that the server gives them.
    namespace: '',
    authEndpoint,
    auth: { headers },
    restHost: '127.0.0.1',
    realtimeHost: '127.0.0.1',
    port,
    tls: false,
    useBinaryProtocol: false,
    log: { level: 0 },
  });
  echo.connector.ably.connection.on(({ current, reason }) => {
    report('state', { current, reason: reason && say(reason) });
    if (current === 'connected') report('connected', { socket_id: echo.socketId() });
  });
}

function follow(channel, name, events) {
  channel.subscribed(() => report('subscribed', { channel: name }));
  channel.error((error) => report('subscription_error', { channel: name, data: say(error) }));
  for (const event of events ?? []) {
    channel.listen(`.${event}`, (data) => report('event', { channel: name, name: event, data }));
  }
}

const commands = {
  channel({ channel, events }) {
    follow(echo.channel(channel), channel, events);
  },
  private({ channel, events }) {
    follow(echo.private(channel), channel, events);
  },
  join({ channel, events }) {
    const joined = echo.join(channel);
    follow(joined, channel, events);
    joined.joining((member) => report('joining', { channel, member }));
    joined.leaving((member) => report('leaving', { channel, member }));
  },
  leave({ channel }) {
    echo.leave(channel);
  },
  socketId() {
    report('socketId', { socketId: echo.socketId() });
  },
};

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  const { command, ...details } = JSON.parse(line);
  if (echo === undefined) connect(details);
  else commands[command](details);
});
input.on('close', () => {
  echo?.disconnect();
  process.exit(0);
});
