import test from 'ava';
import { Device, ops, Tensor } from '../../src/index.js';
import { box, floats, ints, iou, randomBoxes, randomIntegers, rejects, spoil } from '../support/boxes.js';
import { sortedIndices } from '../support/order.js';
import { forEachVariant, randomSource } from '../support/ops.js';

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

/** INSTASEG_NMS_CASES: more of them, for builds and devices that are quick. */
const RANDOM_CASES = Number(process.env['INSTASEG_NMS_CASES'] ?? 300);
const CASES_A_RUN = 12;

forEachVariant(test, 'nms', 'keeps what the scalar variant keeps in random cases with ties', async (t, device) => {
  const oracle = await Device.open('cpu', { threads: 1, variant: 'reference' });
  try {
    for (let seed = 0; seed * CASES_A_RUN < RANDOM_CASES; seed += 1) {
      const next = randomSource(seed + 1000);
      const pick = <T>(...values: T[]): T => values[Math.floor(next() * values.length)]!;
      const capacity = 1 + Math.floor(next() * pick(20, 70, 200));
      const total = CASES_A_RUN * capacity;
      // Corners on a grid make IoUs of few values, many of them at a threshold; few scores make ties.
      const [step, levels] = [pick(1, 4, 0.125), pick(1, 5, 40, 1e6)];
      const extent = pick(30, 100);
      const boxes = randomBoxes(seed, total, extent, 40).map((value) => Math.round(value / step) * step);
      const scores = Float32Array.from({ length: total }, () => Math.floor(next() * levels) / levels);
      const groups = pick(0, 1, 3, 80);
      const options = {
        iouThreshold: pick(0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.9, 1 / 3, next()),
        ...(groups > 0 && {
          groups: Tensor.from(randomIntegers(seed, total, 0, groups - 1), [CASES_A_RUN, capacity]),
        }),
        ...(next() < 0.5 && { maxOutput: Math.floor(next() * capacity) }),
        counts: ints(Array.from({ length: CASES_A_RUN }, (_, i) => (i % 3 ? capacity : Math.floor(next() * capacity)))),
      };
      const places = Tensor.from(next() < 0.3 ? spoil(seed, boxes, 0.02) : boxes, [CASES_A_RUN, capacity, 4]);
      const values = Tensor.from(next() < 0.3 ? spoil(seed + 1, scores, 0.02) : scores, [CASES_A_RUN, capacity]);
      const run = (on: Device) => on.run(() => ops.nms(places, values, options));
      const [actual, expected] = [await run(device), await run(oracle)];
      t.deepEqual(actual.counts.data, expected.counts.data, `run ${seed}`);
      const limit = expected.indices.shape[1]!;
      for (const [image, kept] of expected.counts.data.entries()) {
        const list = (of: typeof expected) => of.indices.data.subarray(image * limit, image * limit + kept);
        t.deepEqual(list(actual), list(expected), `run ${seed}, image ${image}`);
      }
    }
  } finally {
    await oracle.dispose();
  }
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
