import test from 'ava';
import { Device, InstasegError, listKernels, ops, Tensor, type ErrorCode } from '../../src/index.js';
import { assertClose, forEachVariant, integerTensor, randomTensor, sumTolerance } from '../support/ops.js';

type Pair = readonly [number, number];

interface Geometry {
  readonly stride: Pair;
  readonly padding: Pair;
  readonly outputPadding: Pair;
  readonly dilation: Pair;
  readonly groups: number;
}

const PLAIN: Geometry = { stride: [1, 1], padding: [0, 0], outputPadding: [0, 0], dilation: [1, 1], groups: 1 };

/** The definition: every input pixel is scattered over its window of the output. */
function expectedTransposed(
  input: Tensor,
  weight: Tensor,
  geometry: Geometry,
): { shape: number[]; data: Float64Array } {
  const [n, h, w, cin] = input.shape as [number, number, number, number];
  const [, depth, kh, kw] = weight.shape as [number, number, number, number];
  const { stride, padding, outputPadding, dilation, groups } = geometry;
  const cout = depth * groups;
  const oh = (h - 1) * stride[0] - 2 * padding[0] + dilation[0] * (kh - 1) + outputPadding[0] + 1;
  const ow = (w - 1) * stride[1] - 2 * padding[1] + dilation[1] * (kw - 1) + outputPadding[1] + 1;
  const data = new Float64Array(n * oh * ow * cout);
  for (let i = 0; i < n * h * w * cin; i += 1) {
    const c = i % cin;
    const ix = Math.floor(i / cin) % w;
    const iy = Math.floor(i / cin / w) % h;
    const image = Math.floor(i / cin / w / h);
    for (let k = 0; k < depth * kh * kw; k += 1) {
      const kx = k % kw;
      const ky = Math.floor(k / kw) % kh;
      const o = Math.floor(c / (cin / groups)) * depth + Math.floor(k / kw / kh);
      const oy = iy * stride[0] - padding[0] + ky * dilation[0];
      const ox = ix * stride[1] - padding[1] + kx * dilation[1];
      if (oy < 0 || oy >= oh || ox < 0 || ox >= ow) continue;
      data[((image * oh + oy) * ow + ox) * cout + o]! += input.data[i]! * weight.data[c * depth * kh * kw + k]!;
    }
  }
  return { shape: [n, oh, ow, cout], data };
}

/** [name, input shape, output channels, kernel, geometry] */
type Case = readonly [string, readonly [number, number, number, number], number, Pair, Partial<Geometry>];

const CASES: readonly Case[] = [
  ['one pixel', [1, 1, 1, 1], 1, [1, 1], {}],
  ['2x2 stride 2 (mask head)', [3, 5, 6, 18], 17, [2, 2], { stride: [2, 2] }],
  ['2x2 stride 2, one channel out', [1, 7, 7, 33], 1, [2, 2], { stride: [2, 2] }],
  [
    '3x3 stride 2, padding 1, output padding 1',
    [1, 5, 4, 6],
    4,
    [3, 3],
    { stride: [2, 2], padding: [1, 1], outputPadding: [1, 1] },
  ],
  ['4x4 stride 2, padding 1', [1, 5, 6, 20], 16, [4, 4], { stride: [2, 2], padding: [1, 1] }],
  ['3x3 stride 1', [1, 5, 5, 4], 3, [3, 3], {}],
  ['3x3 stride 1, padding 2', [1, 5, 7, 4], 3, [3, 3], { padding: [2, 2] }],
  ['3x3 stride 1, padding 3, crops the input', [1, 7, 6, 4], 3, [3, 3], { padding: [3, 3] }],
  [
    'dilation 2, output padding 1',
    [1, 5, 6, 4],
    3,
    [3, 3],
    { stride: [2, 2], padding: [1, 1], outputPadding: [1, 1], dilation: [2, 2] },
  ],
  ['output padding beyond the stride', [1, 3, 3, 4], 3, [2, 2], { outputPadding: [2, 1], dilation: [3, 3] }],
  ['2 groups', [1, 4, 5, 8], 6, [3, 3], { stride: [2, 2], padding: [1, 1], groups: 2 }],
  ['depthwise', [1, 4, 5, 11], 11, [4, 4], { stride: [2, 2], padding: [1, 1], groups: 11 }],
  ['kernel smaller than the stride', [1, 4, 4, 3], 2, [2, 2], { stride: [3, 3] }],
  [
    'different axes',
    [2, 4, 5, 5],
    7,
    [1, 4],
    { stride: [3, 2], padding: [0, 1], outputPadding: [2, 0], dilation: [1, 2] },
  ],
];

