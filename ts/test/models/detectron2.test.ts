/** What a loaded detectron2 model promises beside the right numbers: classes from 0, what is dropped, the same bits. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { Device, InstasegError, load, reshape, type LoadOptions, type Tensor } from '../../src/index.js';
import type { RawImage } from '../../src/image/input.js';
import { findDetections, findProposals, placeDetections } from '../../src/models/detectron2-selection.js';
import type { SegmentOptions } from '../../src/models/options.js';
import type { SegmentationResult } from '../../src/models/result.js';
import type { InstanceSegmenter } from '../../src/models/segmenter.js';
import { resizedShortestEdge } from '../../src/nn/resized-size.js';
import type { Detectron2Config } from '../../src/weights/families/config.js';
import type { Detectron2File } from '../golden/case-files.js';
import { writeSeededModel } from '../golden/seeded-models.js';
import { floats, ints } from '../support/boxes.js';

const FIXTURES = path.resolve(__dirname, '../../../ts/test/fixtures');
const [SHAPES, TALL] = ['shapes.png', 'tall.png'].map((name) => path.join(FIXTURES, 'images', name)) as [
  string,
  string,
];
const CASE = JSON.parse(readFileSync(path.join(FIXTURES, 'detectron2/resnet/case.json'), 'utf8')) as Detectron2File;

/** Detections of several classes at this size, see the fixture. */
const SMALL: SegmentOptions = { minSize: 416, maxSize: 640, preNmsTopN: 150, postNmsTopN: 100 };

const folder = mkdtempSync(path.join(tmpdir(), 'instaseg-detectron2-'));
const file = path.join(folder, 'model.safetensors');
let model: InstanceSegmenter;
let config: Detectron2Config;

test.before(async () => {
  await writeSeededModel(file, CASE);
  model = await load(file, { device: 'cpu', threads: 2 });
  config = model.config as Detectron2Config;
});

test.after.always(async () => {
  await model.dispose();
  rmSync(folder, { recursive: true });
});

/** Every bit of a result. */
const bits = ({ width, height, instances }: SegmentationResult): string =>
  JSON.stringify([
    width,
    height,
    instances.map(({ classId, label, categoryId, score, box, area, mask }) => [
      [classId, label, categoryId, score, box, area],
      [mask.region, mask.toRLE().counts],
    ]),
  ]);

async function segmentWith(options: LoadOptions, picture: string): Promise<SegmentationResult> {
  await using other = await load(file, { device: 'cpu', ...options });
  return other.segment(picture, SMALL);
}

function fulfilled(settled: PromiseSettledResult<SegmentationResult>): SegmentationResult {
  if (settled.status === 'rejected') throw settled.reason;
  return settled.value;
}

test('the size after the resize is that of ResizeShortestEdge', (t) => {
  // height, width, shortest edge, longest edge, resized height and width, by scripts/reference/make_detectron2.py
  const rows = [
    [480, 640, 800, 1333, 800, 1067],
    [640, 480, 800, 1333, 1067, 800],
    [427, 640, 800, 1333, 800, 1199],
    [375, 500, 800, 1333, 800, 1067],
    [800, 1333, 800, 1333, 800, 1333],
    [1333, 800, 800, 1333, 1333, 800],
    [1000, 1666, 800, 1333, 800, 1333],
    [3000, 4000, 800, 1333, 800, 1067],
    [50, 5000, 800, 1333, 13, 1333],
    [1, 1, 800, 1333, 800, 800],
    [7, 9, 800, 1333, 800, 1029],
    [799, 1331, 800, 1333, 800, 1333],
    [1080, 1920, 800, 1333, 750, 1333],
    [333, 333, 800, 1333, 800, 800],
    [5000, 3, 800, 1333, 1333, 1],
    [507, 1233, 320, 640, 263, 640],
    [1134, 287, 320, 640, 640, 162],
    [777, 1256, 320, 640, 320, 517],
    [990, 1301, 320, 640, 320, 421],
    [1209, 154, 320, 640, 640, 82],
    [1260, 46, 320, 640, 640, 23],
    [980, 551, 320, 640, 569, 320],
    [1148, 499, 320, 640, 640, 278],
  ] as const;
  for (const [height, width, minSize, maxSize, h, w] of rows) {
    t.deepEqual(
      resizedShortestEdge({ height, width }, { minSize, maxSize }),
      { height: h, width: w },
      `${height}x${width}`,
    );
  }
  // Where detectron2 would ask for an image without pixels.
  t.deepEqual(resizedShortestEdge({ height: 1, width: 9000 }, { minSize: 800, maxSize: 1333 }), {
    height: 1,
    width: 1333,
  });
});

