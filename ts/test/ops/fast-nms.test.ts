import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { box, f32, floats, ints, iou, randomBoxes, randomIntegers, rejects, spoil } from '../support/boxes.js';
import { forEachVariant } from '../support/ops.js';
import { sortedIndices } from '../support/order.js';
import { sameBits } from './checks.js';

const KINDS = ['fast', 'cross-class', 'traditional'] as const;
type Kind = (typeof KINDS)[number];

interface Options {
  readonly kind: Kind;
  readonly iouThreshold: number;
  readonly scoreThreshold: number;
  readonly topK: number;
  readonly maxOutput: number;
}

interface Found {
  readonly score: number;
  readonly candidate: number;
  readonly label: number;
}

/** Both end pixels belong to a side; f32, operation by operation. */
function pixelIou(a: readonly number[], b: readonly number[]): number {
  const side = (high: number, low: number): number => f32(f32(high - low) + 1);
  const area = (c: readonly number[]): number => f32(side(c[2]!, c[0]!) * side(c[3]!, c[1]!));
  const overlap = (low: number, high: number): number =>
    Math.max(side(Math.min(a[high]!, b[high]!), Math.max(a[low]!, b[low]!)), 0);
  const intersection = f32(overlap(0, 2) * overlap(1, 3));
  return f32(intersection / f32(f32(area(a) + area(b)) - intersection));
}

function byScore(list: readonly Found[]): Found[] {
  return sortedIndices(
    list.map(({ score }) => score),
    true,
  ).map((i) => list[i]!);
}

/** What is left of one list, given in the order of candidates: the definitions, with the matrix of all IoUs. */
function left(boxes: Float32Array, list: readonly Found[], options: Options): Found[] {
  const { kind, iouThreshold, topK } = options;
  if (kind === 'traditional') {
    const kept: Found[] = [];
    const pixels = boxes.map((value) => f32(value * 550));
    for (const entry of byScore(list)) {
      const overlaps = kept.map(({ candidate }) => pixelIou(box(pixels, candidate), box(pixels, entry.candidate)));
      if (!overlaps.some((value) => value >= f32(iouThreshold))) kept.push(entry);
    }
    return kept;
  }
  const sorted = byScore(list).slice(0, topK);
  return sorted.filter((entry, rank) => {
    const overlaps = sorted
      .slice(0, rank)
      .map(({ candidate }) => iou(box(boxes, candidate), box(boxes, entry.candidate)));
    return !overlaps.some((value) => value > f32(iouThreshold));
  });
}

/** `scores`: [candidates, classes]. */
function detect(boxes: Float32Array, scores: Float32Array, classes: number, options: Options): Found[] {
  const rows = Array.from({ length: boxes.length / 4 }, (_, candidate) =>
    Array.from(scores.subarray(candidate * classes, (candidate + 1) * classes), (score, label) => ({
      score,
      candidate,
      label,
    })),
  );
  const passes = ({ score }: Found): boolean => score > f32(options.scoreThreshold);
  if (options.kind === 'cross-class') {
    const best = rows.filter((row) => !row.some(({ score }) => Number.isNaN(score))).map((row) => byScore(row)[0]!);
    return left(boxes, best.filter(passes), options);
  }
  const found = Array.from({ length: classes }, (_, label) =>
    left(boxes, rows.map((row) => row[label]!).filter(passes), options),
  ).flat();
  found.sort((a, b) => a.candidate - b.candidate || a.label - b.label);
  return byScore(found).slice(0, options.maxOutput);
}

/** Relative boxes, many of them overlapping; scores from few values: ties. */
function randomCase(seed: number, count: number, classes: number, levels = 40): [Float32Array, Float32Array] {
  const boxes = randomBoxes(seed, count, 60, 50).map((value) => f32(value / 100));
  return [boxes, Float32Array.from(randomIntegers(seed + 1, count * classes, 0, levels), (s) => s / levels)];
}

function listed(found: readonly Found[]): Record<'indices' | 'classes' | 'scores', number[]> {
  return {
    indices: found.map(({ candidate }) => candidate),
    classes: found.map(({ label }) => label),
    scores: found.map(({ score }) => score),
  };
}

forEachVariant(test, 'fastNms', 'equals the definition', async (t, device) => {
  for (const [seed, [count, classes, topK, maxOutput, iouThreshold, scoreThreshold]] of (
    [
      [0, 3, 200, 100, 0.5, -Infinity],
      [1, 1, 200, 100, 0.5, -Infinity],
      [7, 2, 200, 100, 0.3, 0.05],
      [9, 8, 8, 100, 0.5, -Infinity],
      [40, 9, 16, 30, 0.5, 0.2],
      [60, 17, 20, 100, 0.7, -Infinity],
      [300, 3, 270, 1000, 0.4, 0.1],
      [300, 2, 200, 0, 0.4, 0.1],
      [30, 5, 0, 10, 0.5, -Infinity],
      [20, 4, 200, 100, 1, 0.05],
    ] as const
  ).entries()) {
    const [boxes, scores] = randomCase(seed, count, classes);
    for (const [values, places] of [
      [scores, boxes],
      [spoil(seed + 5, scores, 0.03), spoil(seed, boxes, 0.02)],
    ] as const) {
      for (const kind of KINDS) {
        const options = { kind, topK, maxOutput, iouThreshold, scoreThreshold };
        const result = await device.run(() =>
          ops.fastNms(Tensor.from(places, [1, count, 4]), Tensor.from(values, [1, count, classes]), options),
        );
        const expected = detect(places, values, classes, options);
        const { indices, classes: labels, scores: kept, counts } = result;
        const actual = { indices: [...indices.data], classes: [...labels.data], scores: [...kept.data] };
        t.deepEqual(actual, listed(expected), `${kind} ${count} x ${classes}`);
        t.deepEqual([...counts.data], [expected.length]);
      }
    }
  }
});

