// Call Pusher's Node SDK for servers: one line of JSON on stdin, one on stdout.
//
// {host, port, appId, key, secret, calls: [[method, ...arguments], ...]} is answered with a list of
// results, each {body} or {status, error}. The method "webhook" takes headers and a body as text.

import Pusher from 'pusher';

async function act(pusher, [method, ...values]) {
  if (method === 'webhook') {
    const [headers, rawBody] = values;
    const webhook = pusher.webhook({ headers, rawBody });
    return { body: { isValid: webhook.isValid(), events: webhook.isValid() && webhook.getEvents() } };
  }
  try {
    const response = await pusher[method](...values);
    return { body: await response.json() };
  } catch (error) {
    return { status: error.status ?? null, error: String(error.body ?? error.message) };
  }
}

let input = '';
for await (const chunk of process.stdin) input += chunk;
const { calls, ...options } = JSON.parse(input);
const pusher = new Pusher({ useTLS: false, ...options });
const results = [];
for (const call of calls) results.push(await act(pusher, call));
process.stdout.write(JSON.stringify(results));
