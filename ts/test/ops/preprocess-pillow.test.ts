import test from 'ava';
import { Device, type InstasegError, ops, Tensor } from '../../src/index.js';
import { assertClose, forEachVariant, randomSource } from '../support/ops.js';
import { offsetOf, positions, refused, sameBits } from './checks.js';

type Options = Parameters<typeof ops.preprocessPillow>[2];
type Rows = readonly (readonly number[])[];

const mean = [103.53, 116.28, 123.675];
const std = [1, 1, 1];

function image(
  seed: number,
  height: number,
  width: number,
  array: typeof Uint8Array | typeof Float32Array = Uint8Array,
): Tensor {
  const next = randomSource(seed);
  const values = Array.from({ length: height * width * 3 }, () => Math.floor(next() * 256));
  return Tensor.from(new array(values), [height, width, 3]);
}

function sizesOf(rows: Rows): Tensor {
  return Tensor.from(Int32Array.from(rows.flat()), [rows.length, 4]);
}

/** [input pixel, weight in units of 2^-22] of each output pixel of an axis. */
function triangle(input: number, output: number): [number, number][][] {
  const scale = input / output;
  const reach = Math.max(scale, 1);
  return Array.from({ length: output }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const from = Math.max(0, Math.trunc(centre - reach + 0.5));
    const to = Math.min(input, Math.trunc(centre + reach + 0.5));
    const pixels = Array.from({ length: to - from }, (_, k) => from + k);
    const weights = pixels.map((pixel) => Math.max(0, 1 - Math.abs((pixel - centre + 0.5) * (1 / reach))));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return pixels.map((pixel, k) => [pixel, Math.trunc(0.5 + (weights[k]! / sum) * 2 ** 22)]);
  });
}

const rounded = (sum: number): number => Math.min(255, Math.floor(sum / 2 ** 22 + 0.5));

/** The resized image, rows first, each axis rounded to whole numbers. */
function pillow(input: Tensor, height: number, width: number): number[] {
  const [h, w] = input.shape as [number, number, number];
  const [ys, xs] = [triangle(h, height), triangle(w, width)];
  const narrow = [...positions([h, width, 3])].map(([y, x, c]) =>
    rounded(xs[x!]!.reduce((sum, [at, weight]) => sum + weight * input.data[offsetOf(input.shape, [y!, at, c!])]!, 0)),
  );
  return [...positions([height, width, 3])].map(([y, x, c]) =>
    rounded(ys[y!]!.reduce((sum, [at, weight]) => sum + weight * narrow[(at * width + x!) * 3 + c!]!, 0)),
  );
}

/** The batch that the images make. */
function expected(images: readonly Tensor[], rows: Rows, options: Options): number[] {
  const resized = images.map((each, n) => pillow(each, rows[n]![2]!, rows[n]![3]!));
  return [...positions([images.length, options.height, options.width, 3])].map(([n, y, x, c]) => {
    const [, , height, width] = rows[n!] as [number, number, number, number];
    if (y! >= height || x! >= width) return 0;
    const value = resized[n!]![(y! * width + x!) * 3 + (options.swapChannels ? 2 - c! : c!)]!;
    return Math.fround(Math.fround(value - Math.fround(options.mean[c!]!)) / Math.fround(options.std[c!]!));
  });
}

forEachVariant(test, 'preprocessPillow', 'resizes in fixed point, normalises and pads a batch', async (t, device) => {
  const rows = [
    [9, 14, 12, 20],
    [21, 5, 16, 4],
    [1, 1, 3, 5],
    [16, 12, 16, 12],
    [60, 70, 7, 20],
    [300, 4, 11, 4], // more rows at a time than a thread keeps
    [4, 300, 5, 9],
    [101, 90, 13, 12], // a little below and above a seventh
    [40, 41, 39, 40],
  ];
  const images = rows.map(([height, width], i) => image(i + 1, height!, width!));
  for (const other of [{}, { swapChannels: true }, { swapChannels: true, std: [57.375, 57.12, 58.395] }]) {
    const options = { height: 39, width: 40, mean, std, ...other };
    const output = await device.run(() => ops.preprocessPillow(images, sizesOf(rows), options));
    t.deepEqual(output.shape, [9, 39, 40, 3]);
    assertClose(t, output.data, expected(images, rows, options), {}, JSON.stringify(other));
  }
});