forEachVariant(
  test,
  'fastNms',
  'treats images apart, takes counts and leaves the background out',
  async (t, device) => {
    const [images, count, classes] = [3, 30, 6];
    const [boxes, scores] = randomCase(3, images * count, classes);
    const counts = [30, 0, 11];
    for (const kind of KINDS) {
      const options = { kind, iouThreshold: 0.4, scoreThreshold: 0.1, topK: 25, maxOutput: 40 };
      const result = await device.run(() =>
        ops.fastNms(Tensor.from(boxes, [images, count, 4]), Tensor.from(scores, [images, count, classes]), {
          ...options,
          background: true,
          counts: ints(counts),
        }),
      );
      const capacity = kind === 'cross-class' ? 25 : 40;
      t.deepEqual(result.indices.shape, [images, capacity]);
      for (const [image, valid] of counts.entries()) {
        const own = scores.subarray(image * count * classes, (image * count + valid) * classes);
        const foreground = own.filter((_, i) => i % classes > 0);
        const places = boxes.subarray(image * count * 4, (image * count + valid) * 4);
        const expected = detect(places, foreground, classes - 1, options);
        t.is(result.counts.data[image], expected.length);
        const [begin, end] = [image * capacity, image * capacity + expected.length];
        t.deepEqual(
          {
            indices: [...result.indices.data.subarray(begin, end)],
            classes: [...result.classes.data.subarray(begin, end)],
            scores: [...result.scores.data.subarray(begin, end)],
          },
          listed(expected),
          `${kind} image ${image}`,
        );
      }
    }
  },
);

forEachVariant(test, 'fastNms', 'lets dropped boxes suppress in the fast kinds only', async (t, device) => {
  // Each overlaps the next by 0.6, the one after by less than 0.5.
  const boxes = floats([0, 0, 1, 1, 0.25, 0, 1.25, 1, 0.5, 0, 1.5, 1], [1, 3, 4]);
  const scores = floats([0.9, 0.8, 0.7], [1, 3, 1]);
  const run = async (kind: Kind, iouThreshold = 0.5) => {
    const { indices } = await device.run(() => ops.fastNms(boxes, scores, { kind, iouThreshold }));
    return [...indices.data];
  };
  t.deepEqual(await run('fast'), [0]);
  t.deepEqual(await run('cross-class'), [0]);
  t.deepEqual(await run('traditional'), [0, 2]);
  // An IoU equal to the threshold: kept by the fast kinds, dropped by the traditional one.
  t.deepEqual(await run('fast', 0.6), [0, 1, 2]);
  const same = floats([0, 0, 1, 1, 0, 0, 1, 1], [1, 2, 4]);
  const two = floats([0.9, 0.8], [1, 2, 1]);
  for (const [kind, kept] of [
    ['fast', 2],
    ['traditional', 1],
  ] as const) {
    const { counts } = await device.run(() => ops.fastNms(same, two, { kind, iouThreshold: 1 }));
    t.deepEqual([...counts.data], [kept]);
  }
});

test('fastNms gives the same lists with any thread count and instruction set', async (t) => {
  const [boxes, scores] = randomCase(1, 2 * 500, 40, 10000);
  const [places, values] = [Tensor.from(boxes, [2, 500, 4]), Tensor.from(scores, [2, 500, 40])];
  for (const kind of KINDS) {
    await sameBits(t, 'fastNms', () => ops.fastNms(places, values, { kind, iouThreshold: 0.5 }).indices);
  }
});

forEachVariant(test, 'fastNms', 'refuses what does not fit', async (t, device) => {
  const [boxes, scores] = [floats([0, 0, 1, 1], [1, 1, 4]), floats([1, 1], [1, 1, 2])];
  const run =
    (...args: Parameters<typeof ops.fastNms>) =>
    () =>
      device.run(() => ops.fastNms(...args));
  await rejects(t, 'ERR_SHAPE', run(boxes, floats([1, 1], [1, 2, 1]), { iouThreshold: 0.5 }));
  await rejects(t, 'ERR_SHAPE', run(boxes, floats([1], [1, 1]), { iouThreshold: 0.5 }));
  await rejects(t, 'ERR_SHAPE', run(boxes, floats([1], [1, 1, 1]), { iouThreshold: 0.5, background: true }));
  await rejects(t, 'ERR_DTYPE', run(boxes, ints([1, 1], [1, 1, 2]), { iouThreshold: 0.5 }));
  await rejects(t, 'ERR_SHAPE', run(boxes, scores, { iouThreshold: 0.5, counts: ints([1, 1]) }));
  await rejects(t, 'ERR_ARGUMENT', run(boxes, scores, { iouThreshold: 0 }));
  await rejects(t, 'ERR_ARGUMENT', run(boxes, scores, { iouThreshold: NaN }));
  await rejects(t, 'ERR_ARGUMENT', run(boxes, scores, { iouThreshold: 0.5, topK: -1 }));
  await rejects(t, 'ERR_ARGUMENT', run(boxes, scores, { iouThreshold: 0.5, maxOutput: 1.5 }));
  await rejects(t, 'ERR_ARGUMENT', run(boxes, scores, { iouThreshold: 0.5, maxSize: 0 }));
  await rejects(t, 'ERR_ARGUMENT', run(boxes, scores, { iouThreshold: 0.5, kind: 'soft' as Kind }));
});
