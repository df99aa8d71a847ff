/** Both families on the device under test (INSTASEG_TEST_DEVICE) against the CPU: same objects, nearly the same numbers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import anyTest, { type ExecutionContext } from 'ava';
import { load, type LoadOptions } from '../../src/models/load.js';
import type { SegmentOptions } from '../../src/models/options.js';
import type { SegmentationResult } from '../../src/models/result.js';
import { writeSafetensors } from '../../src/weights/safetensors.js';
import { tinyMaskRcnn } from '../golden/tiny-mask-rcnn.js';
import { writeTinyYolact } from '../golden/tiny-yolact.js';
import { TEST_DEVICE } from '../support/ops.js';

const PICTURE = path.resolve(__dirname, '../../../ts/test/fixtures/images/shapes.png');
const folder = mkdtempSync(path.join(tmpdir(), 'instaseg-device-'));
anyTest.after.always(() => rmSync(folder, { recursive: true }));

const test: (title: string, body: (t: ExecutionContext) => Promise<void>) => void =
  TEST_DEVICE === 'cpu'
    ? (title, body) => anyTest.skip(`${title} (no CUDA device is under test: npm run test:emulated has them)`, body)
    : (title, body) => anyTest.serial(title, body);

async function run(file: string, options: LoadOptions, call: SegmentOptions): Promise<SegmentationResult[]> {
  await using model = await load(file, options);
  // Twice: the second run of a plan is replayed from its recording.
  return [await model.segment(PICTURE, call), await model.segment(PICTURE, call)];
}

/**
 * Objects in the same order with the same classes. Boxes within 0.05 px and scores within 1e-3: the golden tolerances
 * between implementations whose sums have different orders. Masks may differ where a probability is all but 0.5.
 */
function assertSame(t: ExecutionContext, actual: SegmentationResult, expected: SegmentationResult): void {
  t.true(expected.instances.length >= 3, `${expected.instances.length} objects`);
  t.deepEqual(
    actual.instances.map(({ classId }) => classId),
    expected.instances.map(({ classId }) => classId),
  );
  actual.instances.forEach((instance, i) => {
    const other = expected.instances[i]!;
    t.true(Math.abs(instance.score - other.score) <= 1e-3, `score of object ${i}`);
    instance.box.forEach((value, side) => t.true(Math.abs(value - other.box[side]!) <= 0.05, `box of object ${i}`));
    t.true(Math.abs(instance.area - other.area) <= Math.max(2, 0.005 * other.area), `mask of object ${i}`);
  });
}

async function compare(t: ExecutionContext, file: string, call: SegmentOptions, options: LoadOptions): Promise<void> {
  const [expected] = await run(file, { ...options, device: 'cpu' }, call);
  const [first, replayed] = await run(file, { ...options, device: TEST_DEVICE }, call);
  assertSame(t, first!, expected!);
  t.deepEqual(replayed!.toJSON(), first!.toJSON());
}

// Below 0.1 GFLOP an image, both.
const SMALL_YOLACT: LoadOptions = { image: { size: 256 } };
const FEW: SegmentOptions = { scoreThreshold: 0.05, maxDetections: 20 };
const writeSmallYolact = (file: string): Promise<void> => writeTinyYolact(file, 'yolact_plus_resnet50', 6, 8);
const SMALL: SegmentOptions = { minSize: 80, maxSize: 112, preNmsTopN: 60, postNmsTopN: 30, maxDetections: 50 };

test('Mask R-CNN finds what it finds on the CPU', async (t) => {
  const file = path.join(folder, 'mask-rcnn.safetensors');
  await writeSafetensors(file, tinyMaskRcnn('maskrcnn_resnet50_fpn'));
  await compare(t, file, SMALL, {});
});

test('YOLACT++ finds what it finds on the CPU', async (t) => {
  const file = path.join(folder, 'yolact.safetensors');
  await writeSmallYolact(file);
  await compare(t, file, FEW, SMALL_YOLACT);
});

test('YOLACT++ in half precision finds objects', async (t) => {
  const file = path.join(folder, 'yolact-half.safetensors');
  await writeSmallYolact(file);
  const [result] = await run(file, { ...SMALL_YOLACT, device: TEST_DEVICE, precision: 'f16' }, FEW);
  t.true(result!.instances.length >= 3, `${result!.instances.length} objects`);
  for (const { score, box } of result!.instances) t.true([score, ...box].every(Number.isFinite));
});

test('Mask R-CNN in half precision finds objects', async (t) => {
  const file = path.join(folder, 'mask-rcnn-half.safetensors');
  await writeSafetensors(file, tinyMaskRcnn('maskrcnn_resnet50_fpn'));
  for (const precision of ['f16', 'bf16'] as const) {
    const [result] = await run(file, { device: TEST_DEVICE, precision }, SMALL);
    t.true(result!.instances.length >= 3, `${precision}: ${result!.instances.length} objects`);
    for (const { score, box } of result!.instances) t.true([score, ...box].every(Number.isFinite));
  }
});
