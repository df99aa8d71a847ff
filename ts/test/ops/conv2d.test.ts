import test, { type ExecutionContext } from 'ava';
import { Device, InstasegError, listDevices, listKernels, ops, Tensor, type ErrorCode } from '../../src/index.js';
import {
  assertClose,
  forEachVariant,
  integerTensor,
  randomTensor,
  type Tolerance,
  sumTolerance,
} from '../support/ops.js';
import type { Conv2dOptions } from '../../src/ops/conv2d.js';

type Pair = readonly [number, number];

interface Geometry {
  readonly stride: Pair;
  readonly padding: Pair;
  readonly dilation: Pair;
  readonly groups: number;
}

const LEVELS = ['baseline', 'avx2', 'avx512'];

const PLAIN: Geometry = { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };

/** The definition, index by index, in doubles. */
function expectedConvolution(
  input: Tensor,
  weight: Tensor,
  geometry: Geometry,
): { shape: number[]; data: Float64Array } {
  const [n, h, w, cin] = input.shape as [number, number, number, number];
  const [cout, depth, kh, kw] = weight.shape as [number, number, number, number];
  const { stride, padding, dilation, groups } = geometry;
  const oh = Math.floor((h + 2 * padding[0] - dilation[0] * (kh - 1) - 1) / stride[0]) + 1;
  const ow = Math.floor((w + 2 * padding[1] - dilation[1] * (kw - 1) - 1) / stride[1]) + 1;
  const data = new Float64Array(n * oh * ow * cout);
  let at = 0;
  for (let i = 0; i < n; i += 1) {
    for (let oy = 0; oy < oh; oy += 1) {
      for (let ox = 0; ox < ow; ox += 1) {
        for (let o = 0; o < cout; o += 1, at += 1) {
          const first = Math.floor(o / (cout / groups)) * depth;
          for (let ky = 0; ky < kh; ky += 1) {
            const iy = oy * stride[0] - padding[0] + ky * dilation[0];
            if (iy < 0 || iy >= h) continue;
            for (let kx = 0; kx < kw; kx += 1) {
              const ix = ox * stride[1] - padding[1] + kx * dilation[1];
              if (ix < 0 || ix >= w) continue;
              for (let c = 0; c < depth; c += 1) {
                const x = input.data[((i * h + iy) * w + ix) * cin + first + c]!;
                data[at]! += x * weight.data[((o * depth + c) * kh + ky) * kw + kx]!;
              }
            }
          }
        }
      }
    }
  }
  return { shape: [n, oh, ow, cout], data };
}

/** The result, and the kernel variant that computed it: a device's variant is only a preference. */
async function convolve(
  device: Device,
  input: Tensor,
  weight: Tensor,
  options: Conv2dOptions,
): Promise<{ output: Tensor; variant: string }> {
  const plan = await device.compile([input], (x) => ops.conv2d(x, weight, options));
  const output = await plan.run([input]);
  const variant = plan.steps.find((step) => step.op === 'conv2d')!.variant;
  plan.dispose();
  return { output, variant };
}

/** Largest magnitude. */
function peak(values: Float64Array): number {
  return values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
}

/**
 * Sums of small integers are exact, but not through Winograd's transforms, whose factors are fractions. Their rounding is
 * about 3e-6 of the largest result here; three times as much is allowed.
 */
function tolerance(variant: string, expected: Float64Array): Tolerance {
  return variant.startsWith('winograd') ? { atol: 1e-5 * peak(expected) } : {};
}

/** [name, input shape, output channels, kernel, geometry] */
type Case = readonly [string, readonly [number, number, number, number], number, Pair, Partial<Geometry>];

