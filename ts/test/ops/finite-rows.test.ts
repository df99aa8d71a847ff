import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { floats, ints, randomBoxes, rejects, spoil } from '../support/boxes.js';
import { forEachVariant } from '../support/ops.js';

function rows(boxes: Float32Array, scores: Float32Array, count: number): number[] {
  const all = (values: Float32Array, row: number): boolean => {
    const width = values.length / count;
    return values.subarray(row * width, (row + 1) * width).every(Number.isFinite);
  };
  return Array.from({ length: count }, (_, row) => row).filter((row) => all(boxes, row) && all(scores, row));
}

forEachVariant(test, 'finiteRows', 'finds the rows of numbers', async (t, device) => {
  for (const [seed, [count, classes]] of (
    [
      [1, 1],
      [7, 3],
      [33, 9],
      [100, 17],
      [2090, 1],
    ] as const
  ).entries()) {
    const boxes = spoil(seed, randomBoxes(seed + 1, count * classes), 0.2 / classes);
    const scores = spoil(seed + 9, new Float32Array(count * (classes + 1)).fill(0.5), 0.2 / classes);
    const found = await device.run(() =>
      ops.finiteRows(Tensor.from(boxes, [1, count, classes * 4]), Tensor.from(scores, [1, count, classes + 1])),
    );
    const expected = rows(boxes, scores, count);
    t.deepEqual([...found.indices.data.subarray(0, found.counts.data[0])], expected);
    t.deepEqual([...found.counts.data], [expected.length]);
  }
});

forEachVariant(test, 'finiteRows', 'keeps the largest numbers and drops what is next to them', async (t, device) => {
  const largest = 3.4028234663852886e38;
  const scores = floats([largest, -largest, Infinity, -Infinity, NaN, -0, 1e-45], [1, 7]);
  const found = await device.run(() => ops.finiteRows(floats(new Array<number>(7).fill(0), [1, 7, 1]), scores));
  t.deepEqual([...found.indices.data], [0, 1, 5, 6]);
});

forEachVariant(test, 'finiteRows', 'treats images apart and takes row counts', async (t, device) => {
  const boxes = floats(new Array<number>(48).fill(1), [3, 4, 4]);
  const scores = floats([1, NaN, 1, 1, 1, 1, 1, 1, NaN, 1, 1, Infinity], [3, 4]);
  const found = await device.run(() => ops.finiteRows(boxes, scores, { counts: ints([3, -1, 9]) }));
  t.deepEqual(found.indices.shape, [3, 4]);
  t.deepEqual([...found.counts.data], [2, 0, 2]);
  t.deepEqual([...found.indices.data.subarray(0, 2)], [0, 2]);
  t.deepEqual([...found.indices.data.subarray(8, 10)], [1, 2]);
});

forEachVariant(test, 'finiteRows', 'gives an image the same rows alone and in a batch', async (t, device) => {
  const [images, count, classes] = [3, 70, 2];
  const boxes = spoil(1, randomBoxes(2, images * count * classes), 0.1);
  const scores = spoil(3, new Float32Array(images * count).fill(0.5), 0.1);
  const batch = await device.run(() =>
    ops.finiteRows(Tensor.from(boxes, [images, count, classes * 4]), Tensor.from(scores, [images, count])),
  );
  for (let n = 0; n < images; n += 1) {
    const part = (values: Float32Array): Float32Array =>
      values.slice((n * values.length) / images, ((n + 1) * values.length) / images);
    const found = batch.indices.data.slice(n * count, n * count + batch.counts.data[n]!);
    t.deepEqual([...found], rows(part(boxes), part(scores), count));
    const alone = await device.run(() =>
      ops.finiteRows(Tensor.from(part(boxes), [1, count, classes * 4]), Tensor.from(part(scores), [1, count])),
    );
    t.is(alone.counts.data[0], found.length);
    t.deepEqual(alone.indices.data.slice(0, found.length), found);
  }
});

forEachVariant(test, 'finiteRows', 'takes no rows, and refuses what does not fit', async (t, device) => {
  const none = await device.run(() => ops.finiteRows(floats([], [1, 0, 4]), floats([], [1, 0])));
  t.deepEqual([...none.counts.data], [0]);
  const boxes = floats([1, 1, 1, 1, 1, 1, 1, 1], [1, 2, 4]);
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.finiteRows(boxes, floats([1, 1, 1], [1, 3]))));
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.finiteRows(boxes, floats([1, 1], [2]))));
  await rejects(t, 'ERR_DTYPE', () => device.run(() => ops.finiteRows(boxes, ints([1, 1], [1, 2]))));
  const counts = ints([1, 1]);
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.finiteRows(boxes, floats([1, 1], [1, 2]), { counts })));
});
