import test from 'ava';
import { Device, listKernels, ops, Tensor } from '../../src/index.js';
import { deformConv2d, type DeformConv2dOptions } from '../../src/ops/deform-conv2d.js';
import {
  assertClose,
  forEachVariant,
  integerTensor,
  randomSource,
  randomTensor,
  sumTolerance,
} from '../support/ops.js';
import { refused } from './checks.js';

type Pair = readonly [number, number];
type Image = readonly [number, number, number, number];

interface Geometry {
  readonly stride: Pair;
  readonly padding: Pair;
  readonly dilation: Pair;
  readonly groups: number;
}

const PLAIN: Geometry = { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };
const SAME: Geometry = { ...PLAIN, padding: [1, 1] };

function outputSize(input: Image, kernel: Pair, { stride, padding, dilation }: Geometry): [number, number] {
  const size = (axis: 0 | 1): number =>
    Math.floor((input[axis + 1]! + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1) / stride[axis]) + 1;
  return [size(0), size(1)];
}

/** Bilinear interpolation; `at` reads a pixel inside the image. */
function sample(y: number, x: number, height: number, width: number, at: (y: number, x: number) => number): number {
  const inside = y > -1 && x > -1 && y < height && x < width;
  if (!inside) return 0;
  const [top, left] = [Math.floor(y), Math.floor(x)];
  let sum = 0;
  for (const [cy, cx, weight] of [
    [top, left, (top + 1 - y) * (left + 1 - x)],
    [top, left + 1, (top + 1 - y) * (x - left)],
    [top + 1, left, (y - top) * (left + 1 - x)],
    [top + 1, left + 1, (y - top) * (x - left)],
  ] as const) {
    if (cy >= 0 && cy < height && cx >= 0 && cx < width) sum += weight * at(cy, cx);
  }
  return sum;
}

/** The definition, index by index, in doubles; places are rounded to f32, as they are in PyTorch. */
function expectedSums(
  input: Tensor,
  weight: Tensor,
  offset: Tensor,
  mask: Tensor | undefined,
  geometry: Geometry,
): { shape: number[]; data: Float64Array } {
  const [n, h, w, cin] = input.shape as Image;
  const [cout, depth, kh, kw] = weight.shape as Image;
  const { stride, padding, dilation, groups } = geometry;
  const [oh, ow] = outputSize([n, h, w, cin], [kh, kw], geometry);
  const offsetGroups = offset.shape[3]! / (2 * kh * kw);
  const data = new Float64Array(n * oh * ow * cout);
  for (let pixel = 0; pixel < n * oh * ow; pixel += 1) {
    const [image, oy, ox] = [Math.floor(pixel / (oh * ow)), Math.floor(pixel / ow) % oh, pixel % ow];
    for (let c = 0; c < cin; c += 1) {
      const group = Math.floor(c / depth);
      const offsetGroup = Math.floor(c / (cin / offsetGroups));
      for (let i = 0; i < kh; i += 1) {
        for (let j = 0; j < kw; j += 1) {
          const tap = offsetGroup * kh * kw + i * kw + j;
          const dy = offset.data[pixel * offset.shape[3]! + 2 * tap]!;
          const dx = offset.data[pixel * offset.shape[3]! + 2 * tap + 1]!;
          const value = sample(
            Math.fround(oy * stride[0] - padding[0] + i * dilation[0] + dy),
            Math.fround(ox * stride[1] - padding[1] + j * dilation[1] + dx),
            h,
            w,
            (y, x) => input.data[((image * h + y) * w + x) * cin + c]!,
          );
          const factor = mask ? mask.data[pixel * mask.shape[3]! + tap]! : 1;
          for (let o = (group * cout) / groups; o < ((group + 1) * cout) / groups; o += 1) {
            data[pixel * cout + o]! += value * factor * weight.data[((o * depth + (c % depth)) * kh + i) * kw + j]!;
          }
        }
      }
    }
  }
  return { shape: [n, oh, ow, cout], data };
}

