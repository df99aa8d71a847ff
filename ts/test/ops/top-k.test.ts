import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { floats, ints, randomIntegers, rejects, spoil } from '../support/boxes.js';
import { sortedIndices } from '../support/order.js';
import { forEachVariant, randomTensor } from '../support/ops.js';

forEachVariant(test, 'topK', 'selects in the order of values, then indices, NaN last', async (t, device) => {
  for (const [index, [rows, columns, k]] of (
    [
      [1, 1, 1],
      [2, 15, 3],
      [2, 16, 16],
      [3, 17, 30],
      [1, 5000, 10],
      [2, 5000, 1500],
      [1, 3000, 1],
      [1, 300000, 1000],
      [2, 0, 4],
      [2, 9, 0],
    ] as const
  ).entries()) {
    const random = randomTensor(index, [rows * columns]).data;
    const few = Float32Array.from(randomIntegers(index, rows * columns, -3, 3));
    for (const data of [random, few, spoil(index, few, 0.3), Float32Array.from(random).sort()]) {
      const { values, indices, counts } = await device.run(() => ops.topK(Tensor.from(data, [rows, columns]), { k }));
      const kept = Math.min(k, columns);
      t.deepEqual(values.shape, [rows, kept]);
      t.deepEqual([...counts.data], Array(rows).fill(kept));
      for (let row = 0; row < rows; row += 1) {
        const x = data.subarray(row * columns, (row + 1) * columns);
        const expected = sortedIndices(x, true).slice(0, kept);
        t.deepEqual([...indices.data.subarray(row * kept, (row + 1) * kept)], expected);
        t.deepEqual(
          [...values.data.subarray(row * kept, (row + 1) * kept)],
          expected.map((i) => x[i]!),
        );
      }
    }
  }
});

forEachVariant(test, 'topK', 'takes the number of valid entries', async (t, device) => {
  const input = floats([1, 5, 3, 9, 2, 8, 7, 6, 4, 4, 4, 4], [3, 4]);
  const result = await device.run(() => ops.topK(input, { k: 3, counts: ints([3, 0, 99]) }));
  t.deepEqual([...result.counts.data], [3, 0, 3]);
  t.deepEqual([...result.indices.data.slice(0, 3)], [1, 2, 0]);
  t.deepEqual([...result.indices.data.slice(6)], [0, 1, 2]);
  const nan = await device.run(() => ops.topK(floats([NaN, 1, NaN, -Infinity], [1, 4]), { k: 3 }));
  t.deepEqual([...nan.indices.data], [1, 3, 0]);
});

forEachVariant(test, 'topK', 'refuses bad arguments', async (t, device) => {
  const input = floats([1, 2, 3, 4], [2, 2]);
  await rejects(t, 'ERR_ARGUMENT', () => device.run(() => ops.topK(input, { k: -1 })));
  await rejects(t, 'ERR_ARGUMENT', () => device.run(() => ops.topK(input, { k: 1.5 })));
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.topK(floats([1, 2]), { k: 1 })));
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.topK(input, { k: 1, counts: ints([1]) })));
});
