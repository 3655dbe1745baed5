// Drive an unchanged ably-js from another process, by JSON lines.
//
// The first line on stdin is the configuration: {port, options, callback}. With `callback`, a URL,
// tokens come by an authCallback that asks there for the channels of the page, else as `options`
// say. Every further line is a command, see `commands`. Every line on stdout is one thing that
// happened, with its `type`. End of input ends the process.

import { createInterface } from 'node:readline';
import Ably from 'ably-2';

let client;
let callback;
const page = { channels: [], ciphers: {} };

function report(type, details = {}) {
  process.stdout.write(`${JSON.stringify({ type, ...details })}\n`);
}

const say = (error) => error && { code: error.code, statusCode: error.statusCode };

async function ask() {
  const response = await fetch(callback.url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...callback.headers },
    body: JSON.stringify({ channel_names: page.channels, format: 'object' }),
  });
  const answer = await response.json();
  if (!response.ok) throw answer.error ?? new Error(`status ${response.status}`);
  for (const [name, { cipher_key: key }] of Object.entries(answer.channels)) {
    if (key) page.ciphers[name] = key;
  }
  return answer.token;
}

function connect(config) {
  callback = config.callback;
  const options = {
    endpoint: '127.0.0.1',
    port: config.port,
    tls: false,
    useBinaryProtocol: false,
    echoMessages: false,
    disconnectedRetryTimeout: 200,
    logLevel: 0,
    ...config.options,
  };
  if (callback) {
    options.authCallback = (_, done) => ask().then((token) => done(null, token), (e) => done(e, null));
  }
  client = new Ably.Realtime(options);
  client.connection.on(({ previous, current, reason }) => {
    report('state', { previous, current, reason: say(reason) });
    if (current === 'connected') {
      report('connected', { key: client.connection.key, client_id: client.auth.clientId });
    }
  });
}

const commands = {
  async subscribe({ channel }) {
    if (callback && !page.channels.includes(channel)) {
      page.channels.push(channel);
      await client.auth.authorize();
    }
    const key = page.ciphers[channel];
    const found = client.channels.get(channel, key ? { cipher: { key } } : undefined);
    found.presence.subscribe(({ action, clientId, data }) => {
      report('presence', { channel, action, client_id: clientId, data });
    }).catch(() => {});
    await found.subscribe(({ name, data, id }) => report('event', { channel, name, data, id }));
    report('subscribed', { channel });
  },
  async enter({ channel, data }) {
    const { presence } = client.channels.get(channel);
    await presence.enter(data);
    // It hears of its own entering a moment later.
    let members = [];
    while (!members.includes(client.auth.clientId)) {
      members = (await presence.get()).map(({ clientId }) => clientId);
      await new Promise(setImmediate);
    }
    report('entered', { channel, members });
  },
  async publish({ channel, name, data }) {
    await client.channels.get(channel).publish(name, data);
    report('published', { channel });
  },
  async authorize() {
    await client.auth.authorize();
    report('authorized');
  },
  // As a page says which connection is its own.
  async socketId() {
    const { key } = client.connection;
    const text = JSON.stringify({ connectionKey: key, clientId: client.auth.clientId ?? null });
    report('socketId', { socketId: Buffer.from(text).toString('base64url') });
  },
};

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  const { command, ...details } = JSON.parse(line);
  if (client === undefined) connect(details);
  else {
    commands[command](details).catch((error) => {
      report('refused', { command, channel: details.channel, error: say(error) });
    });
  }
});
input.on('close', () => {
  client?.close();
  process.exit(0);
});
