// Bundles: with the addon in them, by the entry for one platform, and with the package left outside.
import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { requireExpected, SCENE } from '../scene.mjs';
import { offlineProject } from './install.mjs';
import { source } from './modules.mjs';

/** Runs a bundle. Where it brings its own addon, the package's files are taken away first: sharp alone stays. */
async function runBundle(context, folder, file, { alone }) {
  const { sandbox, root } = context;
  const inPackage = join(folder, 'node_modules/instaseg');
  for (const name of ['models/demo/yolactplus_demo.safetensors', SCENE]) {
    cpSync(join(root, name), join(folder, 'data', name.split('/').at(-1)));
  }
  if (alone) rmSync(inPackage, { recursive: true });
  const { stdout, stderr } = await sandbox.node([file, 'data/yolactplus_demo.safetensors', 'data/scene-1.jpg'], {
    cwd: folder,
  });
  if (stderr) throw new Error(stderr);
  return requireExpected(context, stdout);
}

const bundler = async (context, name, packages, files) => {
  const folder = await offlineProject(context, name, files);
  await context.sandbox.npm(['install', '--save-dev', ...packages], { cwd: folder });
  return folder;
};

export const bundlerRows = [
  {
    name: 'esbuild, addon in the bundle',
    async run(context) {
      const files = { 'bundle.mjs': source('bundle.mjs') };
      const folder = await bundler(context, 'esbuild', ['esbuild@0.25'], files);
      const options = ['--bundle', '--platform=node', '--loader:.node=copy', '--external:sharp', '--outdir=out'];
      const esbuild = join(folder, 'node_modules/@esbuild/linux-x64/bin/esbuild');
      const { stderr } = await context.sandbox.run(esbuild, ['bundle.mjs', ...options, '--out-extension:.js=.cjs'], {
        cwd: folder,
      });
      if (/warning/i.test(stderr)) throw new Error(stderr);
      if (!readdirSync(join(folder, 'out')).some((file) => file.endsWith('.node'))) throw new Error('no addon copied');
      return runBundle(context, folder, 'out/bundle.cjs', { alone: true });
    },
  },
  {
    name: 'webpack, addon in the bundle',
    async run(context) {
      const files = { 'bundle.mjs': source('bundle.mjs'), 'webpack.config.cjs': source('webpack.config.cjs') };
      const folder = await bundler(context, 'webpack', ['webpack@5', 'webpack-cli@6', 'node-loader@2'], files);
      const webpack = join(folder, 'node_modules/webpack/bin/webpack.js');
      const { stdout } = await context.sandbox.node([webpack, '--config', 'webpack.config.cjs'], { cwd: folder });
      if (/WARNING/.test(stdout)) throw new Error(stdout);
      return runBundle(context, folder, 'out/bundle.cjs', { alone: true });
    },
  },
  {
    name: 'vite build --ssr, package outside',
    async run(context) {
      const files = { 'external.mjs': source('external.mjs'), 'vite.config.mjs': source('vite.config.mjs') };
      const folder = await bundler(context, 'vite', ['vite@7'], files);
      await context.sandbox.node([join(folder, 'node_modules/vite/bin/vite.js'), 'build'], { cwd: folder });
      const file = ['out/external.js', 'out/external.mjs'].find((each) => existsSync(join(folder, each)));
      return runBundle(context, folder, file, { alone: false });
    },
  },
];
