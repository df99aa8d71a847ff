/** What a loaded YOLACT promises beside the right numbers: options, the same bits whatever runs beside it, odd images. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type ExecutionContext } from 'ava';
import sharp from 'sharp';
import type { RawImage } from '../../src/image/input.js';
import { decodeImage } from '../../src/image/decode.js';
import { load, type LoadOptions } from '../../src/models/load.js';
import type { SegmentOptions } from '../../src/models/options.js';
import type { Instance, SegmentationResult } from '../../src/models/result.js';
import type { InstanceSegmenter } from '../../src/models/segmenter.js';
import { InstasegError } from '../../src/runtime/errors.js';
import type { YolactConfig } from '../../src/weights/families/config.js';
import type { YolactFile } from '../golden/case-files.js';
import { writeSeededModel } from '../golden/seeded-models.js';
import { writeTinyYolact, type TinyYolact } from '../golden/tiny-yolact.js';

const FIXTURES = path.resolve(__dirname, '../../../ts/test/fixtures');
const [SHAPES, TALL] = ['shapes.png', 'tall.png'].map((name) => path.join(FIXTURES, 'images', name)) as [
  string,
  string,
];

const folder = mkdtempSync(path.join(tmpdir(), 'instaseg-yolact-'));
const PLUS = path.join(folder, 'plus.safetensors');
const TINY = path.join(folder, 'tiny.safetensors');
/** Full size, with the weights of the fixture: detections of many classes. */
let model: InstanceSegmenter;
/** The same architecture with a few channels. */
let tiny: InstanceSegmenter;

test.before(async () => {
  const file = path.join(FIXTURES, 'yolact_plus_r50/shapes/case.json');
  await writeSeededModel(PLUS, JSON.parse(readFileSync(file, 'utf8')) as YolactFile);
  await writeTinyYolact(TINY, 'yolact_plus_resnet50');
  model = await load(PLUS, { device: 'cpu', threads: 2 });
  tiny = await load(TINY, { device: 'cpu', threads: 2 });
});

test.after.always(async () => {
  await model.dispose();
  await tiny.dispose();
  rmSync(folder, { recursive: true });
});

/** Every bit of an instance. */
const bitsOf = ({ classId, label, categoryId, score, boxScore, box, area, mask }: Instance): unknown => [
  [classId, label, categoryId, score, boxScore, box, area],
  [mask.region, mask.toRLE().counts],
];

function bits({ width, height, instances }: SegmentationResult): string {
  return JSON.stringify([width, height, instances.map(bitsOf)]);
}

/** `picture` with its rows (and columns) rolled: the same size and as much to see. */
async function rolled(picture: string, by: number): Promise<RawImage> {
  const { data, width, height } = await decodeImage(picture);
  const shift = (by * width + by) * 3;
  return { data: data.map((_, i) => data[(i + shift) % data.length]!), width, height, channels: 3 };
}

async function withModel<T>(
  file: string,
  options: LoadOptions,
  body: (other: InstanceSegmenter) => Promise<T>,
): Promise<T> {
  const other = await load(file, { device: 'cpu', threads: 2, ...options });
  try {
    return await body(other);
  } finally {
    await other.dispose();
  }
}

async function withTiny<T>(
  name: TinyYolact,
  options: LoadOptions,
  body: (other: InstanceSegmenter, config: YolactConfig) => Promise<T>,
  numClasses?: number,
): Promise<T> {
  const file = path.join(folder, `other-${name}-${numClasses ?? ''}.safetensors`);
  await writeTinyYolact(file, name, numClasses);
  return withModel(file, options, (other) => body(other, other.config as YolactConfig));
}

function fulfilled(settled: PromiseSettledResult<SegmentationResult>): SegmentationResult {
  if (settled.status === 'rejected') throw settled.reason;
  return settled.value;
}

async function failsWith(
  t: ExecutionContext,
  code: string,
  work: () => Promise<unknown>,
  part?: string,
): Promise<void> {
  const error = await t.throwsAsync(async () => work(), { instanceOf: InstasegError, code }, part);
  if (part !== undefined) t.true(error.message.includes(part), error.message);
}

test.serial('repeated calls give the same bits', async (t) => {
  const first = await model.segment(SHAPES);
  t.true(first.instances.length >= 20);
  t.is(bits(await model.segment(SHAPES)), bits(first));
  await model.segment(TALL, { nms: 'cross-class' });
  model.trim();
  t.is(bits(await model.segment(SHAPES)), bits(first));
});