forEachVariant(test, 'convTranspose2d', 'agrees with the definition', async (t, device) => {
  for (const [index, [name, shape, channels, kernel, partial]] of CASES.entries()) {
    const geometry = { ...PLAIN, ...partial };
    const input = integerTensor(index + 1, shape, -3, 3);
    const weight = integerTensor(index + 100, [shape[3], channels / geometry.groups, ...kernel], -3, 3);
    const bias = integerTensor(index + 200, [channels], -3, 3);
    const expected = expectedTransposed(input, weight, geometry);
    const output = await device.run(() => ops.convTranspose2d(input, weight, geometry));
    t.deepEqual(output.shape, expected.shape, name);
    assertClose(t, output.data, expected.data, {}, name);
    const relu = await device.run(() => ops.convTranspose2d(input, weight, { ...geometry, bias, activation: 'relu' }));
    assertClose(
      t,
      relu.data,
      expected.data.map((x, i) => Math.max(x + bias.data[i % channels]!, 0)),
      {},
      `${name}, relu`,
    );
  }
});

forEachVariant(test, 'convTranspose2d', 'applies sigmoid and tanh', async (t, device, variant) => {
  const close = sumTolerance(variant, { rtol: 1e-5, atol: 1e-5 }, 9 * 9);
  const input = randomTensor(1, [1, 4, 5, 9]);
  const weight = randomTensor(2, [9, 5, 3, 3]);
  const sums = expectedTransposed(input, weight, { ...PLAIN, stride: [2, 2] }).data;
  const tanh = await device.run(() => ops.convTranspose2d(input, weight, { stride: 2, activation: 'tanh' }));
  assertClose(t, tanh.data, sums.map(Math.tanh), close);
  const sigmoid = await device.run(() => ops.convTranspose2d(input, weight, { stride: 2, activation: 'sigmoid' }));
  assertClose(
    t,
    sigmoid.data,
    sums.map((x) => 1 / (1 + Math.exp(-x))),
    close,
  );
});

forEachVariant(test, 'convTranspose2d', 'computes the counted images of each group', async (t, device) => {
  const input = integerTensor(1, [6, 3, 4, 8], -3, 3);
  const weight = integerTensor(2, [8, 5, 2, 2], -3, 3);
  const expected = expectedTransposed(input, weight, { ...PLAIN, stride: [2, 2] }).data;
  const image = expected.length / 6;
  for (const counts of [
    [2, 1],
    [0, 3],
    [7, -1],
  ] as const) {
    const output = await device.run(() =>
      ops.convTranspose2d(input, weight, { stride: 2, counts: Tensor.from(Int32Array.from(counts)) }),
    );
    for (const [group, count] of counts.entries()) {
      const begin = group * 3 * image;
      const end = begin + Math.min(Math.max(count, 0), 3) * image;
      assertClose(t, output.data.subarray(begin, end), expected.subarray(begin, end));
    }
  }
});

forEachVariant(
  test,
  'convTranspose2d',
  'keeps NaN and infinity where they belong, and accepts empty tensors',
  async (t, device) => {
    const input = integerTensor(1, [1, 4, 4, 3], 1, 3);
    const weight = integerTensor(2, [3, 2, 2, 2], 1, 3);
    input.data[(1 * 4 + 2) * 3] = NaN;
    input.data[(3 * 4 + 0) * 3 + 1] = -Infinity;
    const { data } = await device.run(() => ops.convTranspose2d(input, weight, { stride: 2 }));
    for (const [i, value] of data.entries()) {
      const [y, x] = [Math.floor(i / 2 / 8), Math.floor(i / 2) % 8];
      if (y >> 1 === 1 && x >> 1 === 2) t.true(Number.isNaN(value));
      else if (y >> 1 === 3 && x >> 1 === 0) t.is(value, -Infinity);
      else t.true(Number.isFinite(value));
    }
    const empty = await device.run(() => ops.convTranspose2d(Tensor.zeros([0, 4, 4, 3]), weight, { stride: 2 }));
    t.deepEqual(empty.shape, [0, 8, 8, 2]);
  },
);

