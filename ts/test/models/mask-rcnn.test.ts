/** What a loaded Mask R-CNN promises beside the right numbers: the same bits whatever runs beside it, errors, aborts. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { RawImage } from '../../src/image/input.js';
import { decodeImage } from '../../src/image/decode.js';
import { load, type LoadOptions } from '../../src/models/load.js';
import type { SegmentationResult } from '../../src/models/result.js';
import type { SegmentOptions } from '../../src/models/options.js';
import type { InstanceSegmenter } from '../../src/models/segmenter.js';
import { addon } from '../../src/runtime/addon.js';
import { InstasegError } from '../../src/runtime/errors.js';
import type { ModelFile } from '../golden/case-files.js';
import { writeSeededModel, type SeededModel } from '../golden/seeded-models.js';

const FIXTURES = path.resolve(__dirname, '../../../ts/test/fixtures');
const CASE = path.join(FIXTURES, 'maskrcnn_v1/shapes');
const [SHAPES, TALL] = ['shapes.png', 'tall.png'].map((name) => path.join(FIXTURES, 'images', name)) as [
  string,
  string,
];

/** Detections of many classes at this size, see the fixture. */
const SMALL: SegmentOptions = { minSize: 128, maxSize: 256, preNmsTopN: 200, postNmsTopN: 100 };
/** A tenth of a second an image. */
const TINY: SegmentOptions = { minSize: 64, maxSize: 96, preNmsTopN: 50, postNmsTopN: 20 };

const folder = mkdtempSync(path.join(tmpdir(), 'instaseg-mask-rcnn-'));
const file = path.join(folder, 'model.safetensors');
let model: InstanceSegmenter;

test.before(async () => {
  await writeSeededModel(
    file,
    JSON.parse(readFileSync(path.join(CASE, 'case.json'), 'utf8')) as ModelFile & SeededModel,
  );
  model = await load(file, { device: 'cpu', threads: 2 });
});

test.after.always(async () => {
  await model.dispose();
  rmSync(folder, { recursive: true });
});

/** Every bit of a result. */
function bits({ width, height, instances }: SegmentationResult): string {
  return JSON.stringify([
    width,
    height,
    instances.map(({ classId, label, categoryId, score, box, area, mask }) => [
      [classId, label, categoryId, score, box, area],
      [mask.region, mask.toRLE().counts],
    ]),
  ]);
}

/** `picture` with its rows (and columns) rolled: the same size and as much to see. */
async function rolled(picture: string, by: number): Promise<RawImage> {
  const { data, width, height } = await decodeImage(picture);
  const shift = (by * width + by) * 3;
  const moved = data.map((_, i) => data[(i + shift) % data.length]!);
  return { data: moved, width, height, channels: 3 };
}

async function withModel<T>(options: LoadOptions, body: (other: InstanceSegmenter) => Promise<T>): Promise<T> {
  const other = await load(file, { device: 'cpu', ...options });
  try {
    return await body(other);
  } finally {
    await other.dispose();
  }
}

function fulfilled(settled: PromiseSettledResult<SegmentationResult>): SegmentationResult {
  if (settled.status === 'rejected') throw settled.reason;
  return settled.value;
}

async function failsWith(
  t: ExecutionContext,
  code: string,
  work: () => Promise<unknown>,
  title?: string,
): Promise<void> {
  await t.throwsAsync(async () => work(), { instanceOf: InstasegError, code }, title);
}

test.serial('repeated calls give the same bits', async (t) => {
  const first = await model.segment(SHAPES, SMALL);
  t.true(first.instances.length >= 10);
  for (let i = 0; i < 2; i += 1) t.is(bits(await model.segment(SHAPES, SMALL)), bits(first));
  // Another plan in between, and cold caches.
  await model.segment(TALL, SMALL);
  model.trim();
  t.is(bits(await model.segment(SHAPES, SMALL)), bits(first));
});

test.serial('trim() touches no call in flight, whatever it waits for', async (t) => {
  const expected = bits(await model.segment(SHAPES, TINY));
  const image = await decodeImage(SHAPES);
  for (let turns = 0; turns < 8; turns += 1) {
    model.trim();
    const result = model.segment(image, TINY);
    for (let turn = 0; turn < turns; turn += 1) await nextTurn();
    model.trim();
    t.is(bits(await result), expected, `${turns} turns of the event loop`);
  }
});

test.serial('the number of threads changes nothing', async (t) => {
  const expected = bits(await model.segment(SHAPES, SMALL));
  for (const threads of [1, 3]) {
    await withModel({ threads }, async (other) => {
      t.is(other.deviceInfo.threads, threads);
      t.is(bits(await other.segment(SHAPES, SMALL)), expected, `${threads} threads`);
    });
  }
});