/** Multiples of 1/4 in [-scale, scale]: with small integers elsewhere all sums are exact in f32. */
function quarters(seed: number, shape: readonly number[], scale: number): Tensor {
  const { data } = integerTensor(seed, shape, -4 * scale, 4 * scale);
  return Tensor.from(
    data.map((value) => value / 4),
    shape,
  );
}

/** [name, input shape, output channels, kernel, offset groups, geometry] */
type Case = readonly [string, Image, number, Pair, number, Partial<Geometry>];

const CASES: readonly Case[] = [
  ['one pixel, one channel', [1, 1, 1, 1], 1, [1, 1], 1, {}],
  ['1x1', [1, 6, 7, 13], 17, [1, 1], 1, {}],
  ['3x3 same, batch', [2, 5, 8, 16], 15, [3, 3], 1, SAME],
  ['3x3 same, 5 rows', [1, 1, 5, 8], 16, [3, 3], 1, SAME],
  ['3x3 same, 6 rows', [1, 2, 3, 7], 33, [3, 3], 1, SAME],
  ['3x3 same, 96 rows', [1, 8, 12, 9], 4, [3, 3], 1, SAME],
  ['3x3 same, 97 rows', [1, 1, 97, 5], 4, [3, 3], 1, SAME],
  ['3x3 of 300 channels', [1, 3, 4, 300], 18, [3, 3], 1, SAME],
  ['3x3 of 128 channels in 2 offset groups', [1, 4, 3, 128], 16, [3, 3], 2, SAME],
  ['3x3 stride 2, odd', [2, 9, 8, 8], 16, [3, 3], 1, { ...SAME, stride: [2, 2] }],
  ['3x3 dilation 2', [1, 9, 7, 6], 9, [3, 3], 1, { padding: [2, 2], dilation: [2, 2] }],
  ['5x5, padding wider than the image', [1, 4, 3, 3], 5, [5, 5], 1, { padding: [4, 4] }],
  ['1x3', [1, 6, 8, 4], 6, [1, 3], 2, { stride: [1, 2], padding: [0, 1] }],
  ['3x1 dilated', [1, 9, 5, 4], 6, [3, 1], 4, { stride: [2, 1], padding: [2, 0], dilation: [2, 1] }],
  [
    '2x4 with everything different',
    [2, 11, 10, 18],
    8,
    [2, 4],
    3,
    { stride: [3, 2], padding: [1, 2], dilation: [2, 1] },
  ],
  ['4 groups', [1, 6, 7, 16], 24, [3, 3], 1, { ...SAME, groups: 4 }],
  ['2 groups of 17, 2 offset groups', [2, 5, 6, 34], 36, [3, 3], 2, { ...SAME, groups: 2 }],
  ['2 groups, 3 offset groups', [1, 5, 4, 12], 6, [3, 3], 3, { ...SAME, groups: 2 }],
  ['2 groups of 260', [1, 3, 3, 520], 4, [3, 3], 4, { ...SAME, groups: 2 }],
  ['depthwise, sampled in two bundles', [1, 5, 4, 61], 61, [3, 3], 1, { ...SAME, groups: 61 }],
  ['an offset group for each channel', [1, 4, 4, 5], 7, [3, 3], 5, SAME],
];

forEachVariant(test, 'deformConv2d', 'agrees with the definition', async (t, device) => {
  for (const [index, [name, shape, channels, kernel, offsetGroups, partial]] of CASES.entries()) {
    const geometry = { ...PLAIN, ...partial };
    const taps = kernel[0] * kernel[1];
    const pixels = [shape[0], ...outputSize(shape, kernel, geometry)];
    const input = integerTensor(index + 1, shape, -3, 3);
    const weight = integerTensor(index + 100, [channels, shape[3] / geometry.groups, ...kernel], -3, 3);
    const offset = quarters(index + 200, [...pixels, 2 * offsetGroups * taps], 3);
    const mask = quarters(index + 300, [...pixels, offsetGroups * taps], 2);
    for (const used of [undefined, mask]) {
      const expected = expectedSums(input, weight, offset, used, geometry);
      const output = await device.run(() => deformConv2d(input, weight, offset, { ...geometry, mask: used }));
      t.deepEqual(output.shape, expected.shape, name);
      assertClose(t, output.data, expected.data, {}, `${name}, ${used ? 'v2' : 'v1'}`);
    }
  }
});

