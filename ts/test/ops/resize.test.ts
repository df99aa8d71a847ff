import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { assertClose, forEachVariant, integerTensor, randomTensor } from '../support/ops.js';
import { offsetOf, positions, refused, sameBits } from './checks.js';

type Options = Parameters<typeof ops.resize>[1];

/** PyTorch's rules, with exact coordinates of an f32 step. */
function expected(input: Tensor, options: Options): { shape: number[]; output: number[] } {
  const { mode = 'bilinear', alignCorners = false, recomputeScale = false } = options;
  const [n, h, w, c] = input.shape as [number, number, number, number];
  const pair = (value: number | readonly [number, number]): readonly [number, number] =>
    typeof value === 'number' ? [value, value] : value;
  const scale = options.scale === undefined ? undefined : pair(options.scale);
  const [oh, ow] =
    options.size === undefined ? [Math.floor(h * scale![0]), Math.floor(w * scale![1])] : pair(options.size);
  const f = Math.fround;
  const axis = (i: number, from: number, to: number, factor: number | undefined): [number, number, number] => {
    let step = factor !== undefined && !recomputeScale ? f(1 / factor) : f(from / to);
    if (mode !== 'bilinear') {
      const source = f(f(i + (mode === 'nearest' ? 0 : 0.5)) * step);
      const pixel = Math.min(Math.floor(source), from - 1);
      return [pixel, pixel, 0];
    }
    if (from === to) return [i, i, 0];
    if (alignCorners) step = to > 1 ? f((from - 1) / (to - 1)) : 0;
    const source = alignCorners ? step * i : Math.max(0, step * (i + 0.5) - 0.5);
    const first = Math.min(Math.floor(source), from - 1);
    return [first, Math.min(first + 1, from - 1), Math.min(source - first, 1)];
  };
  const shape = [n, oh, ow, c];
  const output = [...positions(shape)].map(([image, oy, ox, channel]) => {
    const [y0, y1, wy] = axis(oy!, h, oh, scale?.[0]);
    const [x0, x1, wx] = axis(ox!, w, ow, scale?.[1]);
    const at = (y: number, x: number): number => input.data[offsetOf(input.shape, [image!, y, x, channel!])]!;
    return (1 - wy) * ((1 - wx) * at(y0, x0) + wx * at(y0, x1)) + wy * ((1 - wx) * at(y1, x0) + wx * at(y1, x1));
  });
  return { shape, output };
}

const cases: [readonly [number, number], Options][] = [
  [[6, 7], { size: [12, 14] }],
  [[5, 6], { scale: 2 }],
  [[9, 18], { size: [18, 35] }],
  [[23, 29], { size: [8, 9] }],
  [[13, 17], { size: [6, 5], alignCorners: true }],
  [[4, 5], { size: [9, 13], alignCorners: true }],
  [[5, 6], { size: 1, alignCorners: true }],
  [[1, 1], { size: [4, 5] }],
  [[6, 6], { size: 6 }],
  [[10, 11], { scale: 1.7 }],
  [[10, 11], { scale: 1.7, recomputeScale: true }],
  [[20, 21], { scale: [0.45, 1.05] }],
  [[5, 6], { mode: 'nearest', size: [10, 12] }],
  [[7, 10], { mode: 'nearest', size: [13, 19] }],
  [[16, 19], { mode: 'nearest', size: [7, 6] }],
  [[6, 7], { mode: 'nearest', scale: 1.6 }],
  [[6, 7], { mode: 'nearest', scale: 1.6, recomputeScale: true }],
  [[7, 10], { mode: 'nearestExact', size: [13, 16] }],
];

forEachVariant(test, 'resize', "follows PyTorch's rules", async (t, device) => {
  for (const [[h, w], options] of cases) {
    for (const [batch, channels] of [
      [2, 1],
      [1, 3],
      [1, 17],
    ]) {
      const input = randomTensor(h * w, [batch!, h, w, channels!]);
      const want = expected(input, options);
      const output = await device.run(() => ops.resize(input, options));
      t.deepEqual(output.shape, want.shape, JSON.stringify(options));
      const exact = options.mode?.startsWith('nearest') ?? false;
      assertClose(t, output.data, want.output, exact ? {} : { rtol: 1e-6, atol: 1e-6 }, JSON.stringify(options));
    }
  }
});

forEachVariant(test, 'resize', 'is exact where the weights are', async (t, device) => {
  const input = integerTensor(1, [1, 5, 4, 9], -8, 8);
  const options = { size: [10, 8] } as const; // weights of quarters
  const output = await device.run(() => ops.resize(input, options));
  assertClose(t, output.data, expected(input, options).output);
});

forEachVariant(test, 'resize', 'keeps NaN next to its pixel', async (t, device) => {
  const input = randomTensor(1, [1, 8, 8, 9]);
  input.data[(3 * 8 + 4) * 9 + 2] = NaN;
  const { data } = await device.run(() => ops.resize(input, { size: 16 }));
  for (const [y, x, c] of positions([16, 16, 9]) as Iterable<[number, number, number]>) {
    const near = c === 2 && y >= 5 && y <= 8 && x >= 7 && x <= 10;
    t.is(Number.isNaN(data[(y * 16 + x) * 9 + c]), near, `${y} ${x} ${c}`);
  }
});

forEachVariant(test, 'resize', 'accepts empty batches and channels', async (t, device) => {
  for (const mode of ['bilinear', 'nearest'] as const) {
    const empty = await device.run(() => ops.resize(Tensor.zeros([0, 2, 2, 3]), { mode, size: 4 }));
    t.deepEqual(empty.shape, [0, 4, 4, 3]);
    const channels = await device.run(() => ops.resize(Tensor.zeros([1, 2, 2, 0]), { mode, size: 4 }));
    t.deepEqual(channels.shape, [1, 4, 4, 0]);
  }
});

test('resize gives the same bits with any thread count and instruction set', async (t) => {
  const input = randomTensor(1, [2, 31, 33, 19]);
  await sameBits(t, 'resize', () => ops.resize(input, { size: [47, 20] }));
  await sameBits(t, 'resize', () => ops.resize(input, { mode: 'nearest', size: [47, 20] }));
});

test('resize refuses arguments that do not fit', async (t) => {
  const input = Tensor.zeros([1, 4, 4, 1]);
  await refused(t, () => ops.resize(input, {}), 'ERR_ARGUMENT', /either size or scale/);
  await refused(t, () => ops.resize(input, { size: 2, scale: 2 }), 'ERR_ARGUMENT', /either size or scale/);
  await refused(t, () => ops.resize(input, { scale: 0.1 }), 'ERR_SHAPE', /gives 0 pixels/);
  await refused(t, () => ops.resize(input, { scale: NaN }), 'ERR_ARGUMENT', /scale must be a positive number/);
  await refused(t, () => ops.resize(input, { size: 0 }), 'ERR_ARGUMENT', /size must be/);
  await refused(
    t,
    () => ops.resize(input, { size: 2, recomputeScale: true }),
    'ERR_ARGUMENT',
    /recomputeScale goes with/,
  );
  await refused(
    t,
    () => ops.resize(input, { mode: 'nearest', size: 2, alignCorners: true }),
    'ERR_ARGUMENT',
    /alignCorners/,
  );
  await refused(
    t,
    () => ops.resize(input, { mode: 'area' as 'nearest', size: 2 }),
    'ERR_ARGUMENT',
    /mode must be one of/,
  );
  await refused(t, () => ops.resize(Tensor.zeros([1, 0, 4, 1]), { size: 2 }), 'ERR_SHAPE', /must be positive/);
});
