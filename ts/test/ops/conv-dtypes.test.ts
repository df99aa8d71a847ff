/**
 * The convolutions and linear in f16 and bf16, and all tiles of their matrix product, on a device that has them. The
 * oracle is the CPU's reference variant in f32, which the tests of each op compare with the definition.
 */
import test from 'ava';
import { Device, ops, Tensor, type SymbolicTensor } from '../../src/index.js';
import { deformConv2d } from '../../src/ops/deform-conv2d.js';
import { assertClose, forEachVariant, integerTensor, randomTensor, TEST_DEVICE } from '../support/ops.js';
import { assertWithinPolicy, floatTensor, numbersOf, refused, roundTo, type FloatDType } from './checks.js';

type Shape = readonly number[];
type Inputs = readonly Tensor[];

interface Case {
  readonly name: string;
  readonly op: 'conv2d' | 'convTranspose2d' | 'linear' | 'deformConv2d';
  readonly input: Shape;
  readonly weight: Shape;
  /** Shapes of inputs in f32 or in the input's dtype that `run` gets after input and weight. */
  readonly f32?: readonly Shape[];
  readonly same?: readonly Shape[];
  readonly run: (input: Tensor, weight: Tensor, f32: Inputs, same: Inputs) => SymbolicTensor;
}

/** Channels in whole and in broken chunks of 16 bytes, rows and columns below, at and above tiles, split and whole k. */
const CASES: readonly Case[] = [
  ...(
    [
      ['1x1', [1, 7, 9, 16], [24, 16, 1, 1], {}],
      ['1x1, a tile exactly', [1, 8, 8, 32], [64, 32, 1, 1], {}],
      ['3x3 of 9 channels', [2, 5, 7, 9], [33, 9, 3, 3], { padding: 1 }],
      ['3x3, k split', [1, 6, 7, 64], [40, 64, 3, 3], { padding: 1 }],
      ['3x3, k split, odd columns', [2, 5, 5, 72], [35, 72, 3, 3], { padding: 1, stride: 2 }],
      ['dilated', [1, 9, 9, 8], [72, 8, 3, 3], { padding: [2, 1], dilation: [2, 1] }],
      ['7x7 of 3 channels (stem)', [1, 15, 13, 3], [64, 3, 7, 7], { padding: 3, stride: 2 }],
      ['groups of 16', [1, 5, 6, 48], [36, 16, 3, 3], { padding: 1, groups: 3 }],
      ['narrow groups', [1, 5, 6, 16], [16, 4, 3, 3], { padding: 1, groups: 4 }],
      ['depthwise by vectors', [2, 6, 5, 24], [24, 1, 3, 3], { padding: 1, groups: 24 }],
      ['depthwise one by one', [1, 6, 5, 13], [13, 1, 5, 5], { padding: 2, stride: 2, groups: 13 }],
    ] as const
  ).map(([name, input, weight, options]): Case => ({
    name,
    op: 'conv2d',
    input,
    weight,
    f32: [[weight[0]], [weight[0]]],
    run: (x, w, [bias, scale]) => ops.conv2d(x, w, { ...options, bias, scale }),
  })),
  {
    name: 'residual and relu, k split',
    op: 'conv2d',
    input: [2, 6, 6, 64],
    weight: [24, 64, 3, 3],
    f32: [[24]],
    same: [[2, 6, 6, 24]],
    run: (x, w, [bias], [residual]) => ops.conv2d(x, w, { padding: 1, bias, residual, activation: 'relu' }),
  },
  {
    name: 'residual of 13 channels, sigmoid',
    op: 'conv2d',
    input: [1, 5, 6, 16],
    weight: [13, 16, 1, 1],
    f32: [[13]],
    same: [[1, 5, 6, 13]],
    run: (x, w, [scale], [residual]) => ops.conv2d(x, w, { scale, residual, activation: 'sigmoid' }),
  },
  ...(
    [
      ['2x2 stride 2 (mask head)', [3, 7, 7, 32], [32, 40, 2, 2], { stride: 2 }],
      ['4x4 stride 2, k split', [1, 5, 6, 64], [64, 16, 4, 4], { stride: 2, padding: 1 }],
      ['3x3 stride 3 of 5 channels, 25 phases and gaps', [1, 3, 4, 5], [5, 6, 3, 3], { stride: 5, dilation: 2 }],
      ['2 groups, different axes', [1, 4, 5, 16], [16, 9, 2, 3], { stride: [3, 1], padding: [0, 1], groups: 2 }],
    ] as const
  ).map(([name, input, weight, options]): Case => ({
    name,
    op: 'convTranspose2d',
    input,
    weight,
    f32: [[weight[1] * ('groups' in options ? options.groups : 1)]],
    run: (x, w, [bias]) => ops.convTranspose2d(x, w, { ...options, bias, activation: 'relu' }),
  })),
  ...(
    [
      ['64 by 64', [64, 64], [64, 64]],
      ['65 by 33 by 49', [65, 49], [33, 49]],
      ['few rows, k split', [3, 1024], [96, 1024]],
    ] as const
  ).map(([name, input, weight]): Case => ({
    name,
    op: 'linear',
    input,
    weight,
    f32: [[weight[0]]],
    run: (x, w, [bias]) => ops.linear(x, w, { bias }),
  })),
];