test('classes count from 0, and names are those of the option', async (t) => {
  const { instances } = await model.segment(SHAPES, SMALL);
  t.deepEqual(
    instances.map(({ classId }) => classId),
    [...CASE.labels[0]!],
  );
  t.true(
    instances.every(({ classId, label, categoryId }) => label === `class ${classId + 1}` && categoryId === classId + 1),
  );
  const classNames = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
  const named = await segmentWith({ classNames }, SHAPES);
  t.deepEqual(
    named.instances.map(({ label }) => label),
    instances.map(({ classId }) => classNames[classId]),
  );
  t.true(
    named.instances.some(({ classId }) => classId === 7),
    'the class before the background',
  );
});

test('the same bits alone, in a batch, and with any number of threads', async (t) => {
  const alone = [bits(await model.segment(SHAPES, SMALL)), bits(await model.segment(TALL, SMALL))];
  const together = await model.segment([SHAPES, TALL, SHAPES], SMALL);
  t.deepEqual(
    together.map((settled) => bits(fulfilled(settled))),
    [alone[0], alone[1], alone[0]],
  );
  for (const options of [{ threads: 1 }, { threads: 3 }, { threads: 2, isa: 'baseline' }] as const) {
    const other = await segmentWith(options, SHAPES);
    if ('isa' in options) t.is(other.instances.length, (await model.segment(SHAPES, SMALL)).instances.length);
    else t.is(bits(other), alone[0]!);
  }
  const padded = await model.segment([SHAPES, TALL], { ...SMALL, padTogether: true });
  t.deepEqual(
    padded.map((settled) => fulfilled(settled).instances.length > 0),
    [true, true],
  );
});

test('odd images: a pixel, a line, f32 values', async (t) => {
  const raw = (
    width: number,
    height: number,
    array: typeof Uint8Array | typeof Float32Array = Uint8Array,
  ): RawImage => ({
    ...{ width, height, channels: 3 },
    data: new array(Array.from({ length: width * height * 3 }, (_, i) => (i * 37) % 256)),
  });
  for (const image of [raw(1, 1), raw(400, 1), raw(1, 300), raw(90, 70, Float32Array)]) {
    const { width, height, instances } = await model.segment(image, SMALL);
    t.deepEqual([width, height], [image.width, image.height]);
    for (const { box, mask } of instances) {
      const [x, y, w, h] = box;
      t.true(w > 0 && h > 0 && x >= 0 && y >= 0 && x + w <= width && y + h <= height);
      t.deepEqual([mask.width, mask.height], [width, height]);
    }
  }
});

test('options of other families are refused, its own are checked', async (t) => {
  for (const options of [{ nms: 'fast' }, { topK: 3 }, { maskResolution: 'input' }, { rescoreBoxes: true }] as const) {
    const error = await t.throwsAsync(() => model.segment(SHAPES, options), { instanceOf: InstasegError });
    t.is(error.code, 'ERR_ARGUMENT');
  }
  await t.throwsAsync(() => model.segment(SHAPES, { scoreThreshold: 2 }), { code: 'ERR_ARGUMENT' });
  t.is((await model.segment(SHAPES, { ...SMALL, maxDetections: 2 })).instances.length, 2);
  t.is((await model.segment(SHAPES, { ...SMALL, scoreThreshold: 1 })).instances.length, 0);
  const wide = await model.segment(SHAPES, { ...SMALL, maskThreshold: 0 });
  t.true(wide.instances.every(({ area, mask: { region } }) => area === region.width * region.height));
});

const SIZES_OF_ONE = ints([80, 160, 40, 80], [1, 4]);

async function withDevice<T>(body: (device: Device) => Promise<T>): Promise<T> {
  const device = await Device.open('cpu', { threads: 1 });
  try {
    return await body(device);
  } finally {
    await device.dispose();
  }
}

const recorded = (tensor: Tensor): ReturnType<typeof reshape> => reshape(tensor, tensor.shape);

