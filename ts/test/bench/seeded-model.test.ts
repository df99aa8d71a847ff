import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import test from 'ava';
import { InstasegError } from '../../src/index.js';
import { seededConfig, seededModels, writeSeededModel } from '../../src/bench/seeded-model.js';
import { inferTorchvision } from '../../src/weights/families/torchvision.js';
import { inferYolact } from '../../src/weights/families/yolact.js';
import { loadCheckpoint } from '../../src/weights/load.js';

const LISTS = resolve(__dirname, '../../../ts/test/weights');

/** Names and shapes of the official model's state dict. */
function official(name: string): Map<string, { shape: number[] }> {
  const file = name.startsWith('yolact') ? 'yolact-tensors.json' : 'torchvision-tensors.json';
  const { models } = JSON.parse(readFileSync(resolve(LISTS, file), 'utf8')) as {
    models: Record<string, Record<string, number[]>>;
  };
  // The published weights of the first model have frozen statistics, which shows in counters that they lack.
  const counted = name !== 'maskrcnn_resnet50_fpn';
  const entries = Object.entries(models[name]!).filter(([key]) => counted || !key.endsWith('.num_batches_tracked'));
  return new Map(entries.map(([key, shape]) => [key, { shape }]));
}

for (const name of seededModels()) {
  test(`${name} is the published network in all but its weights`, (t) => {
    const shapes = official(name);
    const expected = name.startsWith('yolact') ? inferYolact(shapes) : inferTorchvision(shapes);
    const { classNames, categoryIds, ...config } = seededConfig(name);
    const { classNames: _names, categoryIds: _ids, ...published } = expected!;
    t.deepEqual(config, JSON.parse(JSON.stringify(published)));
    t.is(new Set(classNames).size, config.numClasses);
    t.is(categoryIds.length, config.numClasses);
  });
}

test('a written network can be loaded, and goes with remove()', async (t) => {
  const { file, image, remove } = await writeSeededModel('yolact_plus_resnet50');
  try {
    t.deepEqual(image, { width: 640, height: 480 });
    const checkpoint = await loadCheckpoint(file);
    t.deepEqual(checkpoint.config, seededConfig('yolact_plus_resnet50'));
    await checkpoint.close();
  } finally {
    remove();
  }
  t.false(existsSync(file));
});

test('other names are refused, with those that there are', async (t) => {
  const error = await t.throwsAsync(writeSeededModel('../maskrcnn'), { instanceOf: InstasegError });
  t.is(error.code, 'ERR_ARGUMENT');
  t.regex(
    error.message,
    /maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2, yolact_plus_resnet50; received "\.\.\/maskrcnn"/,
  );
});
