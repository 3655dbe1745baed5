// What the script for pages without a bundler has, as parts of `realtime`.

export { fromAbly } from './src/ably.ts';
export { fromEcho } from './src/echo.ts';
export { live } from './src/live.ts';
export { createPusher } from './src/pusher.ts';