test('convTranspose2d gives the same bits for any thread count and for an image alone or in a batch', async (t) => {
  for (const variant of new Set(
    listKernels()
      .filter((row) => row.op === 'convTranspose2d')
      .map((row) => row.variant),
  )) {
    for (const [kernel, groups] of [
      [2, 1],
      [3, 1],
      [3, 18],
    ] as const) {
      const options = { stride: 2, groups, activation: 'tanh' } as const;
      const weight = randomTensor(7, [18, 18 / groups, kernel, kernel], { scale: 0.2 });
      const input = randomTensor(8, [4, 7, 7, 18]);
      let first: Tensor | undefined;
      for (const threads of [1, 2, 3]) {
        const device = await Device.open('cpu', { threads, variant });
        const batch = await device.run(() => ops.convTranspose2d(input, weight, options));
        first ??= batch;
        t.deepEqual(batch.data, first.data, `${variant}, kernel ${kernel}, ${threads} threads`);
        const one = Tensor.from(input.data.slice(2 * 49 * 18, 3 * 49 * 18), [1, 7, 7, 18]);
        const alone = await device.run(() => ops.convTranspose2d(one, weight, options));
        t.deepEqual(
          alone.data,
          first.data.subarray(2 * alone.length, 3 * alone.length),
          `${variant}, kernel ${kernel}, alone`,
        );
        await device.dispose();
      }
    }
  }
});

test('convTranspose2d refuses arguments that do not fit', async (t) => {
  const device = await Device.open('cpu', { threads: 1 });
  const input = Tensor.zeros([1, 5, 5, 4]);
  const weight = Tensor.zeros([4, 6, 3, 3]);
  const refused = async (
    body: () => ReturnType<typeof ops.convTranspose2d>,
    code: ErrorCode,
    message: RegExp,
  ): Promise<void> => {
    const error = await t.throwsAsync(async () => device.run(body));
    t.true(error instanceof InstasegError, String(error));
    t.is((error as InstasegError).code, code, error.message);
    t.regex(error.message, message);
  };
  await refused(
    () => ops.convTranspose2d(Tensor.zeros([5, 5, 4]), weight),
    'ERR_SHAPE',
    /input must have 4 dimensions/,
  );
  await refused(
    () => ops.convTranspose2d(input, Tensor.zeros([6, 4, 3, 3])),
    'ERR_SHAPE',
    /weight must have 4 input channels/,
  );
  await refused(() => ops.convTranspose2d(input, weight, { groups: 3 }), 'ERR_SHAPE', /cannot be split into 3 groups/);
  await refused(() => ops.convTranspose2d(input, weight, { padding: 4 }), 'ERR_SHAPE', /leaves no output/);
  await refused(
    () => ops.convTranspose2d(input, weight, { bias: Tensor.zeros([4]) }),
    'ERR_SHAPE',
    /bias must have shape \[6\]/,
  );
  await refused(() => ops.convTranspose2d(input, ops.relu(weight)), 'ERR_ARGUMENT', /weight must be constant/);
  await refused(
    () => ops.convTranspose2d(input, weight, { counts: Tensor.zeros([2], 'i32') }),
    'ERR_SHAPE',
    /cannot be split evenly/,
  );
  await refused(
    () => ops.convTranspose2d(input, weight, { outputPadding: 1 }),
    'ERR_ARGUMENT',
    /outputPadding must be smaller/,
  );
  await refused(
    () => ops.convTranspose2d(input, weight, { outputPadding: -1 }),
    'ERR_ARGUMENT',
    /outputPadding must be/,
  );
  await refused(() => ops.convTranspose2d(input, weight, { stride: [2, 0] }), 'ERR_ARGUMENT', /stride must be/);
  await refused(() => ops.convTranspose2d(input, weight, { dilation: 0.5 }), 'ERR_ARGUMENT', /dilation must be/);
  await refused(
    () => ops.convTranspose2d(input, weight, { activation: 'elu' as 'relu' }),
    'ERR_ARGUMENT',
    /activation must be one of/,
  );
  await device.dispose();
});
