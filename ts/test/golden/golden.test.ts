/**
 * The package against official PyTorch: the fixtures of this repository, and the larger reference data beside it where
 * they are. `npm run test:golden -- FOLDER` runs the same on any folder.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Device } from '../../src/index.js';
import { findCases, isModelFile, type CaseFolder } from './case-files.js';
import { OPS } from './ops-table.js';
import { Runner } from './run-cases.js';

const ROOT = path.resolve(__dirname, '../../..');
const FIXTURES = path.join(ROOT, 'ts/test/fixtures');
const REFERENCE = path.resolve(ROOT, '../shared/reference');

const runners = new Map<string, Promise<{ runner: Runner; device: Device }>>();

/** One device a variant, shared by the cases. */
function runnerFor(variant: string | undefined): Promise<{ runner: Runner; device: Device }> {
  const open = async (): Promise<{ runner: Runner; device: Device }> => {
    const device = await Device.open('cpu', { variant });
    return { runner: new Runner(device), device };
  };
  const key = variant ?? '';
  runners.set(key, runners.get(key) ?? open());
  return runners.get(key)!;
}

test.after.always(async () => {
  for (const opened of runners.values()) {
    const { runner, device } = await opened;
    await runner.close();
    await device.dispose();
  }
});

async function passes(t: ExecutionContext, found: CaseFolder, variant?: string): Promise<void> {
  const { runner } = await runnerFor(variant);
  const failures: string[] = [];
  let count = 0;
  for await (const { name, status, difference, allowed, note = '' } of runner.run(found)) {
    count += 1;
    if (status !== 'ok') failures.push(`${name}: ${difference}, allowed ${allowed} ${note}`);
  }
  t.deepEqual(failures, []);
  t.true(count > 0, 'something was compared');
}

const ours = findCases(FIXTURES).cases;
for (const found of ours) {
  test.serial(`fixtures: ${found.name}`, (t) => passes(t, found));
  // Whole models take minutes with loops that are only obviously right.
  if (!isModelFile(found.file)) {
    test.serial(`fixtures: ${found.name} [reference kernels]`, (t) => passes(t, found, 'reference'));
  }
}

test('there are fixtures of every model, of a batch and of every op', (t) => {
  const names = ours.map(({ name }) => name);
  const models = [
    'maskrcnn_v1/',
    'maskrcnn_v2/',
    'batch/',
    'yolact_r50/',
    'yolact_plus_r50/',
    'yolact_darknet53/',
    'detectron2/',
    'yolact_plus_compact/',
  ];
  for (const part of models)
    t.true(
      names.some((name) => name.startsWith(part)),
      part,
    );
  const families = [...Object.keys(OPS), 'resize_sizes'].map((name) => `ops/${name}`);
  t.deepEqual(
    families.filter((name) => !names.includes(name)),
    [],
  );
});

if (existsSync(REFERENCE)) {
  for (const found of findCases(REFERENCE).cases) {
    test.serial(`reference data: ${found.name}`, (t) => passes(t, found));
  }
} else {
  test.skip('reference data (skipped: ../shared/reference is not there)', (t) => t.pass());
}
