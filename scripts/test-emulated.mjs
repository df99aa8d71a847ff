// `npm run test:emulated`: the CUDA kernels on the emulated device. The emulator's own tests first; then the tests of the
// ops under AddressSanitizer and UndefinedBehaviorSanitizer, under three schedules of threads, and those of the device and
// of the models under one.
//
//   -- --plain   the same without sanitizers, under one schedule, with 10,000 random cases of NMS, and the ops' reference
//                cases (../shared/reference/ops)
//   -- --races   the same on the race detector, without sanitizers, under one schedule
//
// Other arguments are patterns of test files in place of all (`-- dist/test/ops/nms.test.js`);
// INSTASEG_EMULATION_SEED=n runs that schedule alone.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { printCounts, runTests } from './run-tests.mjs';
import { buildEmulated, buildRaceDetector, buildSanitized, root, run } from './test-builds.mjs';

const args = process.argv.slice(2);
const mode = args.includes('--races') ? 'races' : args.includes('--plain') ? 'plain' : 'sanitized';
const patterns = args.filter((arg) => arg !== '--races' && arg !== '--plain');
const wanted = process.env['INSTASEG_EMULATION_SEED'];
const seeds = wanted ? [wanted] : mode === 'sanitized' ? ['1', '2', '3'] : ['1'];
// Half of the time is in three files: apart, so that all processors have something to do to the end.
const HEAVY = 'dist/test/ops/{conv2d,conv-dtypes,deform-conv2d}.test.js';
const OPS = [[HEAVY], ['dist/test/ops/**/*.test.js', `!${HEAVY}`]];
const ONCE = ['dist/test/runtime/{cuda,exit,addon}.test.js', 'dist/test/models/device.test.js'];
const plans = patterns.length
  ? seeds.map((seed) => [patterns, seed])
  : [[ONCE, seeds[0]], ...OPS.flatMap((files) => seeds.map((seed) => [files, seed]))];

const build = { races: buildRaceDetector, plain: buildEmulated, sanitized: buildSanitized }[mode];
const { selftest, env } = build();
if (mode === 'plain') env['INSTASEG_NMS_CASES'] = '10000';
// Its children are to be loaded as it is: the sanitizers are part of the program.
for (const seed of seeds) run(selftest, [], { INSTASEG_EMULATION_SEED: seed });

const total = { passed: 0, failed: 0, skipped: 0 };
let code = 0;
/** One schedule of some tests; what it has to say comes in one piece when it is done. */
async function runPlan([pattern, seed]) {
  const started = Date.now();
  const lines = [`schedule ${seed}: ${pattern.join(' ')}`];
  // A file and a test after the other: each has a device of its own, with a stack for every thread of a block.
  const result = await runTests(
    ['--serial', ...pattern],
    { ...env, INSTASEG_TEST_DEVICE: 'cuda-emulated', INSTASEG_EMULATION_SEED: seed },
    (line) => lines.push(line),
  );
  console.log(`${lines.join('\n')}\n${((Date.now() - started) / 1000).toFixed(0)} s`);
  for (const key of Object.keys(total)) total[key] += result[key];
  code ||= result.code;
}

const waiting = [...plans];
async function work() {
  for (let plan = waiting.shift(); plan; plan = waiting.shift()) await runPlan(plan);
}
await Promise.all(Array.from({ length: availableParallelism() }, work));
if (mode === 'plain' && patterns.length === 0) {
  const reference = '../shared/reference/ops';
  if (existsSync(join(root, reference))) {
    run(process.execPath, ['dist/test/golden/main.js', reference, '--device', 'cuda-emulated'], env);
  } else {
    console.log(`skipped  reference cases: ${reference} is not here`);
    total.skipped += 1;
  }
}
printCounts(total);
process.exit(code);
