// `npm run test:emulated`: the CUDA kernels on the emulated device. The emulator's own tests first; then the tests of the
// ops under AddressSanitizer and UndefinedBehaviorSanitizer, under three schedules of threads, and those of the models
// under one. `-- --races` runs them on the race detector instead, without sanitizers. Other arguments are patterns of
// test files in place of all ops (`-- dist/test/ops/nms.test.js`); INSTASEG_EMULATION_SEED=n runs that schedule alone.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { printCounts, runTests } from './run-tests.mjs';
import { buildRaceDetector, buildSanitized, root, run } from './test-builds.mjs';

const args = process.argv.slice(2);
const races = args.includes('--races');
const patterns = args.filter((arg) => arg !== '--races');
const wanted = process.env['INSTASEG_EMULATION_SEED'];
const seeds = wanted ? [wanted] : races ? ['1'] : ['1', '2', '3'];
const ops = patterns.length ? patterns : ['dist/test/ops/**/*.test.js'];
const MODELS = 'dist/test/models/device.test.js';
const models = patterns.length || !existsSync(join(root, MODELS)) ? [] : [[MODELS, seeds[0]]];

const { selftest, env } = races ? buildRaceDetector() : buildSanitized();
// Its children are to be loaded as it is: the sanitizers are part of the program.
for (const seed of seeds) run(selftest, [], { INSTASEG_EMULATION_SEED: seed });

const total = { passed: 0, failed: 0, skipped: 0 };
let code = 0;
for (const [pattern, seed] of [...seeds.map((each) => [ops, each]), ...models]) {
  const started = Date.now();
  console.log(`schedule ${seed}: ${[pattern].flat().join(' ')}`);
  // One test of a file after the other: each has a device of its own, with a stack for every thread of a block.
  const result = await runTests(['--serial', '--concurrency', String(availableParallelism()), ...[pattern].flat()], {
    ...env,
    INSTASEG_TEST_DEVICE: 'cuda-emulated',
    INSTASEG_EMULATION_SEED: seed,
  });
  console.log(`${((Date.now() - started) / 1000).toFixed(0)} s`);
  for (const key of Object.keys(total)) total[key] += result[key];
  code ||= result.code;
}
printCounts(total);
process.exit(code);
