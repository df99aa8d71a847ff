/**
 * Element-wise ops, pooling, resampling and copies on a device with f16 and bf16: the policy of checks.ts in each dtype,
 * and the CPU's bits in f32 where the arithmetic is prescribed. The oracle is the CPU's reference variant in f32, which
 * the tests of each op compare with the definition; the plain computation is the CPU's fast variant, rounded once.
 */
import test, { type ExecutionContext } from 'ava';
import { Device, ops, Tensor, type SymbolicTensor } from '../../src/index.js';
import { forEachVariant, randomSource, randomTensor, TEST_DEVICE } from '../support/ops.js';
import { assertWithinPolicy, FLOAT_DTYPES, floatTensor, numbersOf, type FloatDType } from './checks.js';

interface Case {
  readonly op: string;
  readonly name: string;
  /** Of the inputs in the dtype under test. */
  readonly shapes: readonly (readonly number[])[];
  readonly run: (...inputs: Tensor[]) => SymbolicTensor;
  /** The result in f32 has the bits of the CPU's fast variant. */
  readonly bits?: boolean;
  /** The result in f64, where sums are taken in another order than the CPU's. */
  readonly exact?: (input: Tensor) => Float64Array;
  /** The dtype of the result, where it is not the inputs'. */
  readonly output?: 'f32';
}

// Channels in whole vectors of every dtype, of f32 alone, and of none.
const CHANNELS = [16, 12, 5];
const counts = (...values: number[]): Tensor => Tensor.from(Int32Array.from(values));

function grid(seed: number, n: number, h: number, w: number): Tensor {
  const tensor = randomTensor(seed, [n, h, w, 2], { scale: 1.3 });
  tensor.data[0] = NaN;
  return tensor;
}

const SELECTED = [1, 0, 6, 2];
const SELECT_BIAS = randomTensor(6, [7]);
const selectWeight = (c: number): Tensor<Float32Array> => randomTensor(5, [7, c, 1, 1]);

function selectedChannels({ shape, data }: Tensor): Float64Array {
  const [rows, height, width, depth] = shape as [number, number, number, number];
  const weight = selectWeight(depth).data;
  return Float64Array.from({ length: rows * height * width }, (_, i) => {
    const label = SELECTED[Math.floor(i / (height * width))]!;
    let sum = SELECT_BIAS.data[label]!;
    for (let k = 0; k < depth; k += 1) sum += Number(data[i * depth + k]) * weight[label * depth + k]!;
    return sum;
  });
}

