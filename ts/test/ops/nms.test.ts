import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { box, floats, ints, iou, randomBoxes, randomIntegers, rejects, spoil } from '../support/boxes.js';
import { sortedIndices } from '../support/order.js';
import { forEachVariant } from '../support/ops.js';

/** The definition. */
function suppress(
  boxes: Float32Array,
  scores: Float32Array,
  groups: Int32Array | undefined,
  threshold: number,
  limit = Infinity,
): number[] {
  const kept: number[] = [];
  for (const candidate of sortedIndices(scores, true)) {
    if (Number.isNaN(scores[candidate]) || kept.length >= limit) break;
    const lost = kept.some(
      (other) =>
        (!groups || groups[other] === groups[candidate]) && iou(box(boxes, other), box(boxes, candidate)) > threshold,
    );
    if (!lost) kept.push(candidate);
  }
  return kept;
}

forEachVariant(test, 'nms', 'equals the definition', async (t, device) => {
  for (const [index, [count, threshold]] of (
    [
      [0, 0.5],
      [1, 0.5],
      [2, 0.3],
      [7, 0],
      [8, 0.1],
      [9, 0.7],
      [60, 0.5],
      [300, 0.3],
      [700, 0.7],
      [40, 1],
      [40, -0.5],
    ] as const
  ).entries()) {
    const clean = randomBoxes(index, count, 60);
    // Few distinct scores: ties.
    const scores = Float32Array.from(randomIntegers(index, count, 0, 30), (s) => s / 30);
    for (const [boxes, values] of [
      [clean, scores],
      [spoil(index, clean), spoil(index + 9, scores)],
    ] as const) {
      for (const groups of [undefined, randomIntegers(index + 5, count, -2, 3).map((g) => g * 2 ** 29)]) {
        const { indices, counts } = await device.run(() =>
          ops.nms(Tensor.from(boxes, [1, count, 4]), Tensor.from(values, [1, count]), {
            iouThreshold: threshold,
            groups: groups && Tensor.from(groups, [1, count]),
          }),
        );
        const expected = suppress(boxes, values, groups, threshold);
        t.deepEqual([...indices.data], expected, `${count} boxes at ${threshold}`);
        t.deepEqual([...counts.data], [expected.length]);
      }
    }
  }
});

forEachVariant(test, 'nms', 'compares the f32 IoU with the f64 threshold', async (t, device) => {
  // Pairs of IoU 0.5, 0.6, 0.7, 0.3 and 0.9: in f32 0.6 and 0.3 are above the f64 numbers, the others not.
  const pairs = [5, 6, 7, 3, 9].flatMap((height, i) => [
    i * 100,
    0,
    i * 100 + 10,
    10,
    i * 100,
    0,
    i * 100 + 10,
    height,
  ]);
  const scores = floats([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1], [1, 10]);
  const dropped = async (iouThreshold: number): Promise<number[]> => {
    const { indices } = await device.run(() => ops.nms(floats(pairs, [1, 10, 4]), scores, { iouThreshold }));
    return [1, 3, 5, 7, 9].filter((i) => !indices.data.includes(i));
  };
  t.deepEqual(await dropped(0.5), [3, 5, 9]);
  t.deepEqual(await dropped(0.6), [3, 5, 9]);
  t.deepEqual(await dropped(0.7), [9]);
  t.deepEqual(await dropped(0.3), [1, 3, 5, 7, 9]);
  t.deepEqual(await dropped(0.9), []);
});

forEachVariant(test, 'nms', 'treats images apart, stops at maxOutput, keeps empty boxes', async (t, device) => {
  const boxes = randomBoxes(4, 3 * 50, 40);
  const scores = Float32Array.from(randomIntegers(4, 150, 0, 1000), (s) => s / 1000);
  const { indices, counts } = await device.run(() =>
    ops.nms(Tensor.from(boxes, [3, 50, 4]), Tensor.from(scores, [3, 50]), {
      iouThreshold: 0.2,
      maxOutput: 6,
      counts: ints([50, 0, 20]),
    }),
  );
  t.deepEqual(indices.shape, [3, 6]);
  for (const [image, valid] of [50, 0, 20].entries()) {
    const expected = suppress(
      boxes.subarray(image * 200, image * 200 + valid * 4),
      scores.subarray(image * 50, image * 50 + valid),
      undefined,
      0.2,
      6,
    );
    t.is(counts.data[image], expected.length);
    t.deepEqual([...indices.data.subarray(image * 6, image * 6 + expected.length)], expected);
  }
  const none = await device.run(() =>
    ops.nms(Tensor.from(boxes, [3, 50, 4]), Tensor.from(scores, [3, 50]), { iouThreshold: 0.2, maxOutput: 0 }),
  );
  t.deepEqual([...none.counts.data], [0, 0, 0]);
  const empty = await device.run(() =>
    ops.nms(floats([5, 5, 5, 5, 5, 5, 5, 5], [1, 2, 4]), floats([1, 1], [1, 2]), { iouThreshold: 0 }),
  );
  t.deepEqual([...empty.indices.data], [0, 1]);
});

forEachVariant(test, 'nms', 'refuses bad arguments', async (t, device) => {
  const boxes = Tensor.from(randomBoxes(1, 4), [1, 4, 4]);
  const scores = floats([1, 2, 3, 4], [1, 4]);
  const run = (options: object) => () => device.run(() => ops.nms(boxes, scores, { iouThreshold: 0.5, ...options }));
  await rejects(t, 'ERR_ARGUMENT', run({ iouThreshold: undefined }));
  await rejects(t, 'ERR_ARGUMENT', run({ iouThreshold: NaN }));
  await rejects(t, 'ERR_ARGUMENT', run({ maxOutput: -1 }));
  await rejects(t, 'ERR_SHAPE', run({ groups: ints([1, 2, 3], [1, 3]) }));
  await rejects(t, 'ERR_DTYPE', run({ groups: scores }));
  await rejects(t, 'ERR_SHAPE', run({ counts: ints([1, 1]) }));
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.nms(boxes, floats([1]), { iouThreshold: 0.5 })));
});
