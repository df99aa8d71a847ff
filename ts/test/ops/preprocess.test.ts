import test from 'ava';
import { type InstasegError, ops, Tensor } from '../../src/index.js';
import { assertClose, forEachVariant, randomSource } from '../support/ops.js';
import { offsetOf, positions, refused, sameBits } from './checks.js';

type Options = Parameters<typeof ops.preprocess>[2];

const mean = [0.485, 0.456, 0.406];
const std = [0.229, 0.224, 0.225];

function image(
  seed: number,
  height: number,
  width: number,
  array: typeof Uint8Array | typeof Float32Array = Uint8Array,
): Tensor {
  const next = randomSource(seed);
  return Tensor.from(new array(Array.from({ length: height * width * 3 }, () => Math.floor(next() * 256))), [
    height,
    width,
    3,
  ]);
}

function sizesOf(rows: readonly (readonly number[])[]): Tensor {
  return Tensor.from(Int32Array.from(rows.flat()), [rows.length, 4]);
}

/** Every pixel by itself: swap, scale, normalise, mix four. */
function expected(images: readonly Tensor[], rows: readonly (readonly number[])[], options: Options): number[] {
  const tap = (i: number, from: number, to: number): [number, number, number] => {
    if (from === to) return [i, i, 0];
    const source = Math.max(0, Math.fround(from / to) * (i + 0.5) - 0.5);
    const first = Math.min(Math.floor(source), from - 1);
    return [first, Math.min(first + 1, from - 1), source - first];
  };
  return [...positions([images.length, options.height, options.width, 3])].map(([n, oy, ox, c]) => {
    const [height, width, resizedHeight, resizedWidth] = rows[n!] as [number, number, number, number];
    if (oy! >= resizedHeight || ox! >= resizedWidth) return 0;
    const k = options.swapOutput ? 2 - c! : c!;
    const channel = options.swapInput ? 2 - k : k;
    const at = (y: number, x: number): number => {
      const value = images[n!]!.data[offsetOf(images[n!]!.shape, [y, x, channel])]! * (options.scale ?? 1 / 255);
      return (value - options.mean[k]!) / options.std[k]!;
    };
    const [y0, y1, wy] = tap(oy!, height, resizedHeight);
    const [x0, x1, wx] = tap(ox!, width, resizedWidth);
    return (1 - wy) * ((1 - wx) * at(y0, x0) + wx * at(y0, x1)) + wy * ((1 - wx) * at(y1, x0) + wx * at(y1, x1));
  });
}

forEachVariant(test, 'preprocess', 'normalises, resizes and pads a batch', async (t, device) => {
  for (const array of [Uint8Array, Float32Array]) {
    const images = [image(1, 9, 14, array), image(2, 21, 5, array), image(3, 1, 1, array), image(4, 16, 12, array)];
    const rows = [
      [9, 14, 12, 20],
      [21, 5, 16, 4],
      [1, 1, 3, 5],
      [16, 12, 16, 12],
    ];
    for (const swaps of [{}, { swapInput: true }, { swapOutput: true }, { swapInput: true, swapOutput: true }]) {
      for (const order of ['normalizeFirst', 'resizeFirst'] as const) {
        const options = { height: 16, width: 20, mean, std, order, ...swaps };
        const output = await device.run(() => ops.preprocess(images, sizesOf(rows), options));
        t.deepEqual(output.shape, [4, 16, 20, 3]);
        assertClose(t, output.data, expected(images, rows, options), { atol: 4e-6 }, JSON.stringify(options));
      }
    }
  }
});

forEachVariant(test, 'preprocess', 'takes raw statistics', async (t, device) => {
  const images = [image(1, 20, 31)];
  const rows = [[20, 31, 24, 24]];
  const raw = { mean: [103.94, 116.78, 123.68], std: [57.38, 57.12, 58.4], scale: 1 };
  const options = { height: 24, width: 24, ...raw, order: 'resizeFirst', swapInput: true, swapOutput: true } as const;
  const output = await device.run(() => ops.preprocess(images, sizesOf(rows), options));
  assertClose(t, output.data, expected(images, rows, options), { atol: 4e-6 });
});

forEachVariant(test, 'preprocess', 'shrinks wide images to a few pixels', async (t, device) => {
  const images = [image(1, 2, 9000), image(2, 3000, 1), image(3, 2, 4001, Float32Array)];
  const rows = [
    [2, 9000, 2, 7],
    [3000, 1, 3, 2],
    [2, 4001, 3, 1],
  ];
  const options = { height: 4, width: 8, mean, std };
  const output = await device.run(() => ops.preprocess(images, sizesOf(rows), options));
  assertClose(t, output.data, expected(images, rows, options), { atol: 4e-6 });
});