forEachVariant(test, 'preprocessPillow', 'rounds black and white to black and white', async (t, device) => {
  for (const value of [0, 255]) {
    const input = Tensor.from(new Uint8Array(50 * 31 * 3).fill(value), [50, 31, 3]);
    const options = { height: 17, width: 60, mean: [0, 0, 0], std };
    const output = await device.run(() => ops.preprocessPillow([input], sizesOf([[50, 31, 17, 60]]), options));
    t.true(output.data.every((pixel) => pixel === value));
  }
});

forEachVariant(test, 'preprocessPillow', 'resizes f32 images without antialiasing', async (t, device) => {
  const images = [image(1, 30, 21, Float32Array), image(2, 8, 9, Float32Array)];
  const rows = [
    [30, 21, 11, 9],
    [8, 9, 12, 14],
  ];
  const options = { height: 12, width: 14, mean, std, swapChannels: true };
  const output = await device.run(() => ops.preprocessPillow(images, sizesOf(rows), options));
  // preprocess has its own tests, and its channels are the image's.
  const plain = await device.run(() =>
    ops.preprocess(images, sizesOf(rows), {
      ...{ height: 12, width: 14, mean, std, scale: 1 },
      ...{ order: 'resizeFirst', swapInput: true },
    }),
  );
  // Both orders of mixing round by less than 1e-6 of the largest value.
  assertClose(t, output.data, plain.data, { atol: 255e-6 });
});

forEachVariant(test, 'preprocessPillow', 'runs one plan for images of any size', async (t, device) => {
  const options = { height: 12, width: 12, mean, std };
  const dynamic = { dtype: 'u8', shape: [-1, -1, 3] } as const;
  const plan = await device.compile([{ dtype: 'i32', shape: [1, 4] }, dynamic], (sizes, one) =>
    ops.preprocessPillow([one], sizes, options),
  );
  for (const [seed, row] of [
    [5, 7, 12, 12],
    [80, 30, 12, 5],
  ].entries()) {
    const images = [image(seed + 1, row[0]!, row[1]!)];
    assertClose(t, (await plan.run([sizesOf([row]), ...images])).data, expected(images, [row], options));
  }
  for (const [row, height, message] of [
    [[5, 7, 9, 9], 5, /image 0 has shape \[5, 6, 3\]/],
    [[5, 6, 9, 13], 5, /does not fit the batch of 12 x 12/],
    [[5, 6, 0, 9], 5, /does not fit the batch of 12 x 12/],
    [[0, 6, 9, 9], 0, /image 0 of shape \[0, 6, 3\] has no pixels/],
  ] as const) {
    const wrong = await t.throwsAsync<InstasegError>(() => plan.run([sizesOf([row]), image(1, height, 6)]));
    t.is(wrong?.code, 'ERR_SHAPE');
    t.regex(wrong?.message ?? '', message);
  }
  plan.dispose();
});

test('preprocessPillow gives the same bits with any thread count and instruction set', async (t) => {
  const images = [image(1, 163, 90), image(2, 40, 2000), image(3, 63, 31, Float32Array)];
  const rows = [
    [163, 90, 100, 120],
    [40, 2000, 10, 127],
    [63, 31, 100, 40],
  ];
  const options = { height: 100, width: 128, mean, std };
  await sameBits(t, 'preprocessPillow', () => ops.preprocessPillow(images, sizesOf(rows), options));
});

