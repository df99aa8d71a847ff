/** How calls of one model wait for each other: a list and a stream are one call each, and hold a few images at once. */
import { getEventListeners } from 'node:events';
import { join, resolve } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import test from 'ava';
import { InstasegError, load, type InstanceSegmenter, type LoadOptions, type RawImage } from '../../src/index.js';
import { addon } from '../../src/runtime/addon.js';

/** Some milliseconds an image. */
const TINY = { minSize: 32, maxSize: 48, preNmsTopN: 20, postNmsTopN: 5 };
const SCENE = join(resolve(__dirname, '../../..'), 'models/demo/scenes/scene-1.jpg');

const open = (options: LoadOptions): Promise<InstanceSegmenter> =>
  load('maskrcnn_demo', { device: 'cpu', threads: 1, ...options });

/** An image of one colour; `onRead` is called when its pixels are read. */
function plain(width: number, height: number, onRead?: () => void): RawImage {
  const data = new Uint8Array(width * height * 3).fill(90);
  return {
    get data() {
      onRead?.();
      return data;
    },
    width,
    height,
    channels: 3,
  };
}

const codeOf = (outcome: PromiseSettledResult<unknown>): string =>
  outcome.status === 'fulfilled' ? 'fulfilled' : (outcome.reason as InstasegError).code;

test.serial('a list of more images than may wait is one call, and so is a stream', async (t) => {
  await using model = await open({ maxQueue: 0 });
  const images = Array.from({ length: 30 }, (_, i) => plain(20 + i, 40 - i));
  const expected = images.map(({ width }) => width);
  const settled = await model.segment(images, TINY);
  t.deepEqual(
    settled.map((outcome) => outcome.status === 'fulfilled' && outcome.value.width),
    expected,
  );
  const streamed: number[] = [];
  for await (const { width } of model.stream(images, { ...TINY, maxInFlight: 1024 })) streamed.push(width);
  t.deepEqual(streamed, expected);
});

test.serial('a full queue refuses a list and a stream as a whole', async (t) => {
  await using model = await open({ maxQueue: 1 });
  const image = plain(40, 30);
  const lists = await Promise.allSettled(Array.from({ length: 5 }, () => model.segment([image, image], TINY)));
  t.deepEqual(lists.map(codeOf), ['fulfilled', 'fulfilled', 'fulfilled', 'ERR_OVERLOADED', 'ERR_OVERLOADED']);
  const calls = Array.from({ length: 3 }, () => model.segment(image, TINY));
  const overloaded = { instanceOf: InstasegError, code: 'ERR_OVERLOADED' };
  await t.throwsAsync(model.stream([image], TINY).next(), overloaded);
  await Promise.all(calls);
  for await (const { width } of model.stream([image, image], TINY)) t.is(width, 40);
});

test.serial(
  'calls get in between the images of a stream that is far ahead, and of one that nobody reads on',
  async (t) => {
    await using model = await open({});
    const image = plain(40, 30);
    const begun = new Set<number>();
    const many = Array.from({ length: 60 }, (_, i) => plain(40, 30, () => begun.add(i)));
    const stream = model.stream(many, { ...TINY, maxInFlight: 60 });
    const first = stream.next();
    while (begun.size === 0) await nextTurn();
    await model.segment(image, TINY);
    t.true(begun.size < 10, `${begun.size} of 60 came before`);
    await first;
    // The two streams wait for their readers here.
    const [one, two] = [model.stream(many, TINY), model.stream(many, TINY)];
    await Promise.all([one.next(), two.next()]);
    t.is((await model.segment(image, TINY)).width, 40);
    await Promise.all([stream, one, two].map((generator) => generator.return(undefined)));
  },
);

test.serial('leaving a stream drops the images that have not begun', async (t) => {
  await using model = await open({});
  const begun = new Set<number>();
  const images = Array.from({ length: 50 }, (_, i) => plain(40, 30, () => begun.add(i)));
  for await (const { width } of model.stream(images, { ...TINY, maxInFlight: 50 })) {
    t.is(width, 40);
    break;
  }
  t.true(begun.size < 10, `${begun.size} of 50 had begun`);
});

test.serial('a long list is decoded a few groups ahead of the one that runs', async (t) => {
  await using model = await open({ maxBatch: 2 });
  const decoded = new Set<number>();
  const images = Array.from({ length: 40 }, (_, i) => plain(40, 30, () => decoded.add(i)));
  let [finished, most] = [0, 0];
  type Handle = { promise: Promise<unknown> };
  const { Plan } = addon() as unknown as { Plan: { prototype: { run(...args: unknown[]): Handle } } };
  const original = Plan.prototype.run;
  const counted = function (this: unknown, ...args: unknown[]): Handle {
    most = Math.max(most, decoded.size - 2 * finished);
    const handle = original.apply(this, args);
    return { ...handle, promise: handle.promise.finally(() => (finished += 1)) };
  };
  Object.defineProperty(Plan.prototype, 'run', { value: counted, configurable: true, writable: true });
  try {
    t.true((await model.segment(images, TINY)).every(({ status }) => status === 'fulfilled'));
  } finally {
    Object.defineProperty(Plan.prototype, 'run', { value: original, configurable: true, writable: true });
  }
  t.is(finished, 20);
  t.true(most <= 12, `${most} of 40 images were held at once`);
});

test.serial('results of a long list are in order, whatever fails and whatever runs together', async (t) => {
  await using model = await open({ maxBatch: 3 });
  const images = Array.from({ length: 31 }, (_, i) =>
    i % 7 === 3 ? new Uint8Array(i) : plain(i % 5 < 3 ? 40 : 20 + i, i % 2 === 0 ? 30 : 31),
  );
  const settled = await model.segment(images, TINY);
  t.is(settled.length, images.length);
  for (const [i, outcome] of settled.entries()) {
    const image = images[i]!;
    if (image instanceof Uint8Array) t.is(codeOf(outcome), 'ERR_IMAGE', String(i));
    else
      t.deepEqual(outcome.status === 'fulfilled' && [outcome.value.width, outcome.value.height], [
        image.width,
        image.height,
      ]);
  }
});

test.serial('however many calls share a signal, it has one listener, and none when they have ended', async (t) => {
  await using model = await open({});
  const { signal } = new AbortController();
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on('warning', onWarning);
  try {
    const options = { ...TINY, signal };
    const list = Array<string>(14).fill(SCENE);
    const calls = [model.segment(list, options), ...list.map((image) => model.segment(image, options))];
    const ended = Promise.all(calls);
    let [most, over] = [0, false];
    void ended.finally(() => (over = true));
    while (!over) {
      most = Math.max(most, getEventListeners(signal, 'abort').length);
      await nextTurn();
    }
    await ended;
    t.is(most, 1);
    t.is(getEventListeners(signal, 'abort').length, 0);
    t.deepEqual(warnings, []);
  } finally {
    process.off('warning', onWarning);
  }
});
