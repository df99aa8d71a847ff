import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { assertClose, forEachVariant, randomTensor } from '../support/ops.js';
import { refused, sameBits } from './checks.js';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

forEachVariant(test, 'sigmoid', 'agrees with the definition over the whole range', async (t, device) => {
  const input = Float32Array.from({ length: 4001 }, (_, i) => (i - 2000) * 0.055);
  const small = Float32Array.from({ length: 2001 }, (_, i) => (i - 1000) * 0.001);
  for (const data of [input, small]) {
    const output = await device.run(() => ops.sigmoid(Tensor.from(data)));
    assertClose(t, output.data, Float64Array.from(data, sigmoid), { rtol: 1e-6, atol: 1e-7 });
  }
});

forEachVariant(test, 'sigmoid', 'is defined at the extremes', async (t, device) => {
  const cases = [
    [0, 0.5],
    [-0, 0.5],
    [Infinity, 1],
    [-Infinity, 0],
    [104, 1],
    [-104, 0],
    [3e38, 1],
    [-3e38, 0],
    [NaN, NaN],
    [1e-40, 0.5],
  ] as const;
  const output = await device.run(() => ops.sigmoid(Tensor.from(Float32Array.from(cases, ([x]) => x))));
  assertClose(
    t,
    output.data,
    cases.map(([, y]) => y),
    { atol: 1e-30 },
  );
});

forEachVariant(test, 'sigmoid', 'gives an element the same bits wherever it lies', async (t, device) => {
  const all = randomTensor(5, [67], { scale: 9 });
  const { data } = await device.run(() => ops.sigmoid(all));
  for (const begin of [1, 2, 3, 5, 8, 13, 60]) {
    const part = await device.run(() => ops.sigmoid(Tensor.from(all.data.slice(begin))));
    t.deepEqual(part.data, data.slice(begin));
  }
});

forEachVariant(test, 'sigmoid', 'accepts empty tensors', async (t, device) => {
  const output = await device.run(() => ops.sigmoid(Tensor.zeros([0, 4])));
  t.deepEqual(output.shape, [0, 4]);
});

test('sigmoid gives the same bits with any thread count and instruction set', async (t) => {
  const input = randomTensor(1, [20011], { scale: 20 });
  await sameBits(t, 'sigmoid', () => ops.sigmoid(input));
});

test('sigmoid refuses integers', async (t) => {
  await refused(
    t,
    () => ops.sigmoid(Tensor.zeros([3], 'i32')),
    'ERR_DTYPE',
    /sigmoid: input must be f32, f16 or bf16; received i32/,
  );
});