const CASES: readonly Case[] = [
  ['one pixel, one channel', [1, 1, 1, 1], 1, [1, 1], {}],
  ['1x1', [1, 6, 7, 13], 17, [1, 1], {}],
  ['1x1 of 97 pixels, 257 channels', [1, 1, 97, 257], 16, [1, 1], {}],
  ['1x1 of more rows than a block, 530 channels', [1, 11, 19, 530], 70, [1, 1], {}],
  ['1x1 of several blocks a unit', [2, 41, 43, 5], 36, [1, 1], {}],
  ['1x1 of 1100 outputs', [1, 9, 13, 7], 1100, [1, 1], {}],
  ['1x1 stride 2, odd', [1, 7, 6, 16], 24, [1, 1], { stride: [2, 2] }],
  ['1x1 with padding', [1, 2, 3, 20], 5, [1, 1], { padding: [1, 2] }],
  ['3x3 same, batch', [2, 5, 8, 16], 15, [3, 3], { padding: [1, 1] }],
  ['3x3 same, few channels', [2, 6, 5, 3], 33, [3, 3], { padding: [1, 1] }],
  ['3x3 valid', [1, 8, 9, 5], 7, [3, 3], {}],
  ['3x3 stride 2, odd', [2, 9, 8, 8], 16, [3, 3], { stride: [2, 2], padding: [1, 1] }],
  ['3x3 of one pixel', [1, 1, 1, 3], 4, [3, 3], { padding: [1, 1] }],
  ['7x7 stride 2 (stem)', [1, 17, 19, 3], 64, [7, 7], { stride: [2, 2], padding: [3, 3] }],
  ['7x7 over 7x7 (regions)', [3, 7, 7, 17], 20, [7, 7], {}],
  ['5x5, padding wider than the image', [1, 4, 3, 3], 5, [5, 5], { padding: [4, 4] }],
  ['3x3, only padding at the border', [1, 3, 3, 20], 4, [3, 3], { padding: [3, 3] }],
  ['3x3 dilation 2', [1, 9, 7, 6], 9, [3, 3], { padding: [2, 2], dilation: [2, 2] }],
  ['3x3 dilation 3, stride 2', [1, 12, 14, 18], 6, [3, 3], { stride: [2, 2], padding: [3, 3], dilation: [3, 3] }],
  ['1x3', [1, 6, 8, 4], 6, [1, 3], { stride: [1, 2], padding: [0, 1] }],
  ['3x1 dilated', [1, 9, 5, 4], 6, [3, 1], { stride: [2, 1], padding: [2, 0], dilation: [2, 1] }],
  ['2x4 with everything different', [2, 11, 10, 18], 8, [2, 4], { stride: [3, 2], padding: [1, 2], dilation: [2, 1] }],
  ['4 groups', [1, 6, 7, 16], 24, [3, 3], { padding: [1, 1], groups: 4 }],
  ['2 groups of 17, stride 2', [2, 5, 6, 34], 36, [3, 3], { stride: [2, 2], padding: [1, 1], groups: 2 }],
  ['depthwise', [1, 7, 8, 45], 45, [3, 3], { padding: [1, 1], groups: 45 }],
  ['depthwise 5x5 stride 2', [2, 9, 10, 7], 7, [5, 5], { stride: [2, 2], padding: [2, 2], groups: 7 }],
  ['depthwise with multiplier 2', [1, 7, 5, 6], 12, [3, 3], { padding: [1, 1], groups: 6 }],
];

/** Enough channels and pixels for Winograd, with sizes and channels around what its two tile sizes work in. */
const WINOGRAD_CASES: readonly Case[] = [
  ['16x16 pixels', [1, 16, 16, 32], 32, [3, 3], { padding: [1, 1] }],
  ['13x14 pixels, odd channels', [2, 13, 14, 33], 47, [3, 3], { padding: [1, 1] }],
  ['17x15 pixels, valid', [1, 17, 15, 40], 65, [3, 3], {}],
  ['padding 2 and 0', [1, 14, 16, 32], 32, [3, 3], { padding: [2, 0] }],
  ['padding wider than a tile', [1, 5, 6, 32], 36, [3, 3], { padding: [9, 7] }],
  ['more channels than a slice', [1, 13, 13, 260], 32, [3, 3], { padding: [1, 1] }],
  ['12 outputs', [1, 14, 13, 32], 12, [3, 3], { padding: [1, 1] }],
  ['27 outputs', [1, 15, 16, 34], 27, [3, 3], { padding: [1, 1] }],
  ['14x14 pixels', [3, 14, 14, 33], 33, [3, 3], { padding: [1, 1] }],
  ['15 rows of one pixel more than tiles', [1, 15, 16, 48], 31, [3, 3], { padding: [1, 1] }],
  ['10x25 pixels, 96 outputs', [1, 10, 25, 37], 96, [3, 3], { padding: [1, 1] }],
  ['17x19 pixels, more channels than a slice', [1, 17, 19, 300], 12, [3, 3], {}],
  ['more tiles than a block', [1, 33, 37, 32], 32, [3, 3], { padding: [1, 1] }],
];

