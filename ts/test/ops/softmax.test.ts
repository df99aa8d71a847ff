import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { assertClose, forEachVariant, randomTensor } from '../support/ops.js';
import { positions, offsetOf, refused, sameBits } from './checks.js';

function expected(input: Tensor, axis: number): Float64Array {
  const { shape } = input;
  const at = axis < 0 ? axis + shape.length : axis;
  const result = new Float64Array(input.length);
  for (const index of positions(shape)) {
    const row = Array.from({ length: shape[at]! }, (_, k) => input.data[offsetOf(shape, index.with(at, k))]!);
    const top = Math.max(...row);
    const sum = row.reduce((total, x) => total + Math.exp(x - top), 0);
    result[offsetOf(shape, index)] = Math.exp(row[index[at]!]! - top) / sum;
  }
  return result;
}

forEachVariant(test, 'softmax', 'agrees with the definition on every axis', async (t, device) => {
  const shapes = [[1], [5, 1], [3, 7], [4, 8], [5, 81], [2, 3, 9], [3, 4, 2, 5], [2, 3, 300]];
  for (const [seed, shape] of shapes.entries()) {
    const input = randomTensor(seed + 1, shape, { scale: 8 });
    input.data[0] = 70;
    for (let axis = -shape.length; axis < shape.length; axis += 1) {
      const output = await device.run(() => ops.softmax(input, { axis }));
      t.deepEqual(output.shape, shape);
      assertClose(
        t,
        output.data,
        expected(input, axis),
        { rtol: 2e-6, atol: 1e-9 },
        `${shape.join('x')}, axis ${axis}`,
      );
    }
  }
});

forEachVariant(test, 'softmax', 'spreads NaN over its row only', async (t, device) => {
  for (const bad of [NaN, Infinity]) {
    const input = randomTensor(1, [4, 13]);
    input.data[13 + 4] = bad;
    input.data[39 + 12] = bad;
    const { data } = await device.run(() => ops.softmax(input));
    for (const [i, value] of data.entries())
      t.is(Number.isNaN(value), [1, 3].includes(Math.floor(i / 13)), `${bad} ${i}`);
  }
  const lowest = await device.run(() => ops.softmax(Tensor.from(Float32Array.of(-Infinity, 0, -Infinity, 0))));
  t.deepEqual([...lowest.data], [0, 0.5, 0, 0.5]);
});

forEachVariant(test, 'softmax', 'computes the counted rows of each group', async (t, device) => {
  for (const shape of [
    [12, 9],
    [12, 5, 3],
  ]) {
    const input = randomTensor(3, shape, { scale: 4 });
    const all = expected(input, 1);
    const row = input.length / 12;
    for (const counts of [
      [4, 2, 0],
      [-1, 99, 1],
    ]) {
      const counted = Tensor.from(Int32Array.from(counts));
      const { data } = await device.run(() => ops.softmax(input, { axis: 1, counts: counted }));
      for (const [group, count] of counts.entries()) {
        const [begin, end] = [group * 4 * row, (group * 4 + Math.min(Math.max(count, 0), 4)) * row];
        assertClose(t, data.subarray(begin, end), all.subarray(begin, end), { rtol: 2e-6, atol: 1e-9 });
      }
    }
  }
});

forEachVariant(test, 'softmax', 'accepts empty tensors', async (t, device) => {
  t.deepEqual((await device.run(() => ops.softmax(Tensor.zeros([0, 4])))).shape, [0, 4]);
  t.deepEqual((await device.run(() => ops.softmax(Tensor.zeros([4, 0])))).shape, [4, 0]);
});

test('softmax gives the same bits with any thread count and instruction set', async (t) => {
  const rows = randomTensor(1, [300, 91], { scale: 6 });
  await sameBits(t, 'softmax', () => ops.softmax(rows));
  const planes = randomTensor(2, [3, 17, 1030], { scale: 6 });
  await sameBits(t, 'softmax', () => ops.softmax(planes, { axis: 1 }));
});

test('softmax refuses arguments that do not fit', async (t) => {
  const input = Tensor.zeros([4, 3]);
  await refused(t, () => ops.softmax(input, { axis: 2 }), 'ERR_ARGUMENT', /axis must be from -2 to 1.*received 2/);
  await refused(t, () => ops.softmax(input, { axis: 0.5 }), 'ERR_ARGUMENT', /axis must be an integer/);
  await refused(t, () => ops.softmax(input, { axis: 0, counts: Tensor.zeros([1], 'i32') }), 'ERR_ARGUMENT', /axis 0/);
  await refused(t, () => ops.softmax(input, { counts: Tensor.zeros([3], 'i32') }), 'ERR_SHAPE', /split evenly/);
});
