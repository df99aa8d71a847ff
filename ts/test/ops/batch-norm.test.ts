import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { assertClose, forEachVariant, integerTensor, randomTensor } from '../support/ops.js';
import { refused, sameBits } from './checks.js';

interface Statistics {
  mean: Tensor;
  variance: Tensor;
  weight?: Tensor;
  bias?: Tensor;
}

function expected(input: Tensor, { mean, variance, weight, bias }: Statistics, epsilon: number): Float64Array {
  const channels = input.shape.at(-1)!;
  return Float64Array.from(input.data, (x, i) => {
    const c = i % channels;
    const scaled = ((x - mean.data[c]!) / Math.sqrt(variance.data[c]! + epsilon)) * (weight?.data[c] ?? 1);
    return scaled + (bias?.data[c] ?? 0);
  });
}

forEachVariant(test, 'batchNorm', 'agrees with the definition around the vector length', async (t, device) => {
  for (const [seed, channels] of [1, 2, 3, 7, 8, 9, 16, 33, 63, 64, 65, 130].entries()) {
    const input = randomTensor(seed + 1, [2, 5, channels], { scale: 3 });
    const mean = randomTensor(seed + 20, [channels]);
    const variance = Tensor.from(randomTensor(seed + 40, [channels]).data.map((x) => x * x + 0.05));
    const weight = randomTensor(seed + 60, [channels], { scale: 2 });
    const bias = randomTensor(seed + 80, [channels]);
    for (const optional of [{ weight, bias }, { weight }, { bias }, {}]) {
      const statistics = { mean, variance, ...optional };
      const output = await device.run(() => ops.batchNorm(input, { ...statistics, epsilon: 1e-3 }));
      t.deepEqual(output.shape, input.shape);
      assertClose(t, output.data, expected(input, statistics, 1e-3), { rtol: 1e-5, atol: 1e-5 }, `${channels}`);
    }
  }
});

forEachVariant(test, 'batchNorm', 'is exact for small integers', async (t, device) => {
  const input = integerTensor(1, [7, 5], -9, 9);
  const mean = integerTensor(2, [5], -3, 3);
  const variance = Tensor.from(Float32Array.of(1, 4, 16, 0.25, 64));
  const output = await device.run(() => ops.batchNorm(input, { mean, variance, epsilon: 0 }));
  assertClose(t, output.data, expected(input, { mean, variance }, 0));
});

forEachVariant(test, 'batchNorm', 'computes the counted rows of each group', async (t, device) => {
  const input = randomTensor(1, [12, 3, 4]);
  const statistics = { mean: randomTensor(2, [4]), variance: Tensor.from(Float32Array.of(1, 2, 3, 4)) };
  const all = expected(input, statistics, 1e-5);
  for (const counts of [
    [4, 1, 0],
    [-1, 9, 2],
  ]) {
    const counted = Tensor.from(Int32Array.from(counts));
    const { data } = await device.run(() => ops.batchNorm(input, { ...statistics, counts: counted }));
    for (const [group, count] of counts.entries()) {
      const [begin, end] = [group * 48, group * 48 + Math.min(Math.max(count, 0), 4) * 12];
      assertClose(t, data.subarray(begin, end), all.subarray(begin, end), { rtol: 1e-5, atol: 1e-5 });
    }
  }
});

forEachVariant(test, 'batchNorm', 'keeps NaN in its element and accepts empty tensors', async (t, device) => {
  const statistics = { mean: Tensor.zeros([3]), variance: Tensor.from(Float32Array.of(1, 1, 1)) };
  const input = randomTensor(1, [9, 3]);
  input.data[4] = NaN;
  const { data } = await device.run(() => ops.batchNorm(input, statistics));
  for (const [i, value] of data.entries()) t.is(Number.isNaN(value), i === 4);
  t.deepEqual((await device.run(() => ops.batchNorm(Tensor.zeros([0, 3]), statistics))).shape, [0, 3]);
});

test('batchNorm gives the same bits with any thread count and instruction set', async (t) => {
  const input = randomTensor(1, [4001, 11]);
  const statistics = { mean: randomTensor(2, [11]), variance: Tensor.from(new Float32Array(11).fill(0.3)) };
  await sameBits(t, 'batchNorm', () => ops.batchNorm(input, statistics));
});

test('batchNorm refuses arguments that do not fit', async (t) => {
  const input = Tensor.zeros([2, 3]);
  const mean = Tensor.zeros([3]);
  await refused(
    t,
    () => ops.batchNorm(input, { mean: Tensor.zeros([4]), variance: mean }),
    'ERR_SHAPE',
    /mean must have shape \[3\]/,
  );
  await refused(t, () => ops.batchNorm(mean, { mean, variance: mean }), 'ERR_SHAPE', /2 dimensions or more/);
  await refused(
    t,
    () => ops.batchNorm(input, { mean, variance: mean, epsilon: -1 }),
    'ERR_ARGUMENT',
    /epsilon must be/,
  );
  await refused(
    t,
    () => ops.batchNorm(input, { mean, variance: Tensor.zeros([3], 'i32') }),
    'ERR_DTYPE',
    /variance must be f32/,
  );
});