forEachVariant(test, 'deformConv2d', 'is close to the definition for any offsets', async (t, device, variant) => {
  for (const [seed, shape, geometry] of [
    [1, [2, 7, 6, 20], SAME],
    [2, [1, 9, 8, 40], { ...SAME, stride: [2, 1] as const, groups: 2 }],
  ] as const) {
    const pixels = [shape[0], ...outputSize(shape, [3, 3], geometry)];
    const input = randomTensor(seed, shape);
    const weight = randomTensor(seed + 10, [18, shape[3] / geometry.groups, 3, 3], { scale: 0.3 });
    const offset = randomTensor(seed + 20, [...pixels, 36], { scale: 2 });
    const mask = randomTensor(seed + 30, [...pixels, 18]);
    const expected = expectedSums(input, weight, offset, mask, geometry);
    const output = await device.run(() => deformConv2d(input, weight, offset, { ...geometry, mask }));
    const close = sumTolerance(variant, { rtol: 1e-5, atol: 1e-5 }, ((0.3 * shape[3]) / geometry.groups) * 9);
    assertClose(t, output.data, expected.data, close);
  }
});

forEachVariant(test, 'deformConv2d', 'without offsets equals conv2d', async (t, device) => {
  for (const [shape, channels, options] of [
    [[2, 6, 7, 24], 17, { padding: 1 }],
    [[1, 9, 8, 20], 16, { padding: [2, 1], stride: [2, 3], dilation: [2, 1] }],
    [[1, 5, 6, 24], 12, { padding: 1, groups: 3 }],
    [[1, 5, 5, 18], 18, { padding: 1, groups: 18 }],
  ] as const) {
    const groups = 'groups' in options ? options.groups : 1;
    const input = integerTensor(1, shape, -3, 3);
    const weight = integerTensor(2, [channels, shape[3] / groups, 3, 3], -3, 3);
    const expected = await device.run(() => ops.conv2d(input, weight, options));
    const pixels = expected.shape.slice(0, 3);
    const [offset, mask] = [Tensor.zeros([...pixels, 18]), Tensor.zeros([...pixels, 9])];
    mask.data.fill(1);
    assertClose(t, (await device.run(() => deformConv2d(input, weight, offset, options))).data, expected.data);
    assertClose(
      t,
      (await device.run(() => deformConv2d(input, weight, offset, { ...options, mask }))).data,
      expected.data,
    );
  }
});

test('deformConv2d without offsets is close to conv2d at the sizes of YOLACT++', async (t) => {
  const device = await Device.open('cpu', { threads: 2 });
  for (const [size, channels, stride] of [
    [69, 128, 1],
    [35, 256, 2],
    [18, 512, 1],
  ] as const) {
    const input = randomTensor(1, [1, size, size, channels]);
    const weight = randomTensor(2, [channels, channels, 3, 3], { scale: 1 / Math.sqrt(9 * channels) });
    const options = { padding: 1, stride, activation: 'relu' } as const;
    const expected = await device.run(() => ops.conv2d(input, weight, options));
    const offset = Tensor.zeros([...expected.shape.slice(0, 3), 18]);
    const output = await device.run(() => deformConv2d(input, weight, offset, options));
    assertClose(t, output.data, expected.data, { rtol: 1e-4, atol: 1e-4 }, `${size}`);
  }
  await device.dispose();
});