test.serial('the place in a batch and the other images in it change nothing', async (t) => {
  const images = [SHAPES, ...(await Promise.all([7, 31, 55].map((by) => rolled(SHAPES, by)))), TALL];
  const alone: string[] = [];
  for (const image of images) alone.push(bits(await model.segment(image, SMALL)));
  t.is(new Set(alone).size, images.length, 'every image has a result of its own');
  for (const order of [
    [0, 1, 2, 3, 4],
    [4, 3, 2, 1, 0],
    [2, 0],
    [1, 1, 1],
  ]) {
    const results = await model.segment(
      order.map((i) => images[i]!),
      SMALL,
    );
    t.deepEqual(
      results.map((settled) => bits(fulfilled(settled))),
      order.map((i) => alone[i]!),
    );
  }
});

test.serial('an image that cannot be read does not touch the others', async (t) => {
  const [good, bad, missing] = await model.segment([SHAPES, new Uint8Array([1, 2, 3]), '/nowhere/at-all.png'], SMALL);
  t.is(bits(fulfilled(good!)), bits(await model.segment(SHAPES, SMALL)));
  t.is(bad?.status === 'rejected' && (bad.reason as InstasegError).code, 'ERR_IMAGE');
  t.is(missing?.status === 'rejected' && (missing.reason as InstasegError).code, 'ERR_FILE');
  t.deepEqual(await model.segment([], SMALL), []);
});

test.serial('64 calls at once give what they give one after the other', async (t) => {
  const images = await Promise.all(Array.from({ length: 8 }, (_, i) => rolled(i % 2 === 0 ? SHAPES : TALL, 9 * i)));
  const alone: string[] = [];
  for (const image of images) alone.push(bits(await model.segment(image, TINY)));
  const results = await Promise.all(Array.from({ length: 64 }, (_, i) => model.segment(images[i % 8]!, TINY)));
  t.deepEqual(
    results.map(bits),
    results.map((_, i) => alone[i % 8]!),
  );
});

test.serial('more calls than the queue holds are refused, and the others are not', async (t) => {
  await withModel({ maxQueue: 2 }, async (other) => {
    const calls = await Promise.allSettled(Array.from({ length: 8 }, () => other.segment(SHAPES, TINY)));
    const refused = calls.flatMap((call) => (call.status === 'rejected' ? [(call.reason as InstasegError).code] : []));
    t.true(refused.length >= 1 && refused.length <= 6, `${refused.length} were refused`);
    t.true(refused.every((code) => code === 'ERR_OVERLOADED'));
    t.is((await other.segment(SHAPES, TINY)).width, 160);
  });
});

test.serial('a stream gives its results in order', async (t) => {
  const images = await Promise.all(Array.from({ length: 6 }, (_, i) => rolled(i % 2 === 0 ? SHAPES : TALL, 11 * i)));
  const expected: string[] = [];
  for (const image of images) expected.push(bits(await model.segment(image, TINY)));
  for (const maxInFlight of [1, 3, 100]) {
    const received: string[] = [];
    for await (const result of model.stream(images, { ...TINY, maxInFlight })) received.push(bits(result));
    t.deepEqual(received, expected, `${maxInFlight} in flight`);
  }
  // Left early, and ended by an image that cannot be read.
  for await (const result of model.stream(images, TINY)) {
    t.is(bits(result), expected[0]!);
    break;
  }
  await failsWith(t, 'ERR_IMAGE', async () => {
    for await (const result of model.stream([images[0]!, new Uint8Array(8)], TINY)) t.is(bits(result), expected[0]!);
  });
});

test.serial('abort before and during a call rejects with the reason, and the next call works', async (t) => {
  const reason = new Error('enough');
  const before = await t.throwsAsync(model.segment(SHAPES, { ...SMALL, signal: AbortSignal.abort(reason) }));
  t.is(before, reason);
  const expected = bits(await model.segment(SHAPES, SMALL));

  const running = new AbortController();
  // Seconds of work: one runs, one is being prepared, two wait.
  const LONG = { minSize: 800, maxSize: 1333 };
  const calls = Array.from({ length: 4 }, () => model.segment(SHAPES, { ...LONG, signal: running.signal }));
  setTimeout(() => running.abort(reason), 200);
  const ends = await Promise.allSettled(calls);
  t.true(ends.every((end) => end.status === 'rejected' && end.reason === reason));

  const many = new AbortController();
  const batch = model.segment([SHAPES, TALL], { ...LONG, signal: many.signal });
  setTimeout(() => many.abort(reason), 200);
  t.is(await t.throwsAsync(batch), reason);
  t.is(bits(await model.segment(SHAPES, SMALL)), expected);
});

test.serial('a forward pass crosses into native code once', async (t) => {
  await model.segment(SHAPES, TINY); // compiles the plan
  const calls: string[] = [];
  const restore: (() => void)[] = [];
  for (const [name, native] of Object.entries(addon()).filter(([key]) => /^[A-Z]/.test(key))) {
    const prototype = (native as { prototype: Record<string, (...args: unknown[]) => unknown> }).prototype;
    for (const method of Object.getOwnPropertyNames(prototype).filter((key) => key !== 'constructor')) {
      const original = prototype[method]!;
      const counted = function (this: unknown, ...args: unknown[]): unknown {
        calls.push(`${name}.${method}`);
        return original.apply(this, args);
      };
      Object.defineProperty(prototype, method, { value: counted, configurable: true, writable: true });
      restore.push(() =>
        Object.defineProperty(prototype, method, { value: original, configurable: true, writable: true }),
      );
    }
  }
  try {
    await model.segment(SHAPES, TINY);
  } finally {
    restore.forEach((undo) => undo());
  }
  t.deepEqual(calls, ['Plan.run']);
});

