import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { floats, ints, randomIntegers, rejects } from '../support/boxes.js';
import { forEachVariant, integerTensor } from '../support/ops.js';

forEachVariant(test, 'gatherRows', 'copies the rows that indices name', async (t, device) => {
  for (const [images, shared, rows, kept, width] of [
    [1, false, 1, 1, 1],
    [2, false, 7, 5, 1],
    [3, true, 7, 9, 4],
    [2, false, 300, 1000, 4],
    [2, true, 4, 3, 17],
    [2, false, 4, 0, 3],
    [2, false, 4, 3, 0],
  ] as const) {
    const input = integerTensor(width, [shared ? 1 : images, rows, width], -99, 99);
    const indices = randomIntegers(kept, images * kept, 0, rows - 1);
    const expected: number[] = [];
    indices.forEach((index, i) => {
      const image = shared ? 0 : Math.floor(i / kept);
      for (let c = 0; c < width; c += 1) expected.push(input.data[(image * rows + index) * width + c]!);
    });
    const index = Tensor.from(indices, [images, kept]);
    const result = await device.run(() => ops.gatherRows(input, index));
    t.deepEqual(result.shape, [images, kept, width]);
    t.deepEqual([...result.data], expected);
    const integers = Tensor.from(Int32Array.from(input.data), input.shape);
    const copied = await device.run(() => ops.gatherRows(integers, index));
    t.is(copied.dtype, 'i32');
    t.deepEqual([...copied.data], expected);
  }
});

forEachVariant(test, 'gatherRows', 'gathers single values and counted rows', async (t, device) => {
  const input = floats([1, 2, NaN, 4, 5, 6], [2, 3]);
  const result = await device.run(() =>
    ops.gatherRows(input, ints([2, 0, 77, 1, 1, 0], [2, 3]), { counts: ints([2, 3]) }),
  );
  t.deepEqual(result.shape, [2, 3]);
  t.deepEqual([...result.data.slice(0, 2)], [NaN, 1]);
  t.deepEqual([...result.data.slice(3)], [5, 5, 4]);
});

forEachVariant(test, 'gatherRows', 'refuses indices outside and what does not fit', async (t, device) => {
  const input = floats([1, 2, 3, 4], [1, 4]);
  for (const index of [4, -1, 2 ** 31 - 1]) {
    await rejects(t, 'ERR_ARGUMENT', () => device.run(() => ops.gatherRows(input, ints([0, index], [1, 2]))));
  }
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.gatherRows(input, ints([0]))));
  await rejects(t, 'ERR_SHAPE', () =>
    device.run(() => ops.gatherRows(Tensor.from(input.data, [2, 2]), ints([0, 0, 0], [3, 1]))),
  );
  await rejects(t, 'ERR_DTYPE', () => device.run(() => ops.gatherRows(input, floats([0], [1, 1]))));
  t.deepEqual([...(await device.run(() => ops.gatherRows(input, ints([3], [1, 1])))).data], [4]);
});