forEachVariant(test, 'conv2d', 'agrees with the definition', async (t, device) => {
  for (const [index, [name, shape, channels, kernel, partial]] of [...CASES, ...WINOGRAD_CASES].entries()) {
    const geometry = { ...PLAIN, ...partial };
    const input = integerTensor(index + 1, shape, -3, 3);
    const weight = integerTensor(index + 100, [channels, shape[3] / geometry.groups, ...kernel], -3, 3);
    const expected = expectedConvolution(input, weight, geometry);
    const { output, variant } = await convolve(device, input, weight, geometry);
    t.deepEqual(output.shape, expected.shape, name);
    assertClose(t, output.data, expected.data, tolerance(variant, expected.data), `${name} by ${variant}`);
  }
});

test('conv2d takes Winograd by the shape of one image, or by the regions of one image', async (t) => {
  for (const isa of ['avx2', 'avx512'] as const) {
    if (LEVELS.indexOf(isa) > LEVELS.indexOf(listDevices()[0]!.isa!)) continue;
    await takesWinogradByShape(t, isa);
  }
  t.pass();
});

async function takesWinogradByShape(t: ExecutionContext, isa: 'avx2' | 'avx512'): Promise<void> {
  const device = await Device.open('cpu', { threads: 1, isa });
  const suffix = isa === 'avx2' ? '' : '_avx512';
  const [four, five] = [`winograd4${suffix}`, `winograd5${suffix}`];
  const variant = async (shape: readonly number[], channels: number, options: Conv2dOptions): Promise<string> => {
    const weight = Tensor.zeros([channels, shape[3]!, 3, 3]);
    return (await convolve(device, Tensor.zeros(shape), weight, { padding: 1, ...options })).variant;
  };
  t.is(await variant([1, 16, 16, 32], 32, {}), four);
  t.is(await variant([1, 16, 16, 31], 32, {}), isa);
  t.is(await variant([1, 16, 16, 32], 12, {}), four);
  t.is(await variant([1, 16, 16, 32], 11, {}), isa);
  t.is(await variant([1, 16, 16, 32], 32, { stride: 2 }), isa);
  t.is(await variant([1, 16, 16, 32], 32, { dilation: [1, 2] }), isa);
  t.is(await variant([1, 12, 12, 32], 32, {}), isa);
  t.is(await variant([9, 12, 12, 32], 32, {}), isa);
  t.is(await variant([1, 14, 14, 32], 32, {}), five);
  t.is(await variant([9, 14, 14, 32], 32, {}), five);
  t.is(await variant([1, 18, 18, 32], 32, {}), five);
  t.is(await variant([1, 24, 24, 32], 32, {}), four);
  t.is(await variant([1, 35, 35, 32], 32, {}), five);
  t.is(await variant([16, 2, 2, 32], 32, { counts: Tensor.zeros([1], 'i32') }), isa);
  const regions = async (images: number, each: number, size: number): Promise<string> =>
    variant([images * each, size, size, 32], 32, { counts: Tensor.zeros([images], 'i32') });
  t.deepEqual([await regions(1, 4, 7), await regions(2, 4, 7)], [four, four]);
  t.deepEqual([await regions(1, 9, 5), await regions(2, 9, 5)], [five, five]);
  await device.dispose();
}

forEachVariant(test, 'conv2d', 'errs by less than 1e-5 of the result', async (t, device) => {
  // The policy for an op in f32, in the relative L2 norm; TF32 keeps 11 bits. Random signs are the hardest case: results
  // are small beside what is summed.
  for (const size of [15, 16]) {
    const input = randomTensor(1, [1, size, size, 512]);
    const weight = randomTensor(2, [12, 512, 3, 3]);
    const geometry: Geometry = { ...PLAIN, padding: [1, 1] };
    const expected = expectedConvolution(input, weight, geometry).data;
    const { output, variant } = await convolve(device, input, weight, geometry);
    const square = (sum: number, value: number): number => sum + value * value;
    const error = expected.map((value, i) => output.data[i]! - value).reduce(square, 0);
    const relative = Math.sqrt(error / expected.reduce(square, 0));
    t.log(`${variant}, ${size} x ${size} pixels: ${relative.toExponential(1)}`);
    t.true(relative < (variant === 'tf32' ? 2 ** -10 : 1e-5));
  }
});