test.serial('dispose waits for calls in flight; calls after it reject', async (t) => {
  const other = await load(file, { device: 'cpu', threads: 2 });
  const running = other.segment(SHAPES, TINY);
  const [first, second] = [other.dispose(), other.dispose()];
  t.is(first, second);
  t.is((await running).width, 160);
  await first;
  await failsWith(t, 'ERR_DISPOSED', () => other.segment(SHAPES, TINY));
  await failsWith(t, 'ERR_DISPOSED', () => other.segment([SHAPES], TINY));
  await failsWith(t, 'ERR_DISPOSED', async () => {
    for await (const result of other.stream([SHAPES], TINY)) t.fail(bits(result));
  });
  t.is((await model.segment(SHAPES, TINY)).width, 160, 'another model on another device goes on');
});

test.serial('values that are not numbers are refused, values beyond all range end in nothing', async (t) => {
  const data = new Float32Array(40 * 30 * 3).fill(100);
  const image = { data, width: 40, height: 30, channels: 3 } as const;
  t.is((await model.segment(image, TINY)).width, 40);
  for (const value of [NaN, Infinity, -Infinity]) {
    data[1234] = value;
    await failsWith(t, 'ERR_IMAGE', () => model.segment(image, TINY), String(value));
  }
  for (const value of [3e38, -3e38]) {
    const { instances } = await model.segment(
      { ...image, data: data.map((_, i) => (i % 2 === 0 ? value : -value)) },
      TINY,
    );
    for (const { score, box } of instances) t.true([score, ...box].every(Number.isFinite));
  }
});

test.serial('images of a pixel, of a row and of a column', async (t) => {
  for (const [width, height] of [
    [1, 1],
    [90, 1],
    [1, 90],
  ] as const) {
    const image = { data: new Uint8Array(width * height * 3).fill(90), width, height, channels: 3 } as const;
    const result = await model.segment(image, TINY);
    t.deepEqual([result.width, result.height], [width, height]);
    for (const { box, mask, area } of result.instances) {
      const [x, y, w, h] = box;
      t.true(x >= 0 && y >= 0 && x + w <= width + 1e-3 && y + h <= height + 1e-3, `${width}x${height}`);
      t.true(area >= 0 && area <= width * height);
      t.is(mask.toBitmap().data.length, width * height);
    }
  }
});

test.serial('options select among the detections', async (t) => {
  const all = await model.segment(SHAPES, SMALL);
  const two = await model.segment(SHAPES, { ...SMALL, maxDetections: 2 });
  t.deepEqual(
    two.instances.map(({ score }) => score),
    all.instances.slice(0, 2).map(({ score }) => score),
  );
  const threshold = all.instances[4]!.score;
  const strong = await model.segment(SHAPES, { ...SMALL, scoreThreshold: threshold });
  t.is(strong.instances.length, 4, 'above, not from, the threshold');
  t.is((await model.segment(SHAPES, { ...SMALL, scoreThreshold: 1 })).instances.length, 0);
  const filled = await model.segment(SHAPES, { ...SMALL, maskThreshold: 0 });
  t.true(filled.instances.every(({ area }, i) => area >= all.instances[i]!.area));
  t.is((await model.segment(SHAPES, { ...SMALL, imageId: 17 })).imageId, 17);
});

test.serial('options out of range are refused by name', async (t) => {
  const wrong: readonly (readonly [string, unknown])[] = [
    ...['scoreThreshold', 'nmsThreshold', 'maskThreshold', 'rpnNmsThreshold'].flatMap((name) =>
      [-0.1, 1.1, NaN, '0.5', null].map((value) => [name, value] as const),
    ),
    ...['maxDetections', 'minSize', 'maxSize', 'preNmsTopN', 'postNmsTopN'].flatMap((name) =>
      [0, -1, 1.5, NaN, Infinity, '3'].map((value) => [name, value] as const),
    ),
    ['imageId', NaN],
    ['imageId', {}],
    ['signal', 'stop'],
  ];
  for (const [name, value] of wrong) {
    const options = { ...TINY, [name]: value };
    const error = await t.throwsAsync(async () => model.segment(SHAPES, options), { instanceOf: InstasegError });
    t.is(error.code, 'ERR_ARGUMENT', `${name} ${String(value)}`);
    t.true(error.message.includes(name), error.message);
  }
  await failsWith(t, 'ERR_ARGUMENT', () => model.segment(SHAPES, { minSize: 300, maxSize: 200 }));
  await failsWith(t, 'ERR_ARGUMENT', () => model.segment(42 as unknown as string, TINY));
  await failsWith(t, 'ERR_ARGUMENT', async () => {
    for await (const result of model.stream([SHAPES], { ...TINY, maxInFlight: 0 })) t.fail(bits(result));
  });
});
