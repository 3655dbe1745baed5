// Drive an unchanged pusher-js from another process, by JSON lines.
//
// The first line on stdin is the configuration: {key, host, port, channelAuthorization,
// userAuthentication, options, frames}. Each authorization is null, {endpoint, headers, params} for
// pusher-js's own HTTP request, or "ask" to have the other process decide. Every further line is a
// command, see `commands`. Every line on stdout is one thing that happened, with its `type`.
// End of input ends the process.

import { createInterface } from 'node:readline';
import Pusher from 'pusher-js';

const questions = new Map();
let pusher;
let user; // who has signed in, as the server says it

function report(type, details = {}) {
  process.stdout.write(`${JSON.stringify({ type, ...details })}\n`);
}

function authorization(configured, kind) {
  if (configured !== 'ask') {
    return configured && { transport: 'ajax', ...configured };
  }
  return {
    customHandler({ socketId, channelName = null }, callback) {
      const id = questions.size;
      questions.set(id, callback);
      report('question', { id, kind, socket_id: socketId, channel: channelName });
    },
  };
}

function connect(config) {
  const options = {
    // Any value but null: it is not used where a host is given.
    cluster: 'none',
    wsHost: config.host,
    wsPort: config.port,
    forceTLS: false,
    enabledTransports: ['ws'],
    ...config.options,
  };
  const channels = authorization(config.channelAuthorization, 'channel');
  const users = authorization(config.userAuthentication, 'user');
  if (channels) options.channelAuthorization = channels;
  if (users) options.userAuthentication = users;

  pusher = new Pusher(config.key, options);
  pusher.connection.bind('state_change', ({ previous, current }) => {
    report('state', { previous, current });
    if (current === 'connected') {
      report('connected', { socket_id: pusher.connection.socket_id });
    }
  });
  pusher.connection.bind('error', (error) => {
    report('error', { error: error?.error?.data ?? error?.data ?? String(error?.error ?? error) });
  });
  pusher.connection.bind('message', (frame) => {
    if (config.frames) report('frame', frame);
    if (frame.event === 'pusher:signin_success') user = frame.data;
    // Upon which pusher-js asks for the user's channel: before it is on that, it hears nothing.
    const isOwn = frame.channel?.startsWith('#server-to-user-');
    if (isOwn && frame.event === 'pusher_internal:subscription_succeeded') {
      report('signed_in', { data: user });
    }
  });
  pusher.user.bind_global((name, data) => {
    if (name === 'pusher:signin_error') report('signin_error', { data });
    else report('user_event', { name, data });
  });
}

function listen(channel) {
  // A name is bound once, however often it is subscribed to.
  channel.unbind_all();
  channel.bind_global((name, data) => {
    const about = { channel: channel.name };
    if (name === 'pusher:subscription_succeeded') {
      // Members are an object with methods: its plain parts are what a test compares.
      const members = data?.members && { count: data.count, members: data.members, me: data.me };
      report('subscribed', { ...about, data: members ?? data });
    } else if (name === 'pusher:subscription_error') {
      report('subscription_error', { ...about, data });
    } else {
      report('event', { ...about, name, data });
    }
  });
}

const commands = {
  subscribe({ channel }) {
    listen(pusher.subscribe(channel));
  },
  unsubscribe({ channel }) {
    pusher.unsubscribe(channel);
    report('unsubscribed', { channel });
  },
  signin() {
    pusher.signin();
  },
  trigger({ channel, name, data }) {
    report('triggered', { channel, name, sent: pusher.channel(channel).trigger(name, data) });
  },
  connect() {
    pusher.connect();
  },
  disconnect() {
    pusher.disconnect();
  },
  answer({ id, error, auth }) {
    const callback = questions.get(id);
    callback(error === null ? null : new Error(error), auth);
  },
};

function obey(line) {
  const { command, ...details } = JSON.parse(line);
  try {
    commands[command](details);
  } catch (error) {
    report('command_error', { command, ...details, error: String(error?.message ?? error) });
  }
}

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  if (pusher === undefined) connect(JSON.parse(line));
  else obey(line);
});
input.on('close', () => {
  pusher?.disconnect();
  process.exit(0);
});