test.serial('the number of threads changes nothing', async (t) => {
  const expected = bits(await model.segment(SHAPES));
  for (const threads of [1, 3]) {
    await withModel(PLUS, { threads }, async (other) => {
      t.is(other.deviceInfo.threads, threads);
      t.is(bits(await other.segment(SHAPES)), expected, `${threads} threads`);
    });
  }
});

test.serial('the place in a batch and the other images in it change nothing', async (t) => {
  const images = [SHAPES, ...(await Promise.all([7, 31, 55].map((by) => rolled(SHAPES, by)))), TALL];
  const check = async (one: InstanceSegmenter, orders: readonly (readonly number[])[]): Promise<void> => {
    const alone = new Map<number, string>();
    for (const i of new Set(orders.flat())) alone.set(i, bits(await one.segment(images[i]!)));
    t.is(new Set(alone.values()).size, alone.size, 'every image has a result of its own');
    for (const order of orders) {
      const results = await one.segment(order.map((i) => images[i]!));
      t.deepEqual(
        results.map((settled) => bits(fulfilled(settled))),
        order.map((i) => alone.get(i)!),
      );
    }
  };
  await check(tiny, [
    [0, 1, 2, 3, 4],
    [4, 3, 2, 1, 0],
    [2, 0],
    [1, 1, 1],
  ]);
  await check(model, [[0, 4]]);
});

test.serial('32 calls at once give what they give one after the other', async (t) => {
  const images = await Promise.all(Array.from({ length: 4 }, (_, i) => rolled(i % 2 === 0 ? SHAPES : TALL, 9 * i)));
  const alone: string[] = [];
  for (const image of images) alone.push(bits(await tiny.segment(image)));
  const results = await Promise.all(Array.from({ length: 32 }, (_, i) => tiny.segment(images[i % 4]!)));
  t.deepEqual(
    results.map(bits),
    results.map((_, i) => alone[i % 4]!),
  );
});

test.serial('an image that cannot be read does not touch the others', async (t) => {
  const [good, bad, missing] = await tiny.segment([SHAPES, new Uint8Array([1, 2, 3]), '/nowhere/at-all.png']);
  t.is(bits(fulfilled(good!)), bits(await tiny.segment(SHAPES)));
  t.is(bad?.status === 'rejected' && (bad.reason as InstasegError).code, 'ERR_IMAGE');
  t.is(missing?.status === 'rejected' && (missing.reason as InstasegError).code, 'ERR_FILE');
});

test.serial('detections are ordered by their class score; JSON has both scores', async (t) => {
  const result = await model.segment(SHAPES);
  const seen = await model.inspect([SHAPES], ['maskiou', 'boxes', 'scores']);
  const [iou, boxes, scores] = ['maskiou', 'boxes', 'scores'].map((name) => seen.get(name)!.data);
  const inside = Array.from(scores!, (_, row) => row).filter((row) => {
    const [x1, y1, x2, y2] = boxes!.subarray(row * 4, row * 4 + 4) as unknown as [number, number, number, number];
    return x2 > x1 && y2 > y1;
  });
  t.is(result.instances.length, inside.length);
  const json = result.toJSON();
  for (const [i, { score, boxScore, box, area, mask }] of result.instances.entries()) {
    const row = inside[i]!;
    t.is(boxScore, scores![row]!);
    t.is(score, Math.fround(scores![row]! * iou![row]!));
    t.true(i === 0 || boxScore! <= result.instances[i - 1]!.boxScore!);
    t.true(box.every(Number.isInteger));
    const { score: written, box_score: boxWritten, bbox, segmentation } = json[i]!;
    t.deepEqual([written, boxWritten, bbox], [score, boxScore, box]);
    t.deepEqual(segmentation, mask.toRLE());
    t.is(area, mask.area);
  }
  t.true(result.instances.some(({ score, boxScore }) => score < 0.9 * boxScore!));
});

test.serial('boxes that are inside out are left out, empty masks stay', async (t) => {
  const seen = await tiny.inspect([SHAPES], ['boxes', 'counts']);
  const boxes = seen.get('boxes')!.data;
  const inside = Array.from({ length: boxes.length / 4 }, (_, i) => i).filter(
    (i) => boxes[i * 4 + 2]! > boxes[i * 4]! && boxes[i * 4 + 3]! > boxes[i * 4 + 1]!,
  );
  const { instances } = await tiny.segment(SHAPES);
  t.true(inside.length >= 10 && inside.length < seen.get('counts')!.data[0]!);
  t.deepEqual(
    instances.map(({ box: [x, y, width, height] }) => [x, y, x + width, y + height]),
    inside.map((i) => [...boxes.subarray(i * 4, i * 4 + 4)]),
  );
  const empty = instances.filter(({ area }) => area === 0);
  t.true(empty.length > 0 && empty.length < instances.length);
  for (const { mask } of empty) t.true(mask.toBitmap().data.every((pixel) => pixel === 0));
});