forEachVariant(test, 'conv2d', 'applies scale, bias, residual and activation', async (t, device, variant) => {
  const activations = {
    none: (x: number) => x,
    relu: (x: number) => Math.max(x, 0),
    sigmoid: (x: number) => 1 / (1 + Math.exp(-x)),
    tanh: Math.tanh,
  };
  for (const [cin, cout, kernel, groups, height, width] of [
    [20, 19, 3, 1, 5, 7],
    [34, 35, 3, 1, 13, 14],
    [3, 16, 1, 1, 5, 7],
    [13, 13, 3, 13, 5, 7],
  ] as const) {
    const geometry: Geometry = { ...PLAIN, padding: [(kernel - 1) / 2, (kernel - 1) / 2], groups };
    const input = randomTensor(1, [2, height, width, cin]);
    const weight = randomTensor(2, [cout, cin / groups, kernel, kernel], { scale: 0.3 });
    const [scale, bias, residual] = [
      randomTensor(3, [cout]),
      randomTensor(4, [cout]),
      randomTensor(5, [2, height, width, cout]),
    ];
    const sums = expectedConvolution(input, weight, geometry).data;
    for (const activation of ['none', 'relu', 'sigmoid', 'tanh'] as const) {
      for (const used of [{ scale }, { bias }, { residual }, { scale, bias, residual }]) {
        const output = await device.run(() => ops.conv2d(input, weight, { ...geometry, activation, ...used }));
        const expected = sums.map((sum, i) => {
          const factor = 'scale' in used ? used.scale.data[i % cout]! : 1;
          const offset = 'bias' in used ? used.bias.data[i % cout]! : 0;
          return activations[activation](sum * factor + offset + ('residual' in used ? used.residual.data[i]! : 0));
        });
        assertClose(
          t,
          output.data,
          expected,
          sumTolerance(variant, { rtol: 1e-4, atol: 1e-4 }, ((0.3 * cin) / groups) * kernel * kernel),
          `${cin} ${activation} ${Object.keys(used).join()}`,
        );
      }
    }
  }
});

forEachVariant(test, 'conv2d', 'takes computed bias and scale', async (t, device) => {
  const input = integerTensor(1, [1, 3, 3, 4], -3, 3);
  const weight = integerTensor(2, [5, 4, 1, 1], -3, 3);
  const bias = integerTensor(3, [5], -3, 3);
  const output = await device.run(() => ops.conv2d(input, weight, { bias: ops.relu(bias), scale: ops.relu(bias) }));
  const sums = expectedConvolution(input, weight, PLAIN).data;
  const positive = (i: number): number => Math.max(bias.data[i % 5]!, 0);
  assertClose(
    t,
    output.data,
    sums.map((sum, i) => sum * positive(i) + positive(i)),
  );
});

forEachVariant(test, 'conv2d', 'computes the counted images of each group', async (t, device) => {
  for (const channels of [24, 40]) {
    const geometry: Geometry = { ...PLAIN, padding: [1, 1] };
    const input = integerTensor(1, [8, 7, 7, channels], -3, 3);
    const weight = integerTensor(2, [channels, channels, 3, 3], -3, 3);
    const expected = expectedConvolution(input, weight, geometry).data;
    const image = expected.length / 8;
    for (const counts of [
      [3, 0],
      [0, 4],
      [-5, 9],
      [1, 2],
      [0, 0],
    ] as const) {
      const options = { ...geometry, counts: Tensor.from(Int32Array.from(counts)) };
      const { output, variant } = await convolve(device, input, weight, options);
      t.deepEqual(output.shape, [8, 7, 7, channels]);
      for (const [group, count] of counts.entries()) {
        const begin = group * 4 * image;
        const end = begin + Math.min(Math.max(count, 0), 4) * image;
        assertClose(
          t,
          output.data.subarray(begin, end),
          expected.subarray(begin, end),
          tolerance(variant, expected),
          `${counts} of ${group}`,
        );
      }
    }
  }
});

