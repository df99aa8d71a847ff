import test from 'ava';
import { Device, ops, type Tensor } from '../../src/index.js';
import { ints, rejects } from '../support/boxes.js';
import { assertClose, forEachVariant, integerTensor, randomTensor, TEST_DEVICE } from '../support/ops.js';

/** By the definition, in f64. */
function expected(x: Tensor, weight: Tensor, labels: readonly number[], bias?: Tensor): Float64Array {
  const [rows, height, width, depth] = x.shape as [number, number, number, number];
  return Float64Array.from({ length: rows * height * width }, (_, i) => {
    const label = labels[Math.floor(i / (height * width))]!;
    let sum = Number(bias?.data[label] ?? 0);
    for (let k = 0; k < depth; k += 1) sum += Number(x.data[i * depth + k]) * Number(weight.data[label * depth + k]);
    return sum;
  });
}

// Pixels and channels below, at and above the tiles of every level, labels in every place of a panel and in the last one.
const SHAPES = [
  [1, 1, 1, 1, 1],
  [3, 2, 3, 5, 7],
  [40, 1, 2, 16, 40],
  [4, 28, 28, 64, 91],
  [2, 14, 7, 33, 32],
  [0, 2, 2, 4, 3],
] as const;

forEachVariant(test, 'selectConv2d', 'is one channel of the convolution', async (t, device) => {
  for (const [rows, height, width, depth, channels] of SHAPES) {
    const x = integerTensor(rows, [rows, height, width, depth], -4, 4);
    const weight = integerTensor(7, [channels, depth, 1, 1], -3, 3);
    const bias = integerTensor(8, [channels], -9, 9);
    const labels = Array.from({ length: rows }, (_, i) => (i * 37 + channels - 1) % channels);
    for (const given of [bias, undefined]) {
      const { data, shape } = await device.run(() => ops.selectConv2d(x, weight, ints(labels), { bias: given }));
      t.deepEqual(shape, [rows, height, width]);
      t.deepEqual([...data].map(Number), [...expected(x, weight, labels, given)]);
    }
  }
});

forEachVariant(test, 'selectConv2d', 'rounds as a sum of f32 products does, then the sigmoid', async (t, device) => {
  const x = randomTensor(1, [5, 9, 11, 256]);
  const weight = randomTensor(2, [91, 256, 1, 1], { scale: 0.1 });
  const bias = randomTensor(3, [91]);
  const labels = [90, 0, 31, 32, 15];
  const sums = expected(x, weight, labels, bias);
  const plain = await device.run(() => ops.selectConv2d(x, weight, ints(labels), { bias }));
  assertClose(t, plain.data, sums, { rtol: 1e-5, atol: 1e-5 });
  const options = { bias, activation: 'sigmoid' } as const;
  const sigmoid = await device.run(() => ops.selectConv2d(x, weight, ints(labels), options));
  assertClose(
    t,
    sigmoid.data,
    sums.map((v) => 1 / (1 + Math.exp(-v))),
    { rtol: 1e-5 },
  );
});

forEachVariant(test, 'selectConv2d', 'computes counted rows only, and refuses what does not fit', async (t, device) => {
  const x = integerTensor(1, [4, 1, 2, 3], -4, 4);
  const weight = integerTensor(2, [5, 3, 1, 1], -4, 4);
  const labels = [4, 99, 2, -7];
  const counted = await device.run(() => ops.selectConv2d(x, weight, ints(labels, [2, 2]), { counts: ints([1, 1]) }));
  const sums = expected(x, weight, [4, 0, 2, 0]);
  t.deepEqual([...counted.data.subarray(0, 2)], [...sums.subarray(0, 2)]);
  t.deepEqual([...counted.data.subarray(4, 6)], [...sums.subarray(4, 6)]);

  const call = (w: Tensor, l: Tensor, options = {}) => device.run(() => ops.selectConv2d(x, w, l, options));
  await rejects(t, 'ERR_ARGUMENT', () => call(weight, ints([0, 1, 2, 5])));
  await rejects(t, 'ERR_ARGUMENT', () => call(weight, ints([-1, 1, 2, 4])));
  await rejects(t, 'ERR_SHAPE', () => call(weight, ints([0])));
  await rejects(t, 'ERR_SHAPE', () => call(randomTensor(1, [5, 3, 3, 3]), ints([0, 0, 0, 0])));
  await rejects(t, 'ERR_SHAPE', () => call(randomTensor(1, [5, 4, 1, 1]), ints([0, 0, 0, 0])));
  await rejects(t, 'ERR_SHAPE', () => call(weight, ints([0, 0, 0, 0]), { bias: randomTensor(1, [3]) }));
  await rejects(t, 'ERR_DTYPE', () => call(weight, randomTensor(1, [4])));
  await rejects(t, 'ERR_ARGUMENT', () => call(weight, ints([0, 0, 0, 0]), { activation: 'tanh' }));
});

test('a plan takes it in place of conv2d and selectChannel, with the same bits on the CPU', async (t) => {
  const x = randomTensor(1, [6, 14, 14, 32]);
  const weight = randomTensor(2, [40, 32, 1, 1]);
  const bias = randomTensor(3, [40]);
  const labels = ints([39, 0, 17, 3, 8, 30]);
  const device = await Device.open(TEST_DEVICE);
  try {
    const options = { activation: 'sigmoid' } as const;
    const fused = await device.compile([], () => ops.selectChannel(ops.conv2d(x, weight, { bias }), labels, options));
    t.deepEqual(
      fused.steps.map(({ op }) => op),
      ['selectConv2d'],
    );
    // Whoever wants the convolution's result gets it.
    const apart = await device.compile([], () => {
      const all = ops.conv2d(x, weight, { bias });
      return [ops.selectChannel(all, labels, options), all];
    });
    t.is(apart.steps.length, 2);
    const [selected] = await apart.run();
    const result = await fused.run();
    if (TEST_DEVICE === 'cpu') t.deepEqual(result.data, selected.data as Float32Array);
    else assertClose(t, result.data, selected.data, { rtol: 1e-5 });
    // Strides move pixels, an activation is not the sigmoid of one channel.
    for (const more of [{ stride: 2 }, { activation: 'relu' }, { padding: 1 }] as const) {
      const plan = await device.compile([], () => ops.selectChannel(ops.conv2d(x, weight, more), labels));
      t.is(plan.steps.length, 2);
    }
  } finally {
    await device.dispose();
  }
});
