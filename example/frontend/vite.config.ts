// Built into one script, which is kept in the repository for `make demo` without npm.

import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  publicDir: false,
  resolve: {
    alias: [
      // The page loads pusher-js itself, from npm's copy or from Pusher's CDN.
      { find: "pusher-js", replacement: at("../../client/window-pusher.mjs") },
      // Elsewhere these are installed by `npm install realtime-drf`.
      { find: "realtime-drf/pusher", replacement: at("../../client/src/pusher.ts") },
      { find: "realtime-drf", replacement: at("../../client/src/index.ts") },
    ],
  },
  build: {
    target: "es2022",
    outDir: at("../todos/static/todos"),
    emptyOutDir: false,
    modulePreload: false,
    rolldownOptions: { input: at("main.ts"), output: { entryFileNames: "board.js" } },
  },
});