forEachVariant(test, 'deformConv2d', 'with whole offsets equals a shifted conv2d', async (t, device) => {
  const [height, width, channels] = [6, 7, 10];
  const input = integerTensor(1, [1, height, width, channels], -3, 3);
  const weight = integerTensor(2, [9, channels, 3, 3], -3, 3);
  for (const [dy, dx] of [
    [0, 1],
    [-1, 0],
    [2, -3],
    [-3, 3],
  ] as const) {
    // The window of zero-padded input that the taps of a convolution with padding 1 reach, moved by (dy, dx).
    const moved = Tensor.zeros([1, height + 2, width + 2, channels]);
    for (let y = 0; y < height + 2; y += 1) {
      for (let x = 0; x < width + 2; x += 1) {
        const [sy, sx] = [y - 1 + dy, x - 1 + dx];
        if (sy < 0 || sy >= height || sx < 0 || sx >= width) continue;
        const from = (sy * width + sx) * channels;
        moved.data.set(input.data.subarray(from, from + channels), (y * (width + 2) + x) * channels);
      }
    }
    const offset = Tensor.zeros([1, height, width, 18]);
    offset.data.forEach((_, i) => (offset.data[i] = i % 2 === 0 ? dy : dx));
    const expected = await device.run(() => ops.conv2d(moved, weight));
    const output = await device.run(() => deformConv2d(input, weight, offset, { padding: 1 }));
    assertClose(t, output.data, expected.data, {}, `(${dy}, ${dx})`);
  }
});

forEachVariant(test, 'deformConv2d', 'samples 0 from places that are far away, NaN or infinite', async (t, device) => {
  const [height, width, channels] = [4, 5, 9];
  const input = Tensor.zeros([1, height, width, channels]);
  input.data.fill(1);
  const weight = Tensor.zeros([1, channels, 1, 1]);
  weight.data.fill(1);
  // Places (y, x) and what is sampled there from an image of ones.
  const places: [number, number, number][] = [
    [0, 0, 1],
    [3, 4, 1],
    [2.5, 3.25, 1],
    [-0.5, 2, 0.5],
    [1, -0.25, 0.75],
    [-0.5, -0.5, 0.25],
    [3.75, 2, 0.25],
    [2, 4.5, 0.5],
    [-1, 0, 0],
    [0, -1, 0],
    [4, 0, 0],
    [0, 5, 0],
    [-1.5, 2, 0],
    [5, 2, 0],
    [2, 77, 0],
  ];
  for (const bad of [NaN, Infinity, -Infinity, 1e9, -1e9, 3.4e38, -3.4e38, 2 ** 31, -(2 ** 31), 2 ** 63]) {
    places.push([bad, 1, 0], [1, bad, 0], [bad, bad, 0]);
  }
  for (const [y, x, value] of places) {
    const offset = Tensor.zeros([1, height, width, 2]);
    offset.data.set([y, x]);
    const [first] = (await device.run(() => deformConv2d(input, weight, offset))).data;
    t.is(first, value * channels, `(${y}, ${x})`);
  }
});

forEachVariant(test, 'deformConv2d', 'survives fuzzed offsets', async (t, device) => {
  const special = [NaN, Infinity, -Infinity, 1e9, -1e9, 3e38, 2 ** 24, -1, -0.99999994, 1e-45, -0, 7, 6.9999995];
  for (let seed = 1; seed <= 8; seed += 1) {
    const next = randomSource(seed);
    const input = integerTensor(seed, [2, 5, 6, 11], -3, 3);
    const weight = integerTensor(seed + 50, [5, 11, 3, 3], -3, 3);
    const offset = Tensor.from(
      Float32Array.from({ length: 2 * 5 * 6 * 18 }, () =>
        next() < 0.4 ? special[Math.floor(next() * special.length)]! : (next() - 0.5) * 10 ** (next() * 4),
      ),
      [2, 5, 6, 18],
    );
    const expected = expectedSums(input, weight, offset, undefined, SAME);
    const output = await device.run(() => deformConv2d(input, weight, offset, SAME));
    assertClose(t, output.data, expected.data, { rtol: 1e-5, atol: 1e-4 }, `seed ${seed}`);
  }
});