test.serial('options select among the detections', async (t) => {
  const all = await model.segment(SHAPES);
  const prefix = (count: number): unknown => all.instances.slice(0, count).map(bitsOf);
  const some = await model.segment(SHAPES, { maxDetections: 7 });
  t.true(some.instances.length <= 7);
  t.deepEqual(some.instances.map(bitsOf), prefix(some.instances.length));
  const threshold = all.instances[9]!.boxScore!;
  const strong = await model.segment(SHAPES, { scoreThreshold: threshold });
  t.deepEqual(strong.instances.map(bitsOf), prefix(9), 'above, not from, the threshold of class scores');
  t.is((await model.segment(SHAPES, { scoreThreshold: 1 })).instances.length, 0);
  const filled = await model.segment(SHAPES, { maskThreshold: 0 });
  t.true(filled.instances.every(({ area }, i) => area >= all.instances[i]!.area));
  t.true(filled.instances.some(({ area }, i) => area > all.instances[i]!.area));
  t.is((await model.segment(SHAPES, { imageId: 17 })).imageId, 17);
  // Only the class score changes; which detections there are was decided before.
  const rescored = await model.segment(SHAPES, { rescoreBoxes: true });
  t.deepEqual(
    rescored.instances.map((one) => bitsOf({ ...one, boxScore: 0 })),
    all.instances.map((one) => bitsOf({ ...one, boxScore: 0 })),
  );
  t.true(rescored.instances.every(({ score, boxScore }) => score === boxScore));
});

test.serial('masks at the size of the network and of the prototypes; everything else stays', async (t) => {
  const original = await tiny.segment(SHAPES);
  t.deepEqual(bits(await tiny.segment(SHAPES, { maskResolution: 'original' })), bits(original));
  for (const [maskResolution, size] of [
    ['input', 550],
    ['prototype', 138],
  ] as const) {
    const { instances } = await tiny.segment(SHAPES, { maskResolution });
    t.deepEqual(
      instances.map(({ box, score, boxScore, classId }) => [box, score, boxScore, classId]),
      original.instances.map(({ box, score, boxScore, classId }) => [box, score, boxScore, classId]),
    );
    for (const { mask, area } of instances) {
      const { width, height, data } = mask.toBitmap();
      t.deepEqual([width, height, data.length], [size, size, size * size]);
      t.is(mask.area, area);
    }
    t.true(instances.some(({ area }) => area > 0));
  }
});

/** Boxes, labels and scores before boxes are made integers. */
async function detections(options: SegmentOptions): Promise<{ box: Float32Array; label: number; score: number }[]> {
  const seen = await tiny.inspect([SHAPES], ['boxes_relative', 'labels', 'scores'], options);
  const boxes = seen.get('boxes_relative')!.data as Float32Array;
  return Array.from(seen.get('labels')!.data, (label, i) => ({
    box: boxes.subarray(i * 4, i * 4 + 4),
    label,
    score: seen.get('scores')!.data[i]!,
  }));
}

type Found = Awaited<ReturnType<typeof detections>>[number];

/** `one` pixel is 1 where both end pixels count. */
function iou({ box: a }: Found, { box: b }: Found, scale = 1, one = 0): number {
  const side = (low: number, high: number): number => Math.max((high - low) * scale + one, 0);
  const area = ([x1, y1, x2, y2]: Float32Array): number => side(x1!, x2!) * side(y1!, y2!);
  const width = side(Math.max(a[0]!, b[0]!), Math.min(a[2]!, b[2]!));
  const height = side(Math.max(a[1]!, b[1]!), Math.min(a[3]!, b[3]!));
  return (width * height) / (area(a) + area(b) - width * height);
}

/** The largest IoU of any two detections, or of any two of a class. */
function largestIou(found: readonly Found[], ofClass: boolean, scale?: number, one?: number): number {
  let largest = 0;
  found.forEach((a, i) => {
    for (const b of found.slice(0, i)) {
      if (!ofClass || a.label === b.label) largest = Math.max(largest, iou(a, b, scale, one));
    }
  });
  return largest;
}

