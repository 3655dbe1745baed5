// Drive an unchanged laravel-echo over pusher-js from another process, by JSON lines.
//
// The first line on stdin is the configuration: {key, host, port, authEndpoint, headers}.
// Every further line is a command, see `commands`. Every line on stdout is one thing that happened,
// with its `type`. End of input ends the process.

import { createInterface } from 'node:readline';
import Echo from 'laravel-echo';
import Pusher from 'pusher-js';

let echo;

function report(type, details = {}) {
  process.stdout.write(`${JSON.stringify({ type, ...details })}\n`);
}

function connect({ key, host, port, authEndpoint, headers }) {
  echo = new Echo({
    broadcaster: 'pusher',
    Pusher,
    key,
    cluster: 'none',
    wsHost: host,
    wsPort: port,
    forceTLS: false,
    enabledTransports: ['ws'],
    // Events have the names that the server gives them.
    namespace: false,
    authEndpoint,
    auth: { headers: headers ?? {} },
  });
  echo.connector.pusher.connection.bind('connected', () => {
    report('connected', { socket_id: echo.socketId() });
  });
}

function follow(channel, name, events) {
  channel.subscribed(() => report('subscribed', { channel: name }));
  channel.error((data) => report('subscription_error', { channel: name, data }));
  for (const event of events ?? []) {
    channel.listen(event, (data) => report('event', { channel: name, name: event, data }));
  }
}

const commands = {
  private({ channel, events }) {
    follow(echo.private(channel), channel, events);
  },
  encryptedPrivate({ channel, events }) {
    follow(echo.encryptedPrivate(channel), channel, events);
  },
  join({ channel, events }) {
    const joined = echo.join(channel);
    follow(joined, channel, events);
    joined.here((members) => report('here', { channel, members }));
    joined.joining((member) => report('joining', { channel, member }));
    joined.leaving((member) => report('leaving', { channel, member }));
  },
  leave({ channel }) {
    echo.leave(channel);
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