test('convolutions and linear have no kernel for f16 and bf16 on the CPU, and say so', async (t) => {
  for (const dtype of ['f16', 'bf16'] as const) {
    for (const op of ['conv2d', 'convTranspose2d', 'linear'] as const) {
      const { input, weight, run } = CASES.find((each) => each.op === op)!;
      const x = floatTensor(dtype, new Float32Array(input.reduce((a, b) => a * b)), input);
      await refused(
        t,
        () => run(x, Tensor.zeros(weight), [], []),
        'ERR_UNSUPPORTED',
        new RegExp(`${op} has no cpu kernel for ${dtype}`),
      );
    }
  }
});

const ACCELERATED = TEST_DEVICE !== 'cpu';

function tensors(shapes: readonly Shape[] | undefined, make: (index: number, shape: Shape) => Tensor): Tensor[] {
  return (shapes ?? []).map((shape, i) => make(i, shape));
}

function rounded(dtype: FloatDType, tensor: Tensor): Tensor {
  return Tensor.from(
    Float32Array.from(tensor.data, (value) => roundTo(dtype, value)),
    tensor.shape,
  );
}

for (const op of ACCELERATED ? (['conv2d', 'convTranspose2d', 'linear'] as const) : []) {
  forEachVariant(test, op, 'rounds exact sums once, in f16 and bf16', async (t, device) => {
    const oracle = await Device.open('cpu', { variant: 'reference' });
    for (const [index, { name, input, weight, f32, same, run }] of CASES.entries()) {
      if (CASES[index]!.op !== op) continue;
      const x = integerTensor(index + 1, input, -3, 3);
      const w = integerTensor(index + 100, weight, -3, 3);
      const exactOnes = tensors(f32, (i, shape) => integerTensor(index + 200 + i, shape, -2, 2));
      const others = tensors(same, (i, shape) => integerTensor(index + 300 + i, shape, -9, 9));
      const exact = await oracle.run(() => run(x, w, exactOnes, others));
      for (const dtype of ['f16', 'bf16'] as const) {
        const half = (tensor: Tensor): Tensor => floatTensor(dtype, tensor.data, tensor.shape);
        const output = await device.run(() => run(half(x), w, exactOnes, others.map(half)));
        t.is(output.dtype, dtype);
        t.deepEqual(output.shape, exact.shape, name);
        if (name.includes('sigmoid')) continue;
        const expected = Array.from(exact.data, (value) => roundTo(dtype, value));
        assertClose(t, numbersOf(output), expected, {}, `${name}, ${dtype}`);
      }
    }
    await oracle.dispose();
  });

  forEachVariant(test, op, 'is as close in f16 and bf16 as the policy asks', async (t, device) => {
    const oracle = await Device.open('cpu', { variant: 'reference' });
    for (const [index, { name, input, weight, f32, same, run }] of CASES.entries()) {
      if (CASES[index]!.op !== op) continue;
      for (const dtype of ['f16', 'bf16'] as const) {
        const x = rounded(dtype, randomTensor(index + 1, input));
        const w = rounded(dtype, randomTensor(index + 100, weight, { scale: 0.3 }));
        const vectors = tensors(f32, (i, shape) => randomTensor(index + 200 + i, shape));
        const others = tensors(same, (i, shape) => rounded(dtype, randomTensor(index + 300 + i, shape)));
        const plain = (await oracle.run(() => run(x, w, vectors, others))).data;
        const half = (tensor: Tensor): Tensor => floatTensor(dtype, tensor.data, tensor.shape);
        const output = await device.run(() => run(half(x), w, vectors, others.map(half)));
        assertWithinPolicy(t, dtype, numbersOf(output), plain, plain, { per: 'tensor', label: `${name}, ${dtype}` });
      }
    }
    await oracle.dispose();
  });
}

/** Multiples of 1/2 around 0: samples and sums of small integers stay exact. */
function halves(seed: number, shape: Shape, scale: number): Tensor {
  const { data } = integerTensor(seed, shape, -2 * scale, 2 * scale);
  return Tensor.from(
    data.map((value) => value / 2),
    shape,
  );
}

