import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { assertClose, forEachVariant, randomTensor } from '../support/ops.js';
import { refused, sameBits } from './checks.js';

forEachVariant(test, 'relu', 'is max(x, 0) at any length', async (t, device) => {
  for (const length of [1, 3, 4, 7, 8, 9, 16, 31, 33, 1000]) {
    const input = randomTensor(length, [length]);
    const output = await device.run(() => ops.relu(input));
    t.deepEqual(output.shape, [length]);
    assertClose(
      t,
      output.data,
      input.data.map((x) => Math.max(x, 0)),
      {},
      `${length}`,
    );
  }
});

forEachVariant(test, 'relu', 'keeps NaN, infinity and subnormal numbers', async (t, device) => {
  const values = [NaN, Infinity, -Infinity, 0, 1e-42, -1e-42, NaN, 5, -5];
  const output = await device.run(() => ops.relu(Tensor.from(Float32Array.from(values))));
  t.deepEqual([...output.data], [...Float32Array.from([NaN, Infinity, 0, 0, 1e-42, 0, NaN, 5, 0])]);
});

forEachVariant(test, 'relu', 'accepts empty tensors', async (t, device) => {
  const output = await device.run(() => ops.relu(Tensor.zeros([2, 0, 3])));
  t.deepEqual(output.shape, [2, 0, 3]);
});

test('relu gives the same bits with any thread count', async (t) => {
  const input = randomTensor(1, [70001]);
  await sameBits(t, 'relu', () => ops.relu(input));
});

test('relu refuses integers', async (t) => {
  await refused(
    t,
    () => ops.relu(Tensor.zeros([3], 'i32')),
    'ERR_DTYPE',
    /relu: input must be f32, f16 or bf16; received i32/,
  );
});