forEachVariant(test, 'deformConv2d', 'leaves NaN and infinity with the pixels that read them', async (t, device) => {
  const shape: Image = [1, 9, 10, 20];
  const input = integerTensor(1, shape, 1, 3);
  const weight = integerTensor(2, [17, 20, 3, 3], 1, 3);
  const offset = quarters(3, [1, 9, 10, 18], 2);
  const options = { ...SAME, activation: 'relu' } as const;
  const clean = await device.run(() => deformConv2d(input, weight, offset, options));
  const marked = Tensor.zeros(shape);
  const bad = Tensor.from(input.data.slice(), shape);
  // Corner pixels of the image, where samples half outside must not read them in place of the outside.
  for (const [y, x, value] of [
    [0, 0, NaN],
    [8, 9, Infinity],
    [4, 4, -Infinity],
  ] as const) {
    bad.data[(y * 10 + x) * 20 + 3] = value;
    marked.data[(y * 10 + x) * 20 + 3] = 1;
  }
  const output = await device.run(() => deformConv2d(bad, weight, offset, options));
  let touched = 0;
  for (let pixel = 0; pixel < 90; pixel += 1) {
    const [oy, ox] = [Math.floor(pixel / 10), pixel % 10];
    let reads = false;
    for (let tap = 0; tap < 9; tap += 1) {
      const y = oy - 1 + Math.floor(tap / 3) + offset.data[pixel * 18 + 2 * tap]!;
      const x = ox - 1 + (tap % 3) + offset.data[pixel * 18 + 2 * tap + 1]!;
      sample(y, x, 9, 10, (cy, cx) => {
        reads ||= marked.data[(cy * 10 + cx) * 20 + 3] === 1;
        return 0;
      });
    }
    touched += reads ? 1 : 0;
    const [before, after] = [clean, output].map(({ data }) => data.subarray(pixel * 17, pixel * 17 + 17));
    // Relu makes 0 of -Infinity.
    if (reads) t.false(after!.some((value, o) => value === before![o]));
    else t.deepEqual(after, before);
  }
  t.true(touched > 5 && touched < 60, `${touched} pixels`);
});

forEachVariant(
  test,
  'deformConv2d',
  'reads masks as logits and packed behind the offsets',
  async (t, device, variant) => {
    for (const offsetGroups of [1, 2]) {
      const taps = 9 * offsetGroups;
      const input = randomTensor(1, [2, 5, 6, 8]);
      const weight = randomTensor(2, [7, 8, 3, 3]);
      const offset = randomTensor(3, [2, 5, 6, 2 * taps], { scale: 2 });
      const logits = randomTensor(4, [2, 5, 6, taps], { scale: 6 });
      const mask = Tensor.from(
        logits.data.map((x) => 1 / (1 + Math.exp(-x))),
        logits.shape,
      );
      const packed = (masks: Tensor): Tensor => {
        const both = Tensor.zeros([2, 5, 6, 3 * taps]);
        for (let pixel = 0; pixel < 60; pixel += 1) {
          both.data.set(offset.data.subarray(pixel * 2 * taps, (pixel + 1) * 2 * taps), pixel * 3 * taps);
          both.data.set(masks.data.subarray(pixel * taps, (pixel + 1) * taps), pixel * 3 * taps + 2 * taps);
        }
        return both;
      };
      const run = async (offsets: Tensor, options: DeformConv2dOptions): Promise<Tensor['data']> =>
        (await device.run(() => deformConv2d(input, weight, offsets, { padding: 1, ...options }))).data;
      const expected = expectedSums(input, weight, offset, mask, SAME).data;
      const close = sumTolerance(variant, { rtol: 1e-5, atol: 1e-5 }, 8 * 9);
      const plain = await run(offset, { mask });
      assertClose(t, plain, expected, close, 'mask');
      t.deepEqual(await run(packed(mask), { packedMask: true }), plain);
      const sigmoid = await run(offset, { mask: logits, maskActivation: 'sigmoid' });
      assertClose(t, sigmoid, expected, close, 'logits');
      t.deepEqual(await run(packed(logits), { packedMask: true, maskActivation: 'sigmoid' }), sigmoid);
      t.deepEqual(await run(offset, { mask, maskActivation: 'none', packedMask: false }), plain);
    }
  },
);

