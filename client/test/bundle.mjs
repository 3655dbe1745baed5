// Bundle what the documentation shows: node test/bundle.mjs FILE OUTPUT [platform]

import { readFileSync } from 'node:fs';
import { build } from 'esbuild';

const [file, outfile, platform = 'browser'] = process.argv.slice(2);
const isVue = file.endsWith('.vue');
let contents = readFileSync(file, 'utf8');

if (isVue) {
  const { compileScript, parse } = await import('vue/compiler-sfc');
  const { descriptor } = parse(contents);
  contents = compileScript(descriptor, { id: 'app', inlineTemplate: true, genDefaultAs: 'App' }).content;
  contents += `
    import { VueQueryPlugin } from '@tanstack/vue-query';
    import { createApp } from 'vue';
    createApp(App).use(VueQueryPlugin).mount('#app');`;
}

await build({
  stdin: { contents, resolveDir: `${import.meta.dirname}/..`, loader: 'jsx' },
  outfile,
  platform,
  bundle: true,
  format: platform === 'node' ? 'cjs' : 'iife',
  target: 'es2022',
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"' },
  logLevel: 'error',
});
