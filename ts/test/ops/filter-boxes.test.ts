import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { f32, floats, ints, randomBoxes, randomIntegers, rejects, spoil } from '../support/boxes.js';
import { forEachVariant } from '../support/ops.js';

interface Options {
  readonly classes: number;
  readonly background: number;
  readonly scoreThreshold: number;
  readonly minSize: number;
  readonly strictSize: boolean;
}

function filter(boxes: Float32Array, scores: Float32Array, capacity: number, options: Options): number[] {
  const { classes, background, scoreThreshold, minSize, strictSize } = options;
  const large = (side: number): boolean => (strictSize ? side > f32(minSize) : side >= f32(minSize));
  const passed = [...scores.keys()].filter(
    (m) =>
      scores[m]! > f32(scoreThreshold) &&
      m % classes !== background &&
      large(f32(boxes[m * 4 + 2]! - boxes[m * 4]!)) &&
      large(f32(boxes[m * 4 + 3]! - boxes[m * 4 + 1]!)),
  );
  if (passed.length > capacity) passed.sort((a, b) => scores[b]! - scores[a]! || a - b).length = capacity;
  return passed.sort((a, b) => a - b);
}

forEachVariant(test, 'filterBoxes', 'keeps what passes, the best where there are too many', async (t, device) => {
  for (const [index, [rows, classes, capacity]] of (
    [
      [1, 1, 1],
      [15, 1, 15],
      [16, 1, 16],
      [17, 1, 17],
      [300, 5, 1500],
      [300, 5, 40],
      [2000, 3, 100],
      [50, 4, 0],
    ] as const
  ).entries()) {
    const count = rows * classes;
    const boxes = spoil(index, randomBoxes(index, count), 0.02);
    // Few distinct scores: ties at the cut.
    const scores = spoil(
      index + 50,
      Float32Array.from(randomIntegers(index, count, 0, 9), (s) => s / 10),
      0.02,
    );
    const options = {
      classes,
      background: classes > 1 ? 0 : -1,
      scoreThreshold: 0.3,
      minSize: 6,
      strictSize: index % 2 === 1,
    };
    const expected = filter(boxes, scores, capacity, options);
    const result = await device.run(() =>
      ops.filterBoxes(Tensor.from(boxes, [1, count, 4]), Tensor.from(scores, [1, count]), { ...options, capacity }),
    );
    t.deepEqual([...result.indices.data], expected);
    t.deepEqual(
      [...result.classes.data],
      expected.map((m) => m % classes),
    );
    t.deepEqual([...result.counts.data], [expected.length]);
  }
});

forEachVariant(test, 'filterBoxes', 'treats images apart and takes row counts', async (t, device) => {
  const boxes = randomBoxes(3, 3 * 8);
  const scores = new Float32Array(24).fill(1);
  const result = await device.run(() =>
    ops.filterBoxes(Tensor.from(boxes, [3, 4, 2, 4]), Tensor.from(scores, [3, 4, 2]), {
      classes: 2,
      counts: ints([2, -5, 9]),
    }),
  );
  t.deepEqual(result.indices.shape, [3, 8]);
  t.deepEqual([...result.counts.data], [4, 0, 8]);
  t.deepEqual([...result.indices.data.slice(0, 4)], [0, 1, 2, 3]);
  t.deepEqual([...result.indices.data.slice(16)], [0, 1, 2, 3, 4, 5, 6, 7]);
  t.deepEqual([...result.classes.data.slice(16)], [0, 1, 0, 1, 0, 1, 0, 1]);
});

forEachVariant(test, 'filterBoxes', 'by default refuses NaN only', async (t, device) => {
  const boxes = floats([0, 0, 1, 1, 5, 5, 2, 2, 0, NaN, 1, 1, 0, 0, 1, 1, 3, 3, 3, 3], [1, 5, 4]);
  const scores = floats([1, -7, 1, NaN, 0], [1, 5]);
  const result = await device.run(() => ops.filterBoxes(boxes, scores));
  t.deepEqual([...result.indices.data], [0, 1, 4]);
  const strict = await device.run(() => ops.filterBoxes(boxes, scores, { strictSize: true }));
  t.deepEqual([...strict.indices.data], [0]);
});

forEachVariant(test, 'filterBoxes', 'refuses what does not fit', async (t, device) => {
  const boxes = Tensor.from(randomBoxes(1, 6), [1, 6, 4]);
  const scores = Tensor.from(new Float32Array(6), [1, 6]);
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.filterBoxes(boxes, scores, { classes: 4 })));
  await rejects(t, 'ERR_ARGUMENT', () => device.run(() => ops.filterBoxes(boxes, scores, { background: 1 })));
  await rejects(t, 'ERR_ARGUMENT', () => device.run(() => ops.filterBoxes(boxes, scores, { scoreThreshold: NaN })));
  await rejects(t, 'ERR_SHAPE', () =>
    device.run(() => ops.filterBoxes(boxes, Tensor.from(new Float32Array(5), [1, 5]))),
  );
});
