/** pusher-js as a project of realtime_drf needs it, in one call. */

import Pusher, { type Options } from "pusher-js";

type Headers = Record<string, string>;

/** The part of an axios instance that is used. */
export interface AxiosLike {
  getUri(config?: any): string;
  interceptors: { request: { use(change: (config: any) => any): unknown } };
}

export interface CreatePusherOptions extends Partial<Options> {
  /** Sent to the server of `url`, as in `{ Authorization: "Token …" }`. */
  headers?: Headers | (() => Headers);
  /** An axios instance whose requests get the same headers as those of `pusher.fetch`. */
  axios?: AxiosLike;
}

/** pusher-js, with a `fetch` whose writes have the headers that Django and realtime_drf read. */
export type PusherWithFetch = Pusher & { fetch: typeof fetch };

/**
 * Connect to the server at `url`, where `realtime_drf.urls` is included, or to Pusher with the
 * option `cluster`. All options of pusher-js are taken.
 */
export function createPusher(key: string, url: string, { headers = {}, axios, ...options }: CreatePusherOptions = {}): PusherWithFetch {
  const base = new URL(url.replace(/\/?$/, "/"), location.href);
  const isHere = ({ origin }: URL) => origin === location.origin;
  const own = () => (typeof headers === "function" ? headers() : headers);
  const csrf = (): Headers => {
    // The cookie changes when somebody logs in, so it is read for each request.
    const [, token] = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/) ?? [];
    return token ? { "X-CSRFToken": token } : {};
  };
  const headersProvider = () => ({ ...(isHere(base) && csrf()), ...own() });

  const pusher = new Pusher(key, {
    ...(!options.cluster && {
      wsHost: base.hostname,
      wsPort: Number(base.port) || 80,
      wssPort: Number(base.port) || 443,
      forceTLS: base.protocol === "https:",
      enabledTransports: ["ws", "wss"],
    }),
    cluster: "",
    channelAuthorization: { endpoint: `${base}auth/`, transport: "ajax", headersProvider },
    userAuthentication: { endpoint: `${base}user-auth/`, transport: "ajax", headersProvider },
    ...options,
  });

  /** Return the headers of a request. No other server gets any. */
  const headersOf = (address: string, method = "GET"): Headers => {
    const to = new URL(address, location.href);
    const isApi = to.origin === base.origin;
    if (!isApi && !isHere(to)) return {};
    const { state, socket_id } = pusher.connection;
    const isWrite = !/^(get|head|options)$/i.test(method);
    return {
      ...(isWrite && isHere(to) && csrf()),
      // The response has the change; this connection does not need the event.
      ...(isWrite && state === "connected" && { "X-Socket-Id": socket_id }),
      ...(isApi && own()),
    };
  };
  axios?.interceptors.request.use((config) => {
    for (const [name, value] of Object.entries(headersOf(axios.getUri(config), config.method))) {
      config.headers[name] ??= value;
    }
    return config;
  });
  return Object.assign(pusher, {
    fetch(input: RequestInfo | URL, init?: RequestInit) {
      const request = new Request(input, init);
      for (const [name, value] of Object.entries(headersOf(request.url, request.method))) {
        if (!request.headers.has(name)) request.headers.set(name, value);
      }
      return fetch(request);
    },
  });
}
