import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { f32, floats, ints, randomIntegers, rejects } from '../support/boxes.js';
import { forEachVariant, randomSource } from '../support/ops.js';
import { sameBits } from './checks.js';

/** Few rows with a high score, all scores from a small set: ties. */
function randomScores(seed: number, rows: number, classes: number): Float32Array {
  const next = randomSource(seed);
  const scores = Float32Array.from({ length: rows * classes }, () => Math.floor(next() * 5) / 100);
  for (let row = 0; row < rows; row += 1) {
    scores[row * classes] = next();
    if (next() < 0.3) scores[row * classes + Math.floor(next() * classes)] = Math.floor(next() * 10) / 10;
    if (next() < 0.03) scores[row * classes + Math.floor(next() * classes)] = [NaN, Infinity, -Infinity][row % 3]!;
  }
  return scores;
}

function select(scores: Float32Array, classes: number, threshold: number, capacity: number): number[] {
  const best = Array.from({ length: scores.length / classes }, (_, row) =>
    Math.max(...scores.subarray(row * classes + 1, (row + 1) * classes)),
  );
  const passed = [...best.keys()].filter((row) => best[row]! > f32(threshold));
  if (passed.length > capacity) passed.sort((a, b) => best[b]! - best[a]! || a - b).length = capacity;
  return passed.sort((a, b) => a - b);
}

forEachVariant(test, 'selectCandidates', 'keeps what passes, the best where there are too many', async (t, device) => {
  for (const [seed, [rows, classes, capacity, threshold]] of (
    [
      [0, 2, undefined, 0.05],
      [1, 2, undefined, 0.05],
      [15, 17, undefined, 0.05],
      [16, 16, 3, 0.05],
      [17, 18, 0, 0.05],
      [300, 81, undefined, 0.05],
      [300, 81, 40, 0.04],
      [3000, 33, 900, 0.02],
      [3000, 5, 7, -Infinity],
      [50, 3, undefined, 2],
    ] as const
  ).entries()) {
    const scores = randomScores(seed + 1, rows, classes);
    const result = await device.run(() =>
      ops.selectCandidates(Tensor.from(scores, [1, rows, classes]), { threshold, capacity }),
    );
    const expected = select(scores, classes, threshold, capacity ?? rows);
    t.deepEqual([...result.indices.data], expected, `${rows} x ${classes}`);
    t.deepEqual([...result.counts.data], [expected.length]);
  }
});

forEachVariant(test, 'selectCandidates', 'treats images apart', async (t, device) => {
  const [images, rows, classes, capacity] = [3, 70, 9, 12];
  const scores = randomScores(5, images * rows, classes);
  // A background or NaN row is no candidate however high.
  scores.set([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, NaN, 0, 0, 0, 0, 0, 0], 0);
  const result = await device.run(() =>
    ops.selectCandidates(Tensor.from(scores, [images, rows, classes]), { threshold: 0.05, capacity }),
  );
  t.deepEqual(result.indices.shape, [images, capacity]);
  for (let image = 0; image < images; image += 1) {
    const own = scores.subarray(image * rows * classes, (image + 1) * rows * classes);
    const expected = select(own, classes, 0.05, capacity);
    t.is(result.counts.data[image], expected.length);
    const listed = result.indices.data.subarray(image * capacity, image * capacity + expected.length);
    t.deepEqual([...listed], expected);
  }
  t.deepEqual(
    (await device.run(() => ops.selectCandidates(Tensor.zeros([0, 5, 3]), { threshold: 0 }))).counts.shape,
    [0],
  );
});

test('selectCandidates gives the same list with any number of threads', async (t) => {
  const scores = Tensor.from(
    Float32Array.from(randomIntegers(1, 4000 * 21, 0, 1000), (s) => s / 1000),
    [2, 2000, 21],
  );
  await sameBits(t, 'selectCandidates', () => ops.selectCandidates(scores, { threshold: 0.95, capacity: 800 }).indices);
});

forEachVariant(test, 'selectCandidates', 'refuses what does not fit', async (t, device) => {
  const scores = floats([0, 1, 0, 1], [1, 2, 2]);
  const run =
    (...args: Parameters<typeof ops.selectCandidates>) =>
    () =>
      device.run(() => ops.selectCandidates(...args));
  await rejects(t, 'ERR_SHAPE', run(floats([0, 1], [1, 2]), { threshold: 0 }));
  await rejects(t, 'ERR_SHAPE', run(floats([0, 1], [1, 2, 1]), { threshold: 0 }));
  await rejects(t, 'ERR_DTYPE', run(ints([0, 1], [1, 1, 2]), { threshold: 0 }));
  await rejects(t, 'ERR_ARGUMENT', run(scores, { threshold: NaN }));
  await rejects(t, 'ERR_ARGUMENT', run(scores, { threshold: 0, capacity: -1 }));
  await rejects(t, 'ERR_ARGUMENT', run(scores, undefined as unknown as { threshold: number }));
});