forEachVariant(test, 'preprocessPillow', 'gives an image the same bits alone and in a batch', async (t, device) => {
  const images = [image(1, 63, 90), image(2, 40, 41), image(3, 63, 31, Float32Array)];
  const rows = [
    [63, 90, 30, 44],
    [40, 41, 48, 47],
    [63, 31, 40, 40],
  ];
  const options = { height: 48, width: 48, mean, std };
  const batch = await device.run(() => ops.preprocessPillow(images, sizesOf(rows), options));
  for (const [n, one] of images.entries()) {
    const alone = await device.run(() => ops.preprocessPillow([one], sizesOf([rows[n]!]), options));
    t.deepEqual(alone.data, batch.data.slice(n * alone.length, (n + 1) * alone.length));
  }
});

forEachVariant(test, 'preprocessPillow', "gives the bits of the CPU's reference", async (t, device) => {
  const images = [image(1, 63, 47), image(2, 9, 200), image(3, 31, 22, Float32Array), image(4, 5, 6, Float32Array)];
  const sizes = sizesOf([
    [63, 47, 30, 24],
    [9, 200, 21, 7],
    [31, 22, 13, 17],
    [5, 6, 30, 23],
  ]);
  const options = { height: 30, width: 24, mean, std: [57.375, 57.12, 58.395], swapChannels: true };
  const body = () => ops.preprocessPillow(images, sizes, options);
  const cpu = await Device.open('cpu', { threads: 1, variant: 'reference' });
  t.deepEqual((await device.run(body)).data, (await cpu.run(body)).data);
  await cpu.dispose();
});

forEachVariant(test, 'preprocessPillow', 'takes more images than one launch has room for', async (t, device) => {
  const images = Array.from({ length: 35 }, (_, n) => image(n + 1, 3 + (n % 3), 9));
  const rows = images.map((one, n) => [one.shape[0]!, 9, 4, 3 + (n % 2)]);
  const options = { height: 4, width: 4, mean, std };
  const output = await device.run(() => ops.preprocessPillow(images, sizesOf(rows), options));
  assertClose(t, output.data, expected(images, rows, options));
});

test('preprocessPillow refuses arguments that do not fit', async (t) => {
  const options = { height: 8, width: 8, mean, std };
  const none = Tensor.zeros([0, 4], 'i32');
  await refused(t, () => ops.preprocessPillow([], none, options), 'ERR_ARGUMENT', /at least one tensor/);
  const one = image(1, 4, 5);
  const run =
    (row: readonly number[], input: Tensor = one, other: Partial<Options> = {}) =>
    () =>
      ops.preprocessPillow([input], sizesOf([row]), { ...options, ...other });
  await refused(t, run([4, 6, 8, 8]), 'ERR_SHAPE', /image 0 has shape \[4, 5, 3\], its sizes say \[4, 6, 3\]/);
  await refused(t, run([4, 5, 9, 8]), 'ERR_SHAPE', /resized to 9 x 8 does not fit/);
  await refused(t, run([4, 5, 8, 0]), 'ERR_SHAPE', /resized to 8 x 0 does not fit/);
  await refused(t, run([0, 5, 1, 1], Tensor.zeros([0, 5, 3], 'u8')), 'ERR_SHAPE', /no pixels/);
  await refused(t, run([4, 5, 8, 8], Tensor.zeros([4, 5, 4], 'u8')), 'ERR_SHAPE', /\[height, width, 3\]/);
  await refused(t, run([4, 5, 8, 8], Tensor.zeros([4, 5, 3], 'i32')), 'ERR_DTYPE', /images must be u8 or f32/);
  await refused(t, run([4, 5, 8, 8], one, { height: 0 }), 'ERR_ARGUMENT', /height must be/);
  await refused(t, run([4, 5, 8, 8], one, { mean: [1] }), 'ERR_ARGUMENT', /must have 3 numbers/);
  await refused(t, run([4, 5, 8, 8], one, { std: [1, 1, 0] }), 'ERR_ARGUMENT', /std must be/);
});
