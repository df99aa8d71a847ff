import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { floats, randomIntegers, rejects, spoil } from '../support/boxes.js';
import { sortedIndices } from '../support/order.js';
import { forEachVariant, randomTensor } from '../support/ops.js';

forEachVariant(test, 'sort', 'is stable and puts NaN last', async (t, device) => {
  for (const [rows, columns] of [
    [1, 1],
    [3, 255],
    [2, 256],
    [2, 257],
    [1, 5000],
    [4, 0],
  ] as const) {
    const random = spoil(columns, randomTensor(columns, [rows * columns], { scale: 100 }).data, 0.05);
    const few = Float32Array.from(randomIntegers(columns, rows * columns, -2, 2));
    for (const data of [random, few]) {
      for (const descending of [false, true]) {
        const { values, indices } = await device.run(() =>
          ops.sort(Tensor.from(data, [rows, columns]), { descending }),
        );
        for (let row = 0; row < rows; row += 1) {
          const x = data.subarray(row * columns, (row + 1) * columns);
          const expected = sortedIndices(x, descending);
          t.deepEqual([...indices.data.subarray(row * columns, (row + 1) * columns)], expected);
          t.deepEqual(
            [...values.data.subarray(row * columns, (row + 1) * columns)],
            expected.map((i) => x[i]!),
          );
        }
      }
    }
  }
});

forEachVariant(test, 'sort', 'refuses other shapes', async (t, device) => {
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.sort(floats([2, 1]))));
});