const perChannel = (c: number): Case[] => [
  { op: 'relu', name: 'leaky', shapes: [[3, c]], run: (x) => ops.relu(x, { negativeSlope: 0.1 }), bits: true },
  { op: 'sigmoid', name: 'plain', shapes: [[3, c]], run: (x) => ops.sigmoid(x) },
  { op: 'tanh', name: 'plain', shapes: [[3, c]], run: (x) => ops.tanh(x) },
  {
    op: 'add',
    name: 'with relu',
    shapes: [
      [2, 3, c],
      [2, 3, c],
    ],
    run: (a, b) => ops.add(a, b, { activation: 'relu' }),
    bits: true,
  },
  {
    op: 'multiply',
    name: 'plain',
    shapes: [
      [7, c],
      [7, c],
    ],
    run: (a, b) => ops.multiply(a, b),
    bits: true,
  },
  { op: 'softmax', name: 'last axis', shapes: [[5, c + 60]], run: (x) => ops.softmax(x) },
  { op: 'softmax', name: 'middle axis', shapes: [[2, 9, c]], run: (x) => ops.softmax(x, { axis: 1 }) },
  {
    op: 'softmax',
    name: 'counted rows',
    shapes: [[6, 2, c]],
    run: (x) => ops.softmax(x, { counts: counts(2, 0) }),
  },
  {
    op: 'batchNorm',
    name: 'counted rows',
    shapes: [[4, 3, 2, c]],
    run: (x) =>
      ops.batchNorm(x, {
        weight: randomTensor(1, [c]),
        bias: randomTensor(2, [c]),
        mean: randomTensor(3, [c]),
        variance: Tensor.from(randomTensor(4, [c]).data.map(Math.abs)),
        counts: counts(1, 2),
      }),
    bits: true,
  },
  ...(['bilinear', 'nearest', 'nearestExact'] as const).map((mode): Case => ({
    op: 'resize',
    name: mode,
    shapes: [[2, 5, 6, c]],
    run: (x) => ops.resize(x, { size: [9, 4], mode }),
    bits: true,
  })),
  {
    op: 'resize',
    name: 'corners aligned',
    shapes: [[1, 4, 4, c]],
    run: (x) => ops.resize(x, { size: [7, 7], alignCorners: true }),
    bits: true,
  },
  {
    op: 'gridSample',
    name: 'some outside',
    shapes: [[2, 5, 6, c]],
    run: (x) => ops.gridSample(x, grid(5, 2, 3, 7)),
    bits: true,
  },
  {
    op: 'maxPool2d',
    name: 'padded, ceil mode',
    shapes: [[2, 7, 6, c]],
    run: (x) => ops.maxPool2d(x, { kernel: 3, stride: 2, padding: 1, ceilMode: true }),
    bits: true,
  },
  {
    op: 'avgPool2d',
    name: 'padded',
    shapes: [[2, 7, 6, c]],
    run: (x) => ops.avgPool2d(x, { kernel: [3, 2], stride: 2, padding: 1, countIncludePad: false }),
    bits: true,
  },
  {
    op: 'adaptivePool2d',
    name: 'small cells, counted rows',
    shapes: [[4, 7, 5, c]],
    run: (x) => ops.adaptivePool2d(x, { output: [3, 2], counts: counts(2, 1) }),
    bits: true,
  },
  {
    op: 'adaptivePool2d',
    name: 'averages of whole images',
    shapes: [[2, 11, 13, c]],
    run: (x) => ops.adaptivePool2d(x, { output: 1 }),
    exact: channelMeans,
  },
  {
    op: 'adaptivePool2d',
    name: 'maxima of whole images',
    shapes: [[2, 11, 13, c]],
    run: (x) => ops.adaptivePool2d(x, { output: 1, kind: 'max' }),
    bits: true,
  },
  {
    op: 'maxUnpool2d',
    name: 'the later of two wins',
    shapes: [[2, 3, 3, c]],
    run: (x) => ops.maxUnpool2d(x, indices(2, 3, 3, c), { kernel: 2 }),
    bits: true,
  },
  {
    op: 'selectChannel',
    name: 'through the sigmoid',
    shapes: [[4, 3, 3, c]],
    run: (x) => ops.selectChannel(x, counts(1, 0, c - 1, 2), { activation: 'sigmoid', counts: counts(2, 1) }),
    bits: true,
    output: 'f32',
  },
  {
    op: 'selectConv2d',
    name: 'with bias',
    shapes: [[4, 3, 3, c]],
    run: (x) => ops.selectConv2d(x, selectWeight(c), counts(...SELECTED), { bias: SELECT_BIAS }),
    exact: selectedChannels,
    output: 'f32',
  },
  {
    op: 'concat',
    name: 'last axis',
    shapes: [
      [3, c],
      [3, 8],
      [3, 1],
    ],
    run: (...inputs) => ops.concat(inputs, { axis: 1 }),
    bits: true,
  },
  {
    op: 'slice',
    name: 'inside',
    shapes: [[3, 5, c]],
    run: (x) => ops.slice(x, { begin: [1, 2, 0], size: [2, 2, c - 1] }),
    bits: true,
  },
  {
    op: 'pad',
    name: 'with a constant',
    shapes: [[3, 5, c]],
    run: (x) => ops.pad(x, { before: [0, 1, 0], after: [1, 2, 0], value: -1.5 }),
    bits: true,
  },
];

function channelMeans(input: Tensor): Float64Array {
  const [n, h, w, c] = input.shape as [number, number, number, number];
  const means = new Float64Array(n * c);
  input.data.forEach((value, i) => {
    means[Math.floor(i / (h * w * c)) * c + (i % c)]! += value / (h * w);
  });
  return means;
}

function indices(n: number, h: number, w: number, c: number): Tensor {
  const next = randomSource(9);
  const shape = [n, h, w, c];
  return Tensor.from(
    Int32Array.from({ length: n * h * w * c }, () => Math.floor(next() * 8)),
    shape,
  );
}

async function onCpu(variant: string | undefined, body: () => SymbolicTensor): Promise<Tensor> {
  const device = await Device.open('cpu', { threads: 1, variant });
  try {
    return await device.run(body);
  } finally {
    await device.dispose();
  }
}

