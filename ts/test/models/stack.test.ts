/** The stack of a failed call leads to the line that called, wherever it failed. */
import test from 'ava';
import { InstasegError, load, type ImageInput, type InstanceSegmenter, type StreamOptions } from '../../src/index.js';

const NO_IMAGE = new Uint8Array(8);
const TINY = { minSize: 32, maxSize: 48 };
const PLAIN = { data: new Uint8Array(40 * 30 * 3), width: 40, height: 30, channels: 3 } as const;

let model: InstanceSegmenter;
test.before(async () => {
  model = await load('maskrcnn_demo', { device: 'cpu', threads: 1, maxQueue: 3 });
});
test.after.always(() => model.dispose());

async function sentinelOne(input: ImageInput, options: StreamOptions = TINY): Promise<unknown> {
  return await model.segment(input, options);
}

async function sentinelMany(inputs: readonly ImageInput[]): Promise<unknown> {
  const settled = await model.segment(inputs, TINY);
  throw settled.find((outcome) => outcome.status === 'rejected')?.reason;
}

async function sentinelStream(inputs: readonly ImageInput[], options: StreamOptions = TINY): Promise<unknown> {
  for await (const result of model.stream(inputs, options)) void result;
  return undefined;
}

const cases: [string, () => Promise<unknown>, RegExp][] = [
  ['a file that is missing', () => sentinelOne('/nowhere/at-all.png'), /at sentinelOne /],
  ['bytes that are no image', () => sentinelOne(NO_IMAGE), /at sentinelOne /],
  ['an option out of range', () => sentinelOne(PLAIN, { scoreThreshold: 5 }), /at sentinelOne /],
  ['the run', () => sentinelOne({ ...PLAIN, data: new Float32Array(PLAIN.data.length).fill(NaN) }), /at sentinelOne /],
  ['an image of a list', () => sentinelMany([PLAIN, NO_IMAGE, '/nowhere/at-all.png']), /at sentinelMany /],
  ['an image of a stream', () => sentinelStream([PLAIN, PLAIN, NO_IMAGE]), /at sentinelStream /],
  ['an option of a stream', () => sentinelStream([PLAIN], { maxInFlight: 0 }), /at sentinelStream /],
  [
    'a call that waited',
    async () => {
      const others = [1, 2, 3].map(() => model.segment(PLAIN, TINY));
      await Promise.allSettled([sentinelOne(NO_IMAGE), ...others]);
      return sentinelOne(NO_IMAGE);
    },
    /at sentinelOne /,
  ],
  [
    'a call that was refused',
    async () => {
      const calls = Array.from({ length: 6 }, () => sentinelOne(PLAIN));
      await Promise.allSettled(calls);
      return calls.at(-1);
    },
    /at sentinelOne /,
  ],
];

for (const [name, call, frame] of cases) {
  test.serial(`${name}: the stack names the caller`, async (t) => {
    const error = await t.throwsAsync(call(), { instanceOf: InstasegError });
    t.true(error.stack!.startsWith(`InstasegError: ${error.message}\n`));
    t.regex(error.stack!, frame);
  });
}

test.serial("the reason of a signal is the caller's and stays as it is", async (t) => {
  const reason = new Error('enough');
  const { stack } = reason;
  t.is(await t.throwsAsync(sentinelOne(PLAIN, { signal: AbortSignal.abort(reason) })), reason);
  t.is(reason.stack, stack);
});
