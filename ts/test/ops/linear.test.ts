import test from 'ava';
import { Device, InstasegError, listKernels, ops, Tensor, type ErrorCode } from '../../src/index.js';
import { assertClose, forEachVariant, integerTensor, randomTensor, sumTolerance } from '../support/ops.js';

function expectedProduct(input: Tensor, weight: Tensor): Float64Array {
  const [rows, depth] = input.shape as [number, number];
  const columns = weight.shape[0]!;
  const data = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r += 1) {
    for (let m = 0; m < columns; m += 1) {
      for (let k = 0; k < depth; k += 1)
        data[r * columns + m]! += input.data[r * depth + k]! * weight.data[m * depth + k]!;
    }
  }
  return data;
}

forEachVariant(test, 'linear', 'agrees with the definition around the tiles', async (t, device) => {
  const shapes = [
    [1, 1, 1],
    [1, 7, 5],
    [5, 33, 17],
    [6, 16, 16],
    [7, 15, 33],
    [95, 20, 8],
    [96, 256, 31],
    [97, 257, 32],
    [193, 64, 15],
    [2, 1000, 96],
  ] as const;
  for (const [index, [rows, depth, columns]] of shapes.entries()) {
    const input = integerTensor(index + 1, [rows, depth], -3, 3);
    const weight = integerTensor(index + 100, [columns, depth], -3, 3);
    const bias = integerTensor(index + 200, [columns], -3, 3);
    const expected = expectedProduct(input, weight);
    const output = await device.run(() => ops.linear(input, weight));
    t.deepEqual(output.shape, [rows, columns]);
    assertClose(t, output.data, expected, {}, `${rows}x${depth}x${columns}`);
    const relu = await device.run(() => ops.linear(input, weight, { bias, activation: 'relu' }));
    assertClose(
      t,
      relu.data,
      expected.map((x, i) => Math.max(x + bias.data[i % columns]!, 0)),
      {},
      'relu',
    );
  }
});

forEachVariant(test, 'linear', 'applies sigmoid and tanh', async (t, device, variant) => {
  const close = sumTolerance(variant, { rtol: 1e-5, atol: 1e-5 }, 30);
  const input = randomTensor(1, [9, 30]);
  const weight = randomTensor(2, [21, 30]);
  const sums = expectedProduct(input, weight);
  const tanh = await device.run(() => ops.linear(input, weight, { activation: 'tanh' }));
  assertClose(t, tanh.data, sums.map(Math.tanh), close);
  const sigmoid = await device.run(() => ops.linear(input, weight, { activation: 'sigmoid' }));
  assertClose(
    t,
    sigmoid.data,
    sums.map((x) => 1 / (1 + Math.exp(-x))),
    close,
  );
});

forEachVariant(test, 'linear', 'computes the counted rows of each group', async (t, device) => {
  const input = integerTensor(1, [30, 12], -3, 3);
  const weight = integerTensor(2, [20, 12], -3, 3);
  const expected = expectedProduct(input, weight);
  for (const counts of [
    [10, 3, 0],
    [0, 0, 1],
    [-4, 99, 7],
  ] as const) {
    const output = await device.run(() => ops.linear(input, weight, { counts: Tensor.from(Int32Array.from(counts)) }));
    for (const [group, count] of counts.entries()) {
      const [begin, end] = [group * 200, group * 200 + Math.min(Math.max(count, 0), 10) * 20];
      assertClose(t, output.data.subarray(begin, end), expected.subarray(begin, end), {}, `${counts}`);
    }
  }
});

forEachVariant(test, 'linear', 'keeps NaN and infinity in their rows', async (t, device) => {
  const input = integerTensor(1, [8, 10], 1, 3);
  const weight = integerTensor(2, [18, 10], 1, 3);
  input.data[3 * 10 + 4] = NaN;
  input.data[6 * 10 + 9] = Infinity;
  const { data } = await device.run(() => ops.linear(input, weight, { activation: 'relu' }));
  for (const [i, value] of data.entries()) {
    const row = Math.floor(i / 18);
    t.is(row === 3 ? Number.isNaN(value) : row === 6 ? value === Infinity : Number.isFinite(value), true, `${i}`);
  }
});

forEachVariant(test, 'linear', 'accepts empty tensors', async (t, device) => {
  const rows = await device.run(() => ops.linear(Tensor.zeros([0, 4]), Tensor.zeros([3, 4])));
  t.deepEqual(rows.shape, [0, 3]);
  const columns = await device.run(() => ops.linear(Tensor.zeros([2, 4]), Tensor.zeros([0, 4])));
  t.deepEqual(columns.shape, [2, 0]);
  const bias = integerTensor(1, [3], 1, 9);
  const depth = await device.run(() => ops.linear(Tensor.zeros([2, 0]), Tensor.zeros([3, 0]), { bias }));
  t.deepEqual([...depth.data], [...bias.data, ...bias.data]);
});

test('linear gives a row the same bits wherever it lies, with any thread count', async (t) => {
  const weight = randomTensor(1, [37, 300]);
  const row = randomTensor(2, [1, 300]);
  const many = Tensor.from(new Float32Array(101 * 300), [101, 300]);
  for (let r = 0; r < 101; r += 1) many.data.set(row.data, r * 300);
  for (const variant of new Set(
    listKernels()
      .filter((kernel) => kernel.op === 'linear')
      .map((kernel) => kernel.variant),
  )) {
    let first: Tensor | undefined;
    for (const threads of [1, 2, 3]) {
      const device = await Device.open('cpu', { threads, variant });
      const alone = await device.run(() => ops.linear(row, weight));
      first ??= alone;
      const output = await device.run(() => ops.linear(many, weight));
      for (let r = 0; r < 101; r += 1)
        t.deepEqual(output.data.subarray(r * 37, (r + 1) * 37), first.data, `${variant}, row ${r}`);
      await device.dispose();
    }
  }
});

test('linear refuses arguments that do not fit', async (t) => {
  const device = await Device.open('cpu', { threads: 1 });
  const input = Tensor.zeros([2, 4]);
  const weight = Tensor.zeros([3, 4]);
  const refused = async (
    body: () => ReturnType<typeof ops.linear>,
    code: ErrorCode,
    message: RegExp,
  ): Promise<void> => {
    const error = await t.throwsAsync(async () => device.run(body));
    t.true(error instanceof InstasegError, String(error));
    t.is((error as InstasegError).code, code, error.message);
    t.regex(error.message, message);
  };
  await refused(() => ops.linear(Tensor.zeros([1, 2, 4]), weight), 'ERR_SHAPE', /input must have 2 dimensions/);
  await refused(() => ops.linear(input, Tensor.zeros([4, 3])), 'ERR_SHAPE', /weight must have 4 columns.*\[4, 3\]/);
  await refused(
    () => ops.linear(input, weight, { bias: Tensor.zeros([4]) }),
    'ERR_SHAPE',
    /bias must have shape \[3\]/,
  );
  await refused(() => ops.linear(input, ops.relu(weight)), 'ERR_ARGUMENT', /weight must be constant/);
  await refused(() => ops.linear(input, Tensor.zeros([3, 4], 'i32')), 'ERR_DTYPE', /weight must be f32/);
  await refused(
    () => ops.linear(input, weight, { counts: Tensor.zeros([3], 'i32') }),
    'ERR_SHAPE',
    /cannot be split evenly/,
  );
  await refused(
    () => ops.linear(input, weight, { activation: 'softmax' as 'relu' }),
    'ERR_ARGUMENT',
    /activation must be one of/,
  );
  await device.dispose();
});