forEachVariant(test, 'preprocess', 'runs one plan for images of any size', async (t, device) => {
  const options = { height: 12, width: 12, mean, std };
  const dynamic = { dtype: 'u8', shape: [-1, -1, 3] } as const;
  const plan = await device.compile([{ dtype: 'i32', shape: [2, 4] }, dynamic, dynamic], (sizes, a, b) =>
    ops.preprocess([a, b], sizes, options),
  );
  for (const [seed, rows] of [
    [
      [5, 7, 12, 12],
      [20, 3, 9, 2],
    ],
    [
      [1, 30, 1, 12],
      [12, 12, 12, 12],
    ],
  ].entries()) {
    const images = rows.map(([height, width], i) => image(seed * 2 + i + 1, height!, width!));
    const output = await plan.run([sizesOf(rows), ...images]);
    assertClose(t, output.data, expected(images, rows, options), { atol: 4e-6 });
  }
  const wrong = await t.throwsAsync<InstasegError>(() =>
    plan.run([
      sizesOf([
        [5, 7, 9, 9],
        [4, 4, 4, 4],
      ]),
      image(1, 5, 7),
      image(2, 4, 5),
    ]),
  );
  t.is(wrong?.code, 'ERR_SHAPE');
  t.regex(wrong?.message ?? '', /image 1 has shape \[4, 5, 3\]/);
  plan.dispose();
});

test('preprocess gives the same bits with any thread count and instruction set', async (t) => {
  const images = [image(1, 63, 90), image(2, 40, 2000)];
  const sizes = sizesOf([
    [63, 90, 100, 120],
    [40, 2000, 10, 127],
  ]);
  const options = { height: 100, width: 128, mean, std };
  await sameBits(t, 'preprocess', () => ops.preprocess(images, sizes, options));
});

test('preprocess gives an image the same bits alone and in a batch', async (t) => {
  const images = [image(1, 33, 50), image(2, 60, 41)];
  const rows = [
    [33, 50, 40, 60],
    [60, 41, 64, 44],
  ];
  const options = { height: 64, width: 64, mean, std };
  await sameBits(t, 'preprocess', () =>
    ops.slice(ops.preprocess(images, sizesOf(rows), options), { begin: [1, 0, 0, 0], size: [1, -1, -1, -1] }),
  );
});

test('preprocess refuses arguments that do not fit', async (t) => {
  const options = { height: 8, width: 8, mean, std };
  await refused(
    t,
    () => ops.preprocess([], Tensor.zeros([0, 4], 'i32'), options),
    'ERR_ARGUMENT',
    /at least one tensor/,
  );
  const one = image(1, 4, 5);
  const run =
    (row: readonly number[], input: Tensor = one, other: Partial<Options> = {}) =>
    () =>
      ops.preprocess([input], sizesOf([row]), { ...options, ...other });
  await refused(t, run([4, 6, 8, 8]), 'ERR_SHAPE', /image 0 has shape \[4, 5, 3\], its sizes say \[4, 6, 3\]/);
  await refused(t, run([4, 5, 9, 8]), 'ERR_SHAPE', /resized to 9 x 8 does not fit/);
  await refused(t, run([4, 5, 8, 0]), 'ERR_SHAPE', /resized to 8 x 0 does not fit/);
  await refused(t, run([4, 5, -1, 8]), 'ERR_SHAPE', /resized to -1 x 8 does not fit/);
  await refused(t, run([0, 5, 1, 1], Tensor.zeros([0, 5, 3], 'u8')), 'ERR_SHAPE', /no pixels/);
  await refused(
    t,
    run([4, 5, 8, 8], Tensor.zeros([4, 5, 4], 'u8')),
    'ERR_SHAPE',
    /images must have shape \[height, width, 3\]/,
  );
  await refused(t, run([4, 5, 8, 8], Tensor.zeros([4, 5, 3], 'i32')), 'ERR_DTYPE', /images must be u8 or f32/);
  await refused(t, run([4, 5, 8, 8], one, { height: 0 }), 'ERR_ARGUMENT', /height must be/);
  await refused(t, run([4, 5, 8, 8], one, { mean: [1] }), 'ERR_ARGUMENT', /must have 3 numbers/);
  await refused(t, run([4, 5, 8, 8], one, { std: [1, 1, 0] }), 'ERR_ARGUMENT', /std must be/);
  await refused(
    t,
    () => ops.preprocess([one, one], sizesOf([[4, 5, 8, 8]]), options),
    'ERR_SHAPE',
    /sizes must have shape \[2, 4\]/,
  );
});