if (ACCELERATED) {
  forEachVariant(test, 'deformConv2d', 'computes in f16 and bf16 from f32 offsets', async (t, device) => {
    const oracle = await Device.open('cpu', { variant: 'reference' });
    for (const [index, [input, channels, groups, offsetGroups]] of (
      [
        [[1, 7, 6, 16], 24, 1, 1],
        [[2, 5, 4, 64], 130, 1, 1],
        [[1, 4, 9, 32], 10, 2, 2],
        [[1, 5, 4, 12], 9, 1, 1],
      ] as const
    ).entries()) {
      const [n, h, w, cin] = input;
      const pixels = [n, h, w];
      for (const dtype of ['f16', 'bf16'] as const) {
        const half = (tensor: Tensor): Tensor => floatTensor(dtype, tensor.data, tensor.shape);
        const run = (x: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, residual: Tensor): SymbolicTensor =>
          deformConv2d(x, weight, offset, { padding: 1, groups, mask, residual, activation: 'relu' });
        // Exact: quarters of small integers, rounded once.
        const exact = [
          integerTensor(index + 1, input, -3, 3),
          integerTensor(index + 10, [channels, cin / groups, 3, 3], -2, 2),
          halves(index + 20, [...pixels, 18 * offsetGroups], 2),
          integerTensor(index + 30, [...pixels, 9 * offsetGroups], 0, 2),
          integerTensor(index + 40, [...pixels, channels], -9, 9),
        ] as const;
        const [x, weight, offset, mask, residual] = exact;
        const sums = await oracle.run(() => run(x, weight, offset, mask, residual));
        const output = await device.run(() => run(half(x), weight, offset, mask, half(residual)));
        t.is(output.dtype, dtype);
        const expected = Array.from(sums.data, (value) => roundTo(dtype, value));
        assertClose(t, numbersOf(output), expected, {}, `${input} in ${dtype}`);
        // Samples are rounded to the dtype before the product, as inputs are.
        const [y, v] = [rounded(dtype, randomTensor(1, input)), rounded(dtype, randomTensor(2, weight.shape))];
        const [o, m] = [randomTensor(3, offset.shape, { scale: 2 }), randomTensor(4, mask.shape)];
        const r = rounded(dtype, randomTensor(5, residual.shape));
        const plain = (await oracle.run(() => run(y, v, o, m, r))).data;
        const close = numbersOf(await device.run(() => run(half(y), v, o, m, half(r))));
        assertWithinPolicy(t, dtype, close, plain, plain, { per: 'tensor', label: `${input} in ${dtype}` });
      }
    }
    await oracle.dispose();
  });
}

/**
 * [output channels, images of a count] for which the choice of a plan (native/cuda/gemm.cu) takes tiles of 128x256 (f16
 * and bf16), 128x128, 128x64 and 128x32. It looks at the capacity of the counts, so a few counted images of 8x8 pixels
 * are enough to run: they end within the second tile.
 */
const TILES = [
  [256, 264],
  [128, 264],
  [64, 528],
  [32, 528],
] as const;

/** The dtypes that a variant computes itself; the others would repeat what another variant does. */
const TILED_DTYPES: Record<string, readonly FloatDType[]> = {
  simt: ['f32', 'f16'],
  tf32: ['f32'],
  tf32x3: ['f32'],
  mma: ['f16', 'bf16'],
  'mma-sm75': ['f16'],
  wgmma: ['f16', 'bf16'],
};

if (ACCELERATED) {
  forEachVariant(test, 'conv2d', 'computes large tiles', async (t, device, variant) => {
    const dtypes = TILED_DTYPES[variant] ?? [];
    const oracle = await Device.open('cpu', { variant: 'reference' });
    for (const [channels, capacity] of TILES) {
      const counted = 3;
      const image = 8 * 8 * 32;
      const few = integerTensor(channels, [counted, 8, 8, 32], -3, 3);
      const weight = integerTensor(channels + 1, [channels, 32, 3, 3], -3, 3);
      const exact = (await oracle.run(() => ops.conv2d(few, weight, { padding: 1 }))).data;
      const counts = Tensor.from(Int32Array.of(counted));
      for (const dtype of dtypes) {
        const label = `${channels} channels, ${dtype}`;
        const shape = [capacity, 8, 8, 32];
        const data = dtype === 'f32' ? new Float32Array(capacity * image) : new Uint16Array(capacity * image);
        data.set(floatTensor(dtype, few.data).data);
        // What lies past the count must not be read: NaN would spread.
        data.set(floatTensor(dtype, new Float32Array(image).fill(NaN)).data, counted * image);
        const input = Tensor.from(data, shape, dtype);
        const output = await device.run(() => ops.conv2d(input, weight, { padding: 1, counts }));
        const valid = numbersOf(Tensor.from(output.data.slice(0, exact.length), [exact.length], dtype));
        const expected = Array.from(exact, (value) => roundTo(dtype, value));
        assertClose(t, valid, expected, {}, label);
        t.is(
          output.data.subarray(exact.length).findIndex((bits) => bits !== 0),
          -1,
          `${label}: written past the count`,
        );
      }
    }
    await oracle.dispose();
    t.pass();
  });
}
