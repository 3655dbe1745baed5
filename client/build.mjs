// Build dist: ES modules, CommonJS, their types, and one script for pages without a bundler.

import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

process.chdir(import.meta.dirname);
rmSync('dist', { recursive: true, force: true });
const entryPoints = readdirSync('src').map((name) => `src/${name}`);
const target = 'es2022';
// Modules are not bundled: all entry points share one core.
await build({ entryPoints, target, outdir: 'dist/esm', format: 'esm' });
await build({ entryPoints, target, outdir: 'dist/cjs', format: 'cjs' });
await build({
  entryPoints: ['script.mjs'],
  outfile: 'dist/realtime-drf.js',
  target,
  bundle: true,
  minify: true,
  format: 'iife',
  globalName: 'realtime',
  alias: { 'pusher-js': './window-pusher.mjs' },
});
execFileSync('node', ['node_modules/typescript/bin/tsc', '--project', '.'], { stdio: 'inherit' });
cpSync('dist/esm', 'dist/cjs', { recursive: true, filter: (path) => !path.endsWith('.js') });
writeFileSync('dist/cjs/package.json', '{"type": "commonjs"}\n');
cpSync('../LICENSE', 'dist/LICENSE');