forEachVariant(test, 'deformConv2d', 'applies scale, bias, residual and activation', async (t, device, variant) => {
  const activations = {
    none: (x: number) => x,
    relu: (x: number) => Math.max(x, 0),
    sigmoid: (x: number) => 1 / (1 + Math.exp(-x)),
    tanh: Math.tanh,
  };
  for (const [cin, cout, groups] of [
    [20, 19, 1],
    [40, 34, 2],
  ] as const) {
    const geometry = { ...SAME, groups };
    const input = randomTensor(1, [2, 4, 5, cin]);
    const weight = randomTensor(2, [cout, cin / groups, 3, 3], { scale: 0.2 });
    const offset = randomTensor(3, [2, 4, 5, 18]);
    const sums = expectedSums(input, weight, offset, undefined, geometry).data;
    const scale = randomTensor(4, [cout]);
    const bias = randomTensor(5, [cout]);
    const residual = randomTensor(6, [2, 4, 5, cout]);
    for (const activation of ['none', 'relu', 'sigmoid', 'tanh'] as const) {
      for (const used of [{ scale }, { bias }, { residual }, { scale, bias, residual }]) {
        const output = await device.run(() =>
          deformConv2d(input, weight, offset, { ...geometry, activation, ...used }),
        );
        const expected = sums.map((sum, i) => {
          const factor = 'scale' in used ? used.scale.data[i % cout]! : 1;
          const added = 'bias' in used ? used.bias.data[i % cout]! : 0;
          return activations[activation](sum * factor + added + ('residual' in used ? used.residual.data[i]! : 0));
        });
        const close = sumTolerance(variant, { rtol: 1e-5, atol: 1e-5 }, ((0.2 * cin) / groups) * 9);
        assertClose(t, output.data, expected, close, `${activation} ${Object.keys(used).join()}`);
      }
    }
  }
});

forEachVariant(test, 'deformConv2d', 'takes offsets that the plan computes', async (t, device) => {
  const input = integerTensor(1, [1, 6, 5, 8], -2, 2);
  const weight = integerTensor(2, [4, 8, 3, 3], -2, 2);
  const offsetWeight = integerTensor(3, [27, 8, 3, 3], -1, 1);
  const packed = await device.run(() => ops.conv2d(input, offsetWeight, { padding: 1 }));
  const options = { padding: 1, packedMask: true, maskActivation: 'sigmoid' } as const;
  const expected = await device.run(() => deformConv2d(input, weight, packed, options));
  const output = await device.run(() =>
    deformConv2d(input, weight, ops.conv2d(input, offsetWeight, { padding: 1 }), options),
  );
  t.deepEqual(output.data, expected.data);
});

forEachVariant(test, 'deformConv2d', 'absorbs normalisation, addition and activation', async (t, device, variant) => {
  const input = randomTensor(1, [1, 5, 6, 8]);
  const weight = randomTensor(2, [7, 8, 3, 3]);
  const offset = randomTensor(3, [1, 5, 6, 18]);
  const bias = randomTensor(4, [7]);
  const residual = randomTensor(5, [1, 5, 6, 7]);
  const [mean, variance] = [randomTensor(6, [7]), Tensor.from(Float32Array.of(0.5, 1, 2, 3, 0.1, 0.7, 9))];
  const [gain, shift] = [randomTensor(7, [7]), randomTensor(8, [7])];
  const norm = { mean, variance, weight: gain, bias: shift, epsilon: 1e-5 };
  const shapes = [input, offset, residual].map(({ shape }) => ({ dtype: 'f32', shape }) as const);
  const plan = await device.compile(shapes, (x, o, r) =>
    ops.relu(ops.add(ops.batchNorm(deformConv2d(x, weight, o, { padding: 1, bias }), norm), r)),
  );
  t.deepEqual(
    plan.steps.map(({ op }) => op),
    ['deformConv2d'],
  );
  const output = await plan.run([input, offset, residual]);
  const expected = expectedSums(input, weight, offset, undefined, SAME).data.map((sum, i) => {
    const c = i % 7;
    const unit = (sum + bias.data[c]! - mean.data[c]!) / Math.sqrt(variance.data[c]! + 1e-5);
    return Math.max(0, unit * gain.data[c]! + shift.data[c]! + residual.data[i]!);
  });
  // The least variance makes 4 of a product.
  assertClose(t, output.data, expected, sumTolerance(variant, { rtol: 1e-5, atol: 1e-5 }, 4 * 8 * 9));
});

