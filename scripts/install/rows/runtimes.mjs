// Older processors, by emulation, and other runtimes than Node.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { requireExpected } from '../scene.mjs';
import { Skip, which } from '../sandbox.mjs';
import { requireBase, tool } from './install.mjs';
import { runInBase } from './modules.mjs';

/** Another runtime, from its package on the npm registry, on the program of the ES module row. */
const runtimeRow = (name, spec, program, args) => ({
  name,
  async run(context) {
    requireBase(context);
    await runInBase(context, 'segment.mjs');
    const path = await tool(context, name, spec, program);
    if (!existsSync(path)) throw new Skip(`${spec} brings no program for this platform`);
    const version = (await context.sandbox.run(path, ['--version'])).stdout.split('\n')[0];
    const { stdout } = await context.sandbox.run(path, [...args, join(context.base, 'segment.mjs')], {
      cwd: context.base,
    });
    return `${version}: ${requireExpected(context, stdout)}`;
  },
});

export const runtimeRows = [
  {
    // Without AVX: what runs is the x86-64 baseline. sharp's own libraries need x86-64-v2, which this processor has.
    name: 'a processor without AVX (qemu, Nehalem)',
    async run(context) {
      requireBase(context);
      const qemu = which('qemu-x86_64');
      if (!qemu) throw new Skip('no qemu-x86_64 (Debian: apt-get install qemu-user)');
      await runInBase(context, 'segment.mjs');
      const emulated = (args) =>
        context.sandbox.run(qemu, ['-cpu', 'Nehalem', process.execPath, ...args], {
          cwd: context.base,
          timeout: 1_800_000,
        });
      const cli = 'node_modules/instaseg/dist/src/cli/main.js';
      const { stdout } = await emulated(['segment.mjs']);
      const { isa } = JSON.parse((await emulated([cli, 'doctor', '--json'])).stdout).devices[0];
      if (isa !== 'baseline') throw new Error(`the instruction set is ${isa}`);
      const demo = await emulated([cli, 'demo', '--out', 'emulated-demo']);
      // The kernels are others than this machine's: the same objects, scores within rounding.
      const [found, expected] = [stdout, context.expected].map((json) => JSON.parse(json));
      const same = (a, b) => a.category_id === b.category_id && Math.abs(a.score - b.score) < 1e-3;
      if (found.length !== expected.length || !found.every((each, i) => same(each, expected[i])))
        throw new Error(stdout);
      return `instruction set ${isa}: the same ${found.length} objects; demo in ${(demo.milliseconds / 1000).toFixed(0)} s`;
    },
  },
  runtimeRow('bun', '@oven/bun-linux-x64@1', '@oven/bun-linux-x64/bin/bun', []),
  runtimeRow('deno', '@deno/linux-x64-glibc@2', '@deno/linux-x64-glibc/deno', [
    'run',
    '--allow-all',
    '--node-modules-dir=manual',
  ]),
];