forEachVariant(test, 'conv2d', 'keeps NaN and infinity where they belong', async (t, device) => {
  for (const channels of [3, 20, 32]) {
    const shape = [1, 13, 13, channels] as const;
    const input = integerTensor(1, shape, 1, 3);
    const weight = integerTensor(2, [channels, channels, 3, 3], 1, 3);
    const options = { ...PLAIN, padding: [1, 1], activation: 'relu' } as const;
    const clean = await device.run(() => ops.conv2d(input, weight, options));
    const bad = Tensor.from(input.data.slice(), shape);
    bad.data[(6 * 13 + 2) * channels + 1] = NaN;
    bad.data[(1 * 13 + 9) * channels] = Infinity;
    const { output, variant } = await convolve(device, bad, weight, options);
    // A value that is not finite spoils the tiles of Winograd that read it, of 4x4 or 5x5 pixels, and nothing beyond.
    const reach = Number(/^winograd(\d)/.exec(variant)?.[1] ?? 1);
    for (let y = 0; y < 13; y += 1) {
      for (let x = 0; x < 13; x += 1) {
        for (let c = 0; c < channels; c += 1) {
          const value = output.data[(y * 13 + x) * channels + c]!;
          if (Math.abs(y - 6) <= 1 && Math.abs(x - 2) <= 1) t.true(Number.isNaN(value));
          else if (Math.abs(y - 1) <= 1 && Math.abs(x - 9) <= 1) t.false(Number.isFinite(value));
          else if (
            Math.max(Math.abs(y - 6), Math.abs(x - 2)) > reach &&
            Math.max(Math.abs(y - 1), Math.abs(x - 9)) > reach
          ) {
            if (value !== clean.data[(y * 13 + x) * channels + c]) t.fail(`(${y}, ${x}, ${c}) changed`);
          }
        }
      }
    }
  }
});

forEachVariant(test, 'conv2d', 'accepts empty tensors', async (t, device) => {
  const run = (shape: number[], weight: number[]): Promise<Tensor> =>
    device.run(() => ops.conv2d(Tensor.zeros(shape), Tensor.zeros(weight), { padding: 1 }));
  t.deepEqual((await run([0, 4, 4, 64], [64, 64, 3, 3])).shape, [0, 4, 4, 64]);
  t.deepEqual((await run([0, 4, 4, 3], [8, 3, 3, 3])).shape, [0, 4, 4, 8]);
  t.deepEqual((await run([1, 4, 4, 3], [0, 3, 3, 3])).shape, [1, 4, 4, 0]);
  t.deepEqual((await run([1, 1, 0, 3], [2, 3, 1, 1])).shape, [1, 3, 2, 2]);
  t.deepEqual([...(await run([1, 1, 1, 0], [1, 0, 3, 3])).data], [0]);
});

function sameBits(actual: Tensor, expected: Tensor['data']): boolean {
  const bytes = ({ buffer, byteOffset, byteLength }: Tensor['data']): Buffer =>
    Buffer.from(buffer, byteOffset, byteLength);
  return bytes(actual.data).equals(bytes(expected));
}

test('conv2d gives the same bits for any thread count and for an image alone or in a batch', async (t) => {
  for (const variant of new Set(
    listKernels()
      .filter((row) => row.op === 'conv2d')
      .map((row) => row.variant),
  )) {
    for (const [cin, cout, kernel, groups, size] of [
      [19, 35, 3, 1, 9],
      [3, 16, 3, 1, 8],
      [300, 20, 1, 1, 6],
      [24, 260, 1, 1, 23],
      [40, 40, 3, 40, 6],
      [40, 33, 3, 1, 13],
      [32, 32, 3, 1, 58],
      [32, 96, 3, 1, 16],
    ] as const) {
      if (variant === 'reference' && size > 20) continue; // plain loops: the small ones tell the same
      const options = { padding: (kernel - 1) / 2, groups, activation: 'sigmoid' } as const;
      const weight = randomTensor(7, [cout, cin / groups, kernel, kernel], { scale: 0.2 });
      const input = randomTensor(8, [5, size, size, cin]);
      const image = size * size;
      let first: Tensor | undefined;
      for (const threads of [1, 2, 3]) {
        const device = await Device.open('cpu', { threads, variant });
        const batch = await device.run(() => ops.conv2d(input, weight, options));
        first ??= batch;
        t.true(sameBits(batch, first.data), `${variant}, ${cin} channels, ${threads} threads`);
        for (const i of [0, 3, 4]) {
          const one = Tensor.from(input.data.slice(i * image * cin, (i + 1) * image * cin), [1, size, size, cin]);
          const alone = await device.run(() => ops.conv2d(one, weight, options));
          const same = first.data.subarray(i * image * cout, (i + 1) * image * cout);
          t.true(sameBits(alone, same), `${variant}, ${cin} channels, image ${i} alone`);
        }
        await device.dispose();
      }
    }
  }
});