forEachVariant(test, 'deformConv2d', 'accepts empty tensors', async (t, device) => {
  const run = (shape: number[], weight: number[], offset: number[]): Promise<Tensor> =>
    device.run(() => deformConv2d(Tensor.zeros(shape), Tensor.zeros(weight), Tensor.zeros(offset), { padding: 1 }));
  t.deepEqual((await run([0, 4, 4, 6], [8, 6, 3, 3], [0, 4, 4, 18])).shape, [0, 4, 4, 8]);
  t.deepEqual((await run([1, 4, 4, 3], [0, 3, 3, 3], [1, 4, 4, 18])).shape, [1, 4, 4, 0]);
  t.deepEqual([...(await run([1, 1, 0, 3], [2, 3, 1, 1], [1, 3, 2, 2])).data], Array(12).fill(0));
  t.deepEqual([...(await run([1, 1, 1, 0], [1, 0, 3, 3], [1, 1, 1, 18])).data], [0]);
});

test('deformConv2d gives the same bits for any thread count and for an image alone or in a batch', async (t) => {
  const variants = new Set(listKernels().flatMap((row) => (row.op === 'deformConv2d' ? [row.variant] : [])));
  for (const variant of variants) {
    for (const [cin, cout, groups, size] of [
      [19, 35, 1, 5],
      [300, 17, 1, 2],
      [12, 24, 4, 4],
    ] as const) {
      const options = { padding: 1, groups, packedMask: true, maskActivation: 'sigmoid', activation: 'tanh' } as const;
      const weight = randomTensor(7, [cout, cin / groups, 3, 3], { scale: 0.2 });
      const input = randomTensor(8, [64, size, size, cin]);
      const offset = randomTensor(9, [64, size, size, 27], { scale: 2 });
      const images = (tensor: Tensor, first: number, count: number): Tensor => {
        const image = tensor.length / tensor.shape[0]!;
        return Tensor.from(tensor.data.slice(first * image, (first + count) * image), [
          count,
          ...tensor.shape.slice(1),
        ]);
      };
      const run = async (device: Device, first: number, count: number): Promise<Tensor> => {
        const [x, o] = [images(input, first, count), images(offset, first, count)];
        return device.run(() => deformConv2d(x, weight, o, options));
      };
      let all: Tensor | undefined;
      for (const threads of [1, 2, 3]) {
        const device = await Device.open('cpu', { threads, variant });
        const output = await run(device, 0, 64);
        all ??= output;
        t.deepEqual(output.data, all.data, `${variant}, ${cin} channels, ${threads} threads`);
        if (threads === 2) {
          for (const count of [1, 2, 31, 32, 33]) {
            const first = 64 - count;
            const part = await run(device, first, count);
            t.deepEqual(part.data, images(all, first, count).data, `${variant}, ${cin} channels, ${count} images`);
          }
          for (const image of [0, 1, 40]) {
            const alone = await run(device, image, 1);
            t.deepEqual(alone.data, images(all, image, 1).data, `${variant}, ${cin} channels, image ${image} alone`);
          }
        }
        await device.dispose();
      }
    }
  }
});