test('regions with a number that is not finite have no detections of any class', async (t) => {
  await withDevice(async (device) => {
    const regions = [
      [10, 10, 30, 30],
      [40, 5, 70, 25],
      [5, 20, 15, 38],
      [50, 12, 78, 39],
      [0, 0, 20, 9],
    ];
    // Two classes and the background.
    const logits = [
      [3, 3, 0],
      [3, 3, 0],
      [3, NaN, 0],
      [2, 3, 0],
      [3, 2, Infinity],
    ];
    const deltas = regions.map(() => [0, 0, 0, 0, 0, 0, 0, 0]);
    deltas[1]![6] = Infinity; // of the second class, and limited: exp(log(1000 / 16))
    deltas[3]![4] = -Infinity; // of the second class: its box is nowhere
    const found = await device.run(() => {
      const predictions = {
        logits: recorded(floats(logits.flat(), [5, 3])),
        deltas: recorded(floats(deltas.flat(), [5, 8])),
      };
      const proposals = { boxes: recorded(floats(regions.flat(), [1, 5, 4])), counts: recorded(ints([5])) };
      return findDetections(predictions, proposals, recorded(SIZES_OF_ONE), config.box);
    });
    const count = found.counts.data[0]!;
    const rows = Array.from({ length: count }, (_, i) => [
      found.labels.data[i],
      ...[...found.boxes.data.subarray(4 * i, 4 * i + 4)].map(Math.round),
    ]);
    const byPlace = rows.map((row) => row.join()).sort();
    // The second region's limited box is clipped to the image's width.
    t.deepEqual(byPlace, ['0,10,10,30,30', '0,40,5,70,25', '1,0,5,80,25', '1,10,10,30,30'].sort());
  });
});

test('the background has no boxes: labels are those of the objects, the background only takes probability', async (t) => {
  await withDevice(async (device) => {
    const found = await device.run(() => {
      const predictions = {
        logits: recorded(floats([0, 5, 0, 0, 0, 9], [2, 3])),
        deltas: recorded(floats(new Array<number>(16).fill(0), [2, 8])),
      };
      const proposals = {
        boxes: recorded(floats([1, 1, 9, 9, 20, 20, 30, 30], [1, 2, 4])),
        counts: recorded(ints([2])),
      };
      return findDetections(predictions, proposals, recorded(SIZES_OF_ONE), config.box);
    });
    t.deepEqual([...found.counts.data], [1]);
    t.is(found.labels.data[0], 1);
    t.true(Math.abs(found.scores.data[0]! - Math.exp(5) / (Math.exp(5) + 2)) < 1e-6);
  });
});

test('empty boxes take part in the selection, and are dropped at the end', async (t) => {
  await withDevice(async (device) => {
    const boxes = [
      [80, 3, 80, 9], // beyond the right edge
      [10, 10, 20, 20],
      [30, 4, 50, 4],
      [0, 0, 80, 40],
    ];
    const placed = await device.run(() =>
      placeDetections(
        {
          boxes: recorded(floats(boxes.flat(), [1, 4, 4])),
          scores: recorded(floats([0.9, 0.8, 0.7, 0.6], [1, 4])),
          labels: recorded(ints([3, 2, 1, 0], [1, 4])),
          counts: recorded(ints([4])),
        },
        recorded(SIZES_OF_ONE),
      ),
    );
    t.deepEqual([...placed.counts.data], [2]);
    t.deepEqual([...placed.labels.data.subarray(0, 2)], [2, 0]);
    t.deepEqual([...placed.boxes.data.subarray(0, 8)], [20, 20, 40, 40, 0, 0, 160, 80]);
    t.deepEqual([...placed.resized.data.subarray(0, 8)], [10, 10, 20, 20, 0, 0, 80, 40]);
  });
});

test('proposals: logits as scores, strides as they are, nothing that is empty or not finite', async (t) => {
  await withDevice(async (device) => {
    const anchors = { ...config.anchors, sizes: [[16], [32]], ratios: [1], strides: [8, 16] };
    // Two levels of 1 x 3 and 1 x 2 cells: anchors of 16 at 0, 8, 16 and of 32 at 0, 16.
    const objectness = [
      [-3, 2, Infinity],
      [7, 6],
    ];
    const deltas = [
      [0, 0, 0, 0, 0.5, 0.5, 0, 0, 0, 0, 0, 0],
      [-1, 0, 0, 0, 0.5, 0.5, NaN, 0],
    ];
    const found = await device.run(() => {
      const levels = objectness.map((values, i) => ({
        objectness: recorded(floats(values, [1, 1, values.length, 1])),
        deltas: recorded(floats(deltas[i]!, [1, 1, values.length, 4])),
      }));
      return findProposals(levels, recorded(SIZES_OF_ONE), anchors, config.rpn);
    });
    // The first anchor of the second level moves out of the image: [-48, ..., -16, ...] is empty after clipping.
    t.deepEqual([...found.counts.data], [2]);
    t.deepEqual([...found.scores.data.subarray(0, 2)], [2, -3]);
    t.deepEqual([...found.boxes.data.subarray(0, 8)], [8, 0, 24, 16, 0, 0, 8, 8]);
  });
});
