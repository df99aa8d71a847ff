import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { inspectCheckpoint } from '../../src/index.js';
import { torchvisionTensors } from '../../src/weights/families/torchvision.js';
import { yolactTensors } from '../../src/weights/families/yolact.js';
import { convertCheckpoint } from '../../src/weights/convert.js';
import { writeSafetensors } from '../../src/weights/safetensors.js';
import { seededWeights } from '../../src/weights/seeded.js';
import { pickle, tensor, unicode } from './pickle-builder.js';
import {
  type ExpectedTensor,
  expectedCheckpoints,
  failsWith,
  fixture,
  forgeZip,
  sha256,
  slimConfig,
  slimYolact,
  withFile,
  withFolder,
} from './support.js';

for (const [name, { format, tensors }] of Object.entries(expectedCheckpoints)) {
  test(`${name} is described as its writer sees it`, async (t) => {
    const report = await inspectCheckpoint(fixture(name), { hash: true });
    t.like(report, { format, family: null, config: null, bytes: readFileSync(fixture(name)).length });
    t.regex(report.problem ?? '', /expected torchvision Mask R-CNN/);
    const found = report.tensors.map(({ name: tensor, ...rest }) => [tensor, rest as ExpectedTensor] as const);
    t.deepEqual(Object.fromEntries(found), tensors);
  });
}

test('hashes come only when they are asked for', async (t) => {
  const { tensors } = await inspectCheckpoint(fixture('legacy_dtypes.pth'));
  t.deepEqual(tensors[0], { name: 'float64', dtype: 'float64', shape: [3] });
});

test('models are recognised', async (t) => {
  await withFolder(async (folder) => {
    const [input, output] = [path.join(folder, 'in'), path.join(folder, 'out')];
    for (const [config, shapes] of [
      [slimConfig('maskrcnn_resnet50_fpn_v2'), torchvisionTensors(slimConfig('maskrcnn_resnet50_fpn_v2'))],
      [slimYolact(true), yolactTensors(slimYolact(true))],
    ] as const) {
      const seeded = seededWeights(shapes, 5);
      await writeSafetensors(input, seeded);
      const report = await inspectCheckpoint(input, { hash: true });
      t.like(report, { format: 'safetensors', family: config.family, problem: null });
      t.deepEqual(report.config, config);
      const first = seeded.find(({ name }) => name === report.tensors[0]?.name);
      t.is(report.tensors[0]?.sha256, sha256(Buffer.from(first?.values().buffer as ArrayBuffer)));

      await convertCheckpoint(input, output, { classNames: ['cup', 'saucer'] });
      t.like((await inspectCheckpoint(output)).config, { classNames: ['background', 'cup', 'saucer'] });

      await writeSafetensors(input, seeded.slice(1));
      const incomplete = await inspectCheckpoint(input);
      t.like(incomplete, { family: null, config: null });
      t.regex(incomplete.problem ?? '', /in: (The weights do not fit|expected|YOLACT weights are supported)/);
      t.is(incomplete.tensors.length, seeded.length - 1);
    }
  });
});

test('a configuration that cannot be read is a problem, and the tensors are listed', async (t) => {
  await withFolder(async (folder) => {
    const file = path.join(folder, 'in');
    const weights = seededWeights(torchvisionTensors(slimConfig('maskrcnn_resnet50_fpn')), 5);
    await writeSafetensors(file, weights, { 'instaseg.config': '{"version": 99}' });
    const report = await inspectCheckpoint(file);
    t.like(report, { family: null, config: null });
    t.regex(report.problem ?? '', /has version 99/);
    t.is(report.tensors.length, weights.length);
  });
});

test('every checksum is checked', async (t) => {
  const entries = [
    { name: 'a/data.pkl', data: pickle('}', unicode('w'), tensor(1, 0, [1], [1]), 's') },
    { name: 'a/data/0', data: Buffer.alloc(4, 1), checksum: 7 },
  ];
  await withFile(forgeZip(entries), async (file) => {
    await failsWith(() => inspectCheckpoint(file), 'ERR_CHECKPOINT', /checksum of a\/data\/0 is wrong/);
    await failsWith(() => inspectCheckpoint(file, { hash: true }), 'ERR_CHECKPOINT', /checksum of a\/data\/0 is wrong/);
  });
  t.pass();
});

test('a few bytes that stand for terabytes are listed, not hashed', async (t) => {
  const bytes = forgeZip([
    { name: 'a/data.pkl', data: pickle('}', unicode('w'), tensor(1, 0, [2 ** 20, 2 ** 20], [0, 0]), 's') },
    { name: 'a/data/0', data: Buffer.alloc(4, 1) },
  ]);
  await withFile(bytes, async (file) => {
    t.deepEqual((await inspectCheckpoint(file)).tensors[0]?.shape, [2 ** 20, 2 ** 20]);
    await failsWith(() => inspectCheckpoint(file, { hash: true }), 'ERR_CHECKPOINT', /4398046511104 bytes .*too much/);
  });
});

test('errors and aborts are those of opening', async (t) => {
  await failsWith(() => inspectCheckpoint(fixture('hostile.pkl')), 'ERR_CHECKPOINT_UNSAFE', /posix\.system/);
  await failsWith(() => inspectCheckpoint(fixture('nothing.pth')), 'ERR_FILE', /no such file/);
  await failsWith(() => inspectCheckpoint(fixture('views.pth'), { sha256: '00000000' }), 'ERR_CHECKPOINT', /SHA-256/);
  const reason = new Error('enough');
  const signal = AbortSignal.abort(reason);
  t.is(await t.throwsAsync(inspectCheckpoint(fixture('views.pth'), { signal })), reason);
});