test('deformConv2d refuses arguments that do not fit', async (t) => {
  const input = Tensor.zeros([1, 5, 5, 4]);
  const weight = Tensor.zeros([6, 4, 3, 3]);
  const offset = Tensor.zeros([1, 3, 3, 18]);
  const shape = (at: Tensor, message: RegExp, options: DeformConv2dOptions = {}): Promise<void> =>
    refused(t, () => deformConv2d(input, weight, at, options), 'ERR_SHAPE', message);
  const expected = /deformConv2d: offset must have shape \[1, 3, 3, a multiple of 18\]; received/;
  await shape(Tensor.zeros([1, 5, 5, 18]), expected);
  await shape(Tensor.zeros([2, 3, 3, 18]), expected);
  await shape(Tensor.zeros([1, 3, 3, 9]), expected);
  await shape(Tensor.zeros([1, 3, 3, 27]), /received \[1, 3, 3, 27\]/);
  await shape(Tensor.zeros([1, 3, 3, 0]), expected);
  await shape(Tensor.zeros([1, 18, 3, 3]), expected);
  await shape(Tensor.zeros([3, 3, 18]), expected);
  await shape(Tensor.zeros([1, 3, 3, 54]), /4 input channels cannot be split into the 3 offset groups/);
  await shape(offset, /a multiple of 27\]; received \[1, 3, 3, 18\]/, { packedMask: true });
  await shape(offset, /mask must have shape \[1, 3, 3, 9\]; received \[1, 3, 3, 18\]/, { mask: offset });
  await shape(Tensor.zeros([1, 3, 3, 36]), /mask must have shape \[1, 3, 3, 18\]/, {
    mask: Tensor.zeros([1, 3, 3, 9]),
  });
  await shape(offset, /bias must have shape \[6\]/, { bias: Tensor.zeros([5]) });
  await shape(offset, /scale must have shape \[6\]/, { scale: Tensor.zeros([1, 6]) });
  await shape(offset, /residual must have shape \[1, 3, 3, 6\]/, { residual: input });
  await shape(offset, /cannot be split into 3 groups/, { groups: 3 });

  const bad = (options: DeformConv2dOptions, message: RegExp): Promise<void> =>
    refused(t, () => deformConv2d(input, weight, offset, options), 'ERR_ARGUMENT', message);
  await bad({ maskActivation: 'sigmoid' }, /maskActivation needs a mask/);
  await bad({ maskActivation: 'relu' as 'none' }, /maskActivation must be one of/);
  await bad({ activation: 'gelu' as 'relu' }, /activation must be one of/);
  await bad({ stride: 0 }, /stride must be/);
  await bad({ dilation: [1, 0] }, /dilation must be/);
  await bad({ padding: -1 }, /padding must be/);
  await bad({ groups: 1.5 }, /groups must be/);
  await refused(
    t,
    () =>
      deformConv2d(input, weight, Tensor.zeros([1, 3, 3, 27]), {
        packedMask: true,
        mask: Tensor.zeros([1, 3, 3, 9]),
      }),
    'ERR_ARGUMENT',
    /packedMask says that offset holds the mask/,
  );

  const other = (
    body: () => unknown,
    code: 'ERR_SHAPE' | 'ERR_DTYPE' | 'ERR_ARGUMENT',
    message: RegExp,
  ): Promise<void> => refused(t, body, code, message);
  await other(() => deformConv2d(Tensor.zeros([5, 5, 4]), weight, offset), 'ERR_SHAPE', /input must have 4 dimensions/);
  await other(() => deformConv2d(input, Tensor.zeros([6, 4, 9]), offset), 'ERR_SHAPE', /weight must have 4 dimensions/);
  await other(() => deformConv2d(input, Tensor.zeros([6, 3, 3, 3]), offset), 'ERR_SHAPE', /4 input channels a group/);
  await other(() => deformConv2d(input, Tensor.zeros([6, 4, 7, 7]), offset), 'ERR_SHAPE', /window of 7 does not fit/);
  await other(() => deformConv2d(input, Tensor.zeros([6, 4, 0, 3]), offset), 'ERR_SHAPE', /weight must not be empty/);
  await other(() => deformConv2d(input, ops.relu(weight), offset), 'ERR_ARGUMENT', /weight must be constant/);
  await other(
    () => deformConv2d(input, weight, Tensor.zeros([1, 3, 3, 18], 'i32')),
    'ERR_DTYPE',
    /offset must be f32; received i32/,
  );
  await other(
    () => deformConv2d(input, weight, offset, { mask: Tensor.zeros([1, 3, 3, 9], 'i32') }),
    'ERR_DTYPE',
    /mask must be f32/,
  );
});
