/** The same weights in every format: the same bits out of the network, and the same converted file. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Device } from '../../src/runtime/device.js';
import { load } from '../../src/models/load.js';
import type { SegmentationResult } from '../../src/models/result.js';
import { openCheckpoint } from '../../src/weights/checkpoint.js';
import { convertCheckpoint } from '../../src/weights/convert.js';
import { inspectCheckpoint } from '../../src/weights/inspect.js';
import { writeSafetensors } from '../../src/weights/safetensors.js';
import type { Detectron2File } from '../golden/case-files.js';
import { writeSeededModel } from '../golden/seeded-models.js';
import { tinyMaskRcnn } from '../golden/tiny-mask-rcnn.js';
import { writeTinyYolact } from '../golden/tiny-yolact.js';
import { array, dict, dtype, legacyStateDict, pickle, stateDict, string, unicode } from '../weights/pickle-builder.js';
import { forgeZip, readAll, sha256 } from '../weights/support.js';

const FIXTURES = path.resolve(__dirname, '../../../ts/test/fixtures');
const PICTURE = path.join(FIXTURES, 'images/shapes.png');
const RESNEXT = path.join(FIXTURES, 'detectron2/resnext');

const folder = mkdtempSync(path.join(tmpdir(), 'instaseg-formats-'));
test.after.always(() => rmSync(folder, { recursive: true }));

const readCase = (name: string): Detectron2File =>
  JSON.parse(readFileSync(path.join(FIXTURES, 'detectron2', name, 'case.json'), 'utf8')) as Detectron2File;

interface Part {
  readonly name: string;
  readonly shape: readonly number[];
  readonly bytes: Buffer;
}

async function partsOf(file: string): Promise<Part[]> {
  await using checkpoint = await openCheckpoint(file);
  const parts: Part[] = [];
  for (const { name, shape } of checkpoint.tensors.values()) {
    parts.push({ name, shape, bytes: await readAll(checkpoint.read(name)) });
  }
  return parts;
}

/** As torch.save writes since 1.6. */
const zip = (parts: readonly Part[]): Buffer =>
  forgeZip([
    { name: 'model/data.pkl', data: stateDict(parts) },
    { name: 'model/byteorder', data: Buffer.from('little') },
    ...parts.map(({ bytes }, i) => ({ name: `model/data/${i}`, data: bytes })),
    { name: 'model/version', data: Buffer.from('3\n') },
  ]);

/** As detectron2's model zoo has them. */
const arrays = (parts: readonly Part[]): Buffer =>
  pickle(
    dict([
      ['model', dict(parts.map(({ name, shape, bytes }) => [name, array(shape, dtype('f4'), string(bytes))]))],
      ['__author__', unicode('nobody')],
    ]),
  );

const FORMATS = { 'torch-zip': zip, 'torch-legacy': legacyStateDict, 'pickle-2': arrays } as const;

/** Every bit of a result. */
const bits = ({ instances }: SegmentationResult): string =>
  JSON.stringify(
    instances.map(({ classId, label, categoryId, score, box, area, mask }) => [
      [classId, label, categoryId, score, box, area],
      [mask.region, mask.toRLE().counts],
    ]),
  );

async function resultOf(file: string, device: Device): Promise<{ count: number; bits: string }> {
  await using model = await load(file, { device });
  const result = await model.segment(PICTURE);
  return { count: result.instances.length, bits: bits(result) };
}

/** All formats against the weights as they are in `original`. */
async function compareFormats(t: ExecutionContext, name: string, original: string): Promise<void> {
  const device = await Device.open('cpu', { threads: 2 });
  try {
    const parts = await partsOf(original);
    const expected = await resultOf(original, device);
    t.true(expected.count >= 3, `${expected.count} detections`);
    const converted = path.join(folder, `${name}-converted.safetensors`);
    await convertCheckpoint(original, converted);
    t.deepEqual(await resultOf(converted, device), expected, 'converted');
    const digest = sha256(readFileSync(converted));
    for (const [format, write] of Object.entries(FORMATS)) {
      const file = path.join(folder, `${name}-${format}`);
      writeFileSync(file, write(parts));
      t.like(await inspectCheckpoint(file), { format, problem: null });
      t.deepEqual(await resultOf(file, device), expected, format);
      await convertCheckpoint(file, converted);
      t.is(sha256(readFileSync(converted)), digest, `${format}, converted`);
    }
  } finally {
    await device.dispose();
  }
}

for (const model of ['maskrcnn_resnet50_fpn', 'maskrcnn_resnet50_fpn_v2'] as const) {
  test(`torchvision ${model} gives the same bits from every format`, async (t) => {
    const file = path.join(folder, `${model}.safetensors`);
    await writeSafetensors(file, tinyMaskRcnn(model));
    await compareFormats(t, model, file);
  });
}

for (const model of ['yolact_resnet50', 'yolact_darknet53', 'yolact_plus_resnet50'] as const) {
  test(`${model} gives the same bits from every format`, async (t) => {
    const file = path.join(folder, `${model}.safetensors`);
    await writeTinyYolact(file, model);
    await compareFormats(t, model, file);
  });
}

for (const name of ['resnet', 'resnext']) {
  test(`detectron2 ${name} gives the same bits from every format`, async (t) => {
    const file = path.join(folder, `${name}.safetensors`);
    await writeSeededModel(file, readCase(name));
    await compareFormats(t, name, file);
  });
}

test("Python's own pickle of a detectron2 model gives the same bits", async (t) => {
  const device = await Device.open('cpu', { threads: 2 });
  const own = path.join(folder, 'own');
  mkdirSync(own);
  try {
    const seeded = path.join(own, 'seeded.safetensors');
    await writeSeededModel(seeded, readCase('resnext'));
    const pkl = path.join(RESNEXT, 'model_final.pkl');
    t.like(await inspectCheckpoint(pkl), { format: 'pickle-4', family: 'detectron2', problem: null });
    const expected = await resultOf(seeded, device);
    t.true(expected.count >= 3);
    t.deepEqual(await resultOf(pkl, device), expected);
    const converted = path.join(own, 'converted.safetensors');
    const { config } = await convertCheckpoint(pkl, converted);
    t.is(config.model, 'mask_rcnn_X_custom_4x2d_FPN');
    t.deepEqual(await resultOf(converted, device), expected);
  } finally {
    await device.dispose();
  }
});