test('conv2d refuses arguments that do not fit', async (t) => {
  const device = await Device.open('cpu', { threads: 1 });
  const input = Tensor.zeros([1, 5, 5, 4]);
  const weight = Tensor.zeros([6, 4, 3, 3]);
  const refused = async (body: () => unknown, code: ErrorCode, message: RegExp): Promise<void> => {
    const error = await t.throwsAsync(async () => device.run(body as () => ReturnType<typeof ops.conv2d>));
    t.true(error instanceof InstasegError, String(error));
    t.is((error as InstasegError).code, code, error.message);
    t.regex(error.message, message);
  };
  await refused(() => ops.conv2d(Tensor.zeros([5, 5, 4]), weight), 'ERR_SHAPE', /input must have 4 dimensions/);
  await refused(() => ops.conv2d(input, Tensor.zeros([6, 4, 9])), 'ERR_SHAPE', /weight must have 4 dimensions/);
  await refused(() => ops.conv2d(input, Tensor.zeros([6, 3, 3, 3])), 'ERR_SHAPE', /4 input channels.*\[6, 3, 3, 3\]/);
  await refused(() => ops.conv2d(input, weight, { groups: 3 }), 'ERR_SHAPE', /cannot be split into 3 groups/);
  await refused(() => ops.conv2d(input, Tensor.zeros([6, 4, 7, 7])), 'ERR_SHAPE', /a window of 7 does not fit/);
  await refused(() => ops.conv2d(input, Tensor.zeros([6, 4, 0, 3])), 'ERR_SHAPE', /weight must not be empty/);
  await refused(() => ops.conv2d(input, ops.relu(weight)), 'ERR_ARGUMENT', /weight must be constant/);
  await refused(
    () => ops.conv2d(input, weight, { bias: Tensor.zeros([5]) }),
    'ERR_SHAPE',
    /bias must have shape \[6\]/,
  );
  await refused(() => ops.conv2d(input, weight, { scale: Tensor.zeros([1, 6]) }), 'ERR_SHAPE', /scale must have shape/);
  await refused(
    () => ops.conv2d(input, weight, { residual: input }),
    'ERR_SHAPE',
    /residual must have shape \[1, 3, 3, 6\]/,
  );
  await refused(() => ops.conv2d(input, weight, { bias: Tensor.zeros([6], 'i32') }), 'ERR_DTYPE', /bias must be f32/);
  await refused(() => ops.conv2d(input, weight, { counts: Tensor.zeros([1]) }), 'ERR_DTYPE', /counts must be i32/);
  await refused(
    () => ops.conv2d(input, weight, { counts: Tensor.zeros([2], 'i32') }),
    'ERR_SHAPE',
    /cannot be split evenly/,
  );
  await refused(
    () => ops.conv2d(Tensor.zeros([1, 5, 5, 4], 'i32'), weight),
    'ERR_DTYPE',
    /input must be f32, f16 or bf16; received i32/,
  );
  await refused(
    () => ops.conv2d(Tensor.from(new Uint16Array(100), [1, 5, 5, 4], 'f16'), weight),
    'ERR_UNSUPPORTED',
    /conv2d has no cpu kernel for f16/,
  );
  for (const value of [0, -1, 1.5, NaN, '2', [1], [1, 2, 3], [1, 0]]) {
    await refused(() => ops.conv2d(input, weight, { stride: value as number }), 'ERR_ARGUMENT', /stride must be/);
    await refused(() => ops.conv2d(input, weight, { dilation: value as number }), 'ERR_ARGUMENT', /dilation must be/);
  }
  await refused(() => ops.conv2d(input, weight, { padding: [-1, 0] }), 'ERR_ARGUMENT', /padding must be/);
  await refused(() => ops.conv2d(input, weight, { padding: 2 ** 40 }), 'ERR_ARGUMENT', /padding must/);
  await refused(() => ops.conv2d(input, weight, { groups: 0 }), 'ERR_ARGUMENT', /groups must be/);
  await refused(
    () => ops.conv2d(input, weight, { activation: 'gelu' as 'relu' }),
    'ERR_ARGUMENT',
    /activation must be one of/,
  );
  await device.dispose();
});
