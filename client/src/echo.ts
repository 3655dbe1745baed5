/** laravel-echo, with the broadcasters "pusher" and "reverb". */

import { makePusherClient, once, type Client } from "./clients.js";

/** Return the client of an Echo. A channel that the page has taken from it stays subscribed. */
export function fromEcho(echo: { connector: any }): Client {
  const { pusher, channels } = echo.connector;
  if (!pusher) throw new TypeError('fromEcho() needs an Echo over pusher-js: the broadcaster "pusher" or "reverb".');
  return once(echo, () => makePusherClient(pusher, (name) => name in channels));
}