test.serial('the kinds of suppression', async (t) => {
  const all = { maxDetections: 10_000 };
  const fast = await detections(all);
  t.true(largestIou(fast, true) <= 0.5);
  t.true(largestIou(fast, false) > 0.5, 'classes do not suppress each other');
  t.deepEqual(await detections({ ...all, nms: 'fast' }), fast);
  const cross = await detections({ nms: 'cross-class' });
  t.true(cross.length > 5 && largestIou(cross, false) <= 0.5);
  const traditional = await detections({ ...all, nms: 'traditional' });
  t.true(traditional.length > 5 && largestIou(traditional, true, 550, 1) < 0.5 + 1e-4);
  t.true(
    traditional.every(({ score }) => score > 0.05),
    'every class has a threshold of its own',
  );
  for (const found of [fast, cross, traditional]) {
    t.true(found.every(({ score }, i) => i === 0 || score <= found[i - 1]!.score));
  }
  // The best of a class is never suppressed.
  const best = (found: readonly Found[]): string[] =>
    found
      .filter(({ label, score }, i) => score > 0.3 && found.findIndex((one) => one.label === label) === i)
      .map(({ label, score }) => `${label} ${score}`);
  t.true(best(fast).length >= 10);
  t.deepEqual(best(traditional), best(fast));
});

test.serial('topK, maxDetections and nmsThreshold', async (t) => {
  const all = await detections({ maxDetections: 1000 });
  const one = await detections({ maxDetections: 1000, topK: 1 });
  t.is(new Set(one.map(({ label }) => label)).size, one.length, 'one of each class');
  t.deepEqual(one[0], all[0]);
  t.is((await detections({ nms: 'cross-class', topK: 3 })).length <= 3, true);
  const several = await detections({ topK: 50, maxDetections: 12 });
  t.deepEqual(several, (await detections({ topK: 50, maxDetections: 1000 })).slice(0, 12));
  const none = await detections({ maxDetections: 10_000, nmsThreshold: 1, topK: 5 });
  const fewer = await detections({ maxDetections: 10_000, nmsThreshold: 0.1, topK: 5 });
  t.true(none.length > fewer.length && fewer.length > 0);
  t.true(largestIou(fewer, true) <= 0.1 + 1e-6);
});

test.serial('options that there are not, and values out of range, are refused by name', async (t) => {
  const wrong: readonly (readonly [string, unknown])[] = [
    ['minSize', 300],
    ['maxSize', 300],
    ['preNmsTopN', 10],
    ['postNmsTopN', 10],
    ['rpnNmsThreshold', 0.5],
    ...['scoreThreshold', 'nmsThreshold', 'maskThreshold'].flatMap((name) =>
      [-0.1, 1.1, NaN, '0.5', null].map((value) => [name, value] as const),
    ),
    ...['maxDetections', 'topK'].flatMap((name) =>
      [0, -1, 1.5, NaN, Infinity, '3', 10_001].map((value) => [name, value] as const),
    ),
    ['nms', 'soft'],
    ['nms', ''],
    ['nms', null],
    ['maskResolution', 'full'],
    ['rescoreBoxes', 'yes'],
    ['imageId', NaN],
    ['signal', 'stop'],
  ];
  for (const [name, value] of wrong) {
    await failsWith(t, 'ERR_ARGUMENT', () => tiny.segment(SHAPES, { [name]: value }), name);
    await failsWith(t, 'ERR_ARGUMENT', () => tiny.segment([SHAPES], { [name]: value }), name);
  }
});

test.serial('a network without mask scores cannot rescore; its two scores are one', async (t) => {
  await withTiny('yolact_resnet50', {}, async (other, config) => {
    t.is(config.mask.rescore, null);
    await failsWith(t, 'ERR_ARGUMENT', () => other.segment(SHAPES, { rescoreBoxes: true }), 'rescoreBoxes');
    const { instances } = await other.segment(SHAPES, { rescoreBoxes: false });
    t.true(instances.length >= 10);
    t.true(instances.every(({ score, boxScore }) => score === boxScore));
  });
});

test.serial('a class count of its own, with names and without', async (t) => {
  const classNames = ['cat', 'dog', 'bird'];
  await withTiny(
    'yolact_plus_resnet50',
    { classNames },
    async (other, config) => {
      t.is(config.numClasses, 4);
      const { instances } = await other.segment(SHAPES);
      t.true(new Set(instances.map(({ classId }) => classId)).size >= 2);
      for (const { classId, categoryId, label } of instances) {
        t.true(classId >= 1 && classId <= 3);
        t.deepEqual([categoryId, label], [classId, classNames[classId - 1]!]);
      }
    },
    4,
  );
  // COCO's 80 have its ids, with gaps.
  const ids = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 27, 28, 31];
  const { instances } = await tiny.segment(SHAPES);
  for (const { classId, categoryId, label } of instances) {
    if (classId <= ids.length) t.is(categoryId, ids[classId - 1]!);
    t.true(classId <= categoryId && categoryId <= 90);
    t.is(label, tiny.classNames[classId]!);
  }
});

