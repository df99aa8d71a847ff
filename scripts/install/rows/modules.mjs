// ESM, CommonJS, TypeScript, and Jest.
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { requireExpected } from '../scene.mjs';
import { offlineProject, requireBase, tool } from './install.mjs';

export const source = (name) => readFileSync(new URL(`../projects/${name}`, import.meta.url), 'utf8');

/** Runs a program of projects/ in the project that has the package. */
export async function runInBase(context, name, args = [], options = {}) {
  requireBase(context);
  cpSync(fileURLToPath(new URL(`../projects/${name}`, import.meta.url)), join(context.base, name));
  return context.sandbox.node([name, ...args], { cwd: context.base, ...options });
}

/** Settings of `tsc --strict` for one way of resolving modules. */
const settings = (module, moduleResolution) => ({
  compilerOptions: {
    strict: true,
    noEmit: true,
    skipLibCheck: false,
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    types: ['node'],
    module,
    moduleResolution,
  },
  include: ['use.*'],
});

export const moduleRows = [
  {
    name: 'an ES module',
    quick: true,
    run: async (context) => requireExpected(context, (await runInBase(context, 'segment.mjs')).stdout),
  },
  {
    name: 'CommonJS, and both forms at once',
    quick: true,
    run: async (context) => requireExpected(context, (await runInBase(context, 'segment.cjs')).stdout),
  },
  {
    name: 'tsc --strict: node16, nodenext, bundler',
    async run(context) {
      const { devDependencies } = JSON.parse(readFileSync(join(context.root, 'package.json'), 'utf8'));
      const folder = await offlineProject(context, 'typescript');
      const packages = ['typescript', '@types/node'].map((name) => `${name}@${devDependencies[name]}`);
      await context.sandbox.npm(['install', '--save-dev', ...packages], { cwd: folder });
      const tsc = join(folder, 'node_modules/typescript/bin/tsc');
      const ways = [
        ['node16', 'node16', 'mts'],
        ['node16', 'node16', 'cts'],
        ['nodenext', 'nodenext', 'mts'],
        ['nodenext', 'nodenext', 'cts'],
        ['esnext', 'bundler', 'ts'],
      ];
      for (const [module, resolution, extension] of ways) {
        const name = `typescript/${resolution}-${extension}`;
        const sub = context.sandbox.project(name, {
          'package.json': { private: true },
          'tsconfig.json': settings(module, resolution),
          [`use.${extension}`]: source('use.ts'),
        });
        await context.sandbox.node([tsc, '-p', sub], { cwd: sub });
      }
      return 'ES module and CommonJS, with the checks of declaration files on';
    },
  },
  {
    name: 'attw: are the types wrong?',
    async run(context) {
      const attw = await tool(context, 'attw', '@arethetypeswrong/cli@0.18', '@arethetypeswrong/cli/dist/index.js');
      await context.sandbox.node([attw, context.tarball.path, '--no-color', '--no-emoji'], { cwd: context.folder });
      return 'no problems: node10, node16 from CommonJS and ESM, bundler';
    },
  },
  {
    name: 'jest',
    async run(context) {
      const folder = await offlineProject(context, 'jest', {
        'segment.test.js': source('jest.test.js'),
        'again.test.js': source('jest.test.js'),
        'expected.json': context.expected,
      });
      await context.sandbox.npm(['install', '--save-dev', 'jest@30'], { cwd: folder });
      const jest = join(folder, 'node_modules/jest/bin/jest.js');
      const inWorkers = await context.sandbox.node([jest, '--maxWorkers=2'], { cwd: folder });
      await context.sandbox.node([jest, '--runInBand'], { cwd: folder });
      const passed = /Tests:\s+(\d+) passed, \1 total/.exec(inWorkers.stderr)?.[1];
      if (!passed) throw new Error(inWorkers.stderr);
      return `${passed} tests in two files, in workers and in one process`;
    },
  },
];
