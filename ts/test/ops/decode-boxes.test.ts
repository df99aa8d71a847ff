import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { f32, ints, randomBoxes, rejects, spoil } from '../support/boxes.js';
import { assertClose, forEachVariant, randomTensor } from '../support/ops.js';

/** torchvision's BoxCoder.decode in f32; exp rounded from f64. */
function decode(
  boxes: Float32Array,
  deltas: Float32Array,
  classes: number,
  weights: readonly number[],
  clip: number,
): Float32Array {
  const out = new Float32Array(deltas.length);
  for (let i = 0; i < deltas.length / 4; i += 1) {
    const row = Math.floor(i / classes) % (boxes.length / 4);
    for (const axis of [0, 1]) {
      const [low, high] = [boxes[row * 4 + axis]!, boxes[row * 4 + axis + 2]!];
      const side = f32(high - low);
      const centre = f32(low + f32(0.5 * side));
      const moved = f32(f32(f32(deltas[i * 4 + axis]! / weights[axis]!) * side) + centre);
      const stretch = Math.min(f32(deltas[i * 4 + axis + 2]! / weights[axis + 2]!), f32(clip));
      const half = f32(0.5 * f32(f32(Math.exp(stretch)) * side));
      out[i * 4 + axis] = f32(moved - half);
      out[i * 4 + axis + 2] = f32(moved + half);
    }
  }
  return out;
}

const CLIP = Math.log(1000 / 16);
const HEADS = [10, 10, 5, 5];

forEachVariant(test, 'decodeBoxes', 'equals f32 arithmetic operation by operation', async (t, device) => {
  for (const [rows, classes] of [
    [1, 1],
    [63, 1],
    [64, 1],
    [65, 1],
    [7, 91],
    [0, 3],
  ] as const) {
    const boxes = randomBoxes(rows + 1, rows);
    const deltas = randomTensor(classes, [rows, classes * 4], { scale: 8 });
    const result = await device.run(() => ops.decodeBoxes(Tensor.from(boxes, [rows, 4]), deltas, { weights: HEADS }));
    t.deepEqual(result.shape, [rows, classes, 4]);
    assertClose(t, result.data, decode(boxes, deltas.data, classes, HEADS, CLIP));
  }
});

forEachVariant(test, 'decodeBoxes', 'shares boxes between images and clips', async (t, device) => {
  const boxes = randomBoxes(3, 5);
  const deltas = randomTensor(4, [2, 5, 8], { scale: 3 });
  const expected = decode(boxes, deltas.data, 2, [1, 1, 1, 1], 1.5);
  for (const shape of [
    [5, 4],
    [1, 5, 4],
  ]) {
    const result = await device.run(() => ops.decodeBoxes(Tensor.from(boxes, shape), deltas, { clip: 1.5 }));
    t.deepEqual(result.shape, [2, 5, 2, 4]);
    assertClose(t, result.data, expected);
  }
  const own = randomBoxes(5, 10);
  const flat = Tensor.from(deltas.data, [10, 8]);
  const result = await device.run(() => ops.decodeBoxes(Tensor.from(own, [2, 5, 4]), flat));
  t.deepEqual(result.shape, [2, 5, 2, 4]);
  assertClose(t, result.data, decode(own, deltas.data, 2, [1, 1, 1, 1], CLIP));
});

forEachVariant(test, 'decodeBoxes', 'computes the counted rows only', async (t, device) => {
  const boxes = randomBoxes(6, 12);
  const deltas = randomTensor(7, [2, 6, 12], { scale: 2 });
  const expected = decode(boxes, deltas.data, 3, [1, 1, 1, 1], CLIP);
  const result = await device.run(() =>
    ops.decodeBoxes(Tensor.from(boxes, [2, 6, 4]), deltas, { counts: ints([4, 9]) }),
  );
  assertClose(t, result.data.slice(0, 4 * 12), expected.slice(0, 4 * 12));
  assertClose(t, result.data.slice(6 * 12), expected.slice(6 * 12));
});

forEachVariant(test, 'decodeBoxes', 'passes on NaN and infinities', async (t, device) => {
  const boxes = spoil(8, randomBoxes(8, 100), 0.1);
  const deltas = spoil(9, randomTensor(9, [100, 4], { scale: 5 }).data, 0.1);
  const result = await device.run(() => ops.decodeBoxes(Tensor.from(boxes, [100, 4]), Tensor.from(deltas, [100, 4])));
  assertClose(t, result.data, decode(boxes, deltas, 1, [1, 1, 1, 1], CLIP));
});

forEachVariant(test, 'decodeBoxes', 'refuses what does not fit', async (t, device) => {
  const boxes = Tensor.from(randomBoxes(1, 6), [6, 4]);
  const run =
    (deltas: Tensor, options = {}) =>
    () =>
      device.run(() => ops.decodeBoxes(boxes, deltas, options));
  await rejects(t, 'ERR_SHAPE', run(randomTensor(1, [5, 4])));
  await rejects(t, 'ERR_SHAPE', run(randomTensor(1, [6, 5])));
  await rejects(t, 'ERR_SHAPE', run(randomTensor(1, [2, 5, 4])));
  await rejects(t, 'ERR_ARGUMENT', run(randomTensor(1, [6, 4]), { weights: [1, 1, 1] }));
  await rejects(t, 'ERR_ARGUMENT', run(randomTensor(1, [6, 4]), { weights: [1, 1, 1, 0] }));
  await rejects(t, 'ERR_DTYPE', run(ints(Array(24).fill(0), [6, 4])));
});