test.serial('yolact_im700 and yolact_im400 by their names', async (t) => {
  const sizes = [
    ['yolact_im700', 700, [30, 61, 122, 244, 488], [88, 44, 22, 11, 6]],
    ['yolact_im400', 400, [17, 34, 69, 139, 279], [50, 25, 13, 7, 4]],
  ] as const;
  for (const [name, size, scales, grids] of sizes) {
    await withTiny('yolact_resnet50', { model: name }, async (other, config) => {
      t.is(config.model, name);
      t.is(config.image.size, size);
      t.deepEqual(
        config.anchors.scales,
        scales.map((scale) => [scale]),
      );
      const seen = await other.inspect([SHAPES], ['image', 'priors', 'proto', 'fpn.p3']);
      t.deepEqual(seen.get('image')!.shape, [1, size, size, 3]);
      t.deepEqual(seen.get('fpn.p3')!.shape, [1, grids[0], grids[0], 16]);
      t.deepEqual(seen.get('proto')!.shape, [1, 2 * grids[0], 2 * grids[0], 8]);
      const priors = seen.get('priors')!;
      t.deepEqual(priors.shape, [grids.reduce((sum, grid) => sum + 3 * grid * grid, 0), 4]);
      const side = Math.fround(scales[0] / size);
      t.deepEqual([...priors.data.subarray(0, 4)], [0.5 / grids[0], 0.5 / grids[0], side, side].map(Math.fround));
      t.true((await other.segment(SHAPES)).instances.length > 0);
    });
  }
});

test.serial('DarkNet, batched and alone', async (t) => {
  await withTiny('yolact_darknet53', {}, async (other, config) => {
    t.is(config.backbone.kind, 'darknet');
    const images = [SHAPES, TALL];
    const alone = [];
    for (const image of images) alone.push(bits(await other.segment(image)));
    t.deepEqual(
      (await other.segment(images)).map((settled) => bits(fulfilled(settled))),
      alone,
    );
    t.true((await other.segment(SHAPES)).instances.length >= 10);
  });
});

test.serial('images of a pixel, of a row and of 20000 columns, as pixels and as files', async (t) => {
  for (const [width, height] of [
    [1, 1],
    [90, 1],
    [1, 90],
    [20_000, 20],
    [20, 20_000],
  ] as const) {
    const data = Uint8Array.from(
      { length: width * height * 3 },
      (_, i) => (Math.imul(i >> 6, 0x9e3779b1) >>> 24) & 255,
    );
    const image = { data, width, height, channels: 3 } as const;
    const result = await tiny.segment(image);
    t.deepEqual([result.width, result.height], [width, height]);
    const file = path.join(folder, `${width}x${height}.png`);
    await sharp(data, { raw: { width, height, channels: 3 } })
      .png()
      .toFile(file);
    t.is(bits(await tiny.segment(file)), bits(result), `${width}x${height}`);
    const floats = { ...image, data: Float32Array.from(data) };
    t.is(bits(await tiny.segment(floats)), bits(result), `${width}x${height} in floats`);
    for (const { box, mask, area } of result.instances) {
      const [x, y, w, h] = box;
      t.true(x >= 0 && y >= 0 && w > 0 && h > 0 && x + w <= width && y + h <= height, `${width}x${height}`);
      t.true(area >= 0 && area <= width * height);
      t.is(mask.toBitmap().data.length, width * height);
    }
  }
});

test.serial('values that are not numbers are refused, values beyond all range end in nothing', async (t) => {
  const data = new Float32Array(40 * 30 * 3).fill(100);
  const image = { data, width: 40, height: 30, channels: 3 } as const;
  t.is((await tiny.segment(image)).width, 40);
  for (const value of [NaN, Infinity, -Infinity]) {
    data[1234] = value;
    await failsWith(t, 'ERR_IMAGE', () => tiny.segment(image));
  }
  for (const value of [3e38, -3e38]) {
    const far = { ...image, data: data.map((_, i) => (i % 2 === 0 ? value : -value)) };
    const { instances } = await tiny.segment(far);
    for (const { score, box } of instances) t.true([score, ...box].every(Number.isFinite));
  }
});