async function check(t: ExecutionContext, device: Device, one: Case, c: number, dtype: FloatDType): Promise<void> {
  const { op, name, shapes, run, bits, exact, output } = one;
  const inputs = shapes.map((shape, i) => floatTensor(dtype, randomTensor(i + c, shape, { scale: 3 }).data, shape));
  const widened = inputs.map((input) => Tensor.from(Float32Array.from(numbersOf(input)), input.shape));
  const actual = await device.run(() => run(...inputs));
  const reference = await onCpu('reference', () => run(...widened));
  const plain = await onCpu(undefined, () => run(...widened));
  const label = `${op}, ${name}, ${c} channels, ${dtype}`;
  t.is(actual.dtype, output ?? dtype, label);
  t.deepEqual(actual.shape, reference.shape, label);
  if (bits && actual.dtype === 'f32') {
    t.deepEqual(actual.data, plain.data, label);
  } else {
    assertWithinPolicy(t, dtype, numbersOf(actual), exact?.(widened[0]!) ?? reference.data, plain.data, {
      per: exact ? 'tensor' : 'element',
      label,
    });
  }
}

if (TEST_DEVICE !== 'cpu') {
  const cases = CHANNELS.flatMap((c) => perChannel(c).map((one) => ({ ...one, c })));
  // One test an op, since all tests of a file run at once, each with devices of its own.
  for (const tested of new Set(cases.map(({ op }) => op))) {
    forEachVariant(test, tested, 'keeps to the policy in every dtype', async (t, device) => {
      for (const one of cases.filter(({ op }) => op === tested)) {
        for (const dtype of FLOAT_DTYPES) await check(t, device, one, one.c, dtype);
      }
    });
  }

  forEachVariant(test, 'preprocess', 'gives the bits of the CPU', async (t, device) => {
    const next = randomSource(3);
    const image = (h: number, w: number): Tensor =>
      Tensor.from(
        Uint8Array.from({ length: h * w * 3 }, () => Math.floor(next() * 256)),
        [h, w, 3],
      );
    const images = [image(5, 7), randomTensor(2, [4, 3, 3]), image(6, 6)];
    const sizes = Tensor.from(Int32Array.of(5, 7, 9, 12, 4, 3, 2, 3, 6, 6, 6, 6), [3, 4]);
    for (const order of ['normalizeFirst', 'resizeFirst'] as const) {
      const body = (): SymbolicTensor =>
        ops.preprocess(images, sizes, {
          height: 9,
          width: 13,
          mean: [0.485, 0.456, 0.406],
          std: [0.229, 0.224, 0.225],
          order,
          swapInput: true,
        });
      t.deepEqual((await device.run(body)).data, (await onCpu(undefined, body)).data, order);
    }
  });

  forEachVariant(
    test,
    'normalize',
    'gives the bits of the CPU with more channels than a launch takes',
    async (t, device) => {
      const c = 131;
      const body = (): SymbolicTensor =>
        ops.normalize(randomTensor(1, [1, 2, 3, c]), {
          mean: [...randomTensor(2, [c]).data],
          std: Array.from(randomTensor(3, [c]).data, (x) => Math.abs(x) + 0.1),
          scale: 1 / 3,
          swapChannels: true,
        });
      t.deepEqual((await device.run(body)).data, (await onCpu(undefined, body)).data);
    },
  );

  forEachVariant(
    test,
    'anchors',
    'gives the bits of the CPU with more anchors than a launch takes',
    async (t, device) => {
      const base = [...randomTensor(1, [35 * 4], { scale: 99 }).data];
      const body = (): SymbolicTensor => ops.anchors({ grid: [3, 5], stride: [4, 8], base, offset: 0.5 });
      t.deepEqual((await device.run(body)).data, (await onCpu(undefined, body)).data);
    },
  );

  forEachVariant(test, 'gatherRows', 'moves f16 rows', async (t, device) => {
    const input = floatTensor('f16', randomTensor(1, [2 * 3 * 5]).data, [2, 3, 5]);
    const output = await device.run(() => ops.gatherRows(input, Tensor.from(Int32Array.of(2, 0, 1, 1), [2, 2])));
    t.is(output.dtype, 'f16');
    const row = (n: number, m: number): number[] => [...input.data.subarray((n * 3 + m) * 5, (n * 3 + m + 1) * 5)];
    t.deepEqual([...output.data], [...row(0, 2), ...row(0, 0), ...row(1, 1), ...row(1, 1)]);
  });
} else {
  test('the CPU computes feature maps in f32 and says so', async (t) => {
    const device = await Device.open('cpu', { threads: 1 });
    await t.throwsAsync(
      device.run(() => ops.relu(floatTensor('f16', [1, 2]))),
      { code: 'ERR_UNSUPPORTED', message: /relu has no cpu kernel for f16/ },
    );
    await device.dispose();
  });
}
