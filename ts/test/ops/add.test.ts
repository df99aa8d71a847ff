import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { assertClose, forEachVariant, integerTensor, randomTensor } from '../support/ops.js';
import { refused, sameBits } from './checks.js';

forEachVariant(test, 'add', 'adds, with and without relu', async (t, device) => {
  for (const shape of [[1], [7], [8], [9], [2, 3, 5, 7], [100, 11]]) {
    const a = integerTensor(1, shape, -9, 9);
    const b = integerTensor(2, shape, -9, 9);
    const sums = a.data.map((x, i) => x + b.data[i]!);
    const plain = await device.run(() => ops.add(a, b));
    t.deepEqual(plain.shape, shape);
    assertClose(t, plain.data, sums);
    const relu = await device.run(() => ops.add(a, b, { activation: 'relu' }));
    assertClose(
      t,
      relu.data,
      sums.map((x) => Math.max(x, 0)),
    );
  }
});

forEachVariant(test, 'add', 'keeps NaN and infinity', async (t, device) => {
  const a = Tensor.from(Float32Array.of(NaN, 1, Infinity, -Infinity, Infinity));
  const b = Tensor.from(Float32Array.of(1, NaN, 1, 1, -Infinity));
  const output = await device.run(() => ops.add(a, b, { activation: 'relu' }));
  t.deepEqual([...output.data], [NaN, NaN, Infinity, 0, NaN]);
});

forEachVariant(test, 'add', 'accepts empty tensors', async (t, device) => {
  t.deepEqual((await device.run(() => ops.add(Tensor.zeros([0, 2]), Tensor.zeros([0, 2])))).shape, [0, 2]);
});

test('add gives the same bits with any thread count', async (t) => {
  const a = randomTensor(1, [70001]);
  const b = randomTensor(2, [70001]);
  await sameBits(t, 'add', () => ops.add(a, b));
});

test('add refuses arguments that do not fit', async (t) => {
  const a = Tensor.zeros([2, 3]);
  await refused(
    t,
    () => ops.add(a, Tensor.zeros([3, 2])),
    'ERR_SHAPE',
    /b must have shape \[2, 3\]; received \[3, 2\]/,
  );
  await refused(t, () => ops.add(a, Tensor.zeros([2, 3], 'i32')), 'ERR_DTYPE', /b must be f32; received i32/);
  await refused(t, () => ops.add(a, a, { activation: 'tanh' as 'relu' }), 'ERR_ARGUMENT', /activation must be one of/);
});
