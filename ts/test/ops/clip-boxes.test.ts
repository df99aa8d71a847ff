import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { ints, randomBoxes, rejects, spoil } from '../support/boxes.js';
import { assertClose, forEachVariant } from '../support/ops.js';

/** Math.max and Math.min pass NaN on, as torch.clamp does. */
function clip(boxes: Float32Array, perImage: number, sizes: readonly (readonly [number, number])[]): Float32Array {
  return boxes.map((value, i) => {
    const [height, width] = sizes[Math.floor(i / 4 / perImage)]!;
    return Math.min(Math.max(value, 0), i % 2 ? height : width);
  });
}

forEachVariant(test, 'clipBoxes', 'clips to the size of each image', async (t, device) => {
  const boxes = spoil(1, randomBoxes(1, 2 * 9 * 3));
  const sizes = ints([400, 300, 61, 83, 400, 300, 40, 50], [2, 4]);
  const input = Tensor.from(boxes, [2, 9, 3, 4]);
  const resized = await device.run(() => ops.clipBoxes(input, { sizes }));
  t.deepEqual(resized.shape, [2, 9, 3, 4]);
  const expected = clip(boxes, 27, [
    [61, 83],
    [40, 50],
  ]);
  assertClose(t, resized.data, expected);
  const flat = await device.run(() => ops.clipBoxes(Tensor.from(boxes, [54, 4]), { sizes }));
  assertClose(t, flat.data, expected);
  const original = await device.run(() => ops.clipBoxes(input, { sizes, to: 'original' }));
  assertClose(t, original.data, clip(boxes, 54, [[400, 300]]));
  const counted = await device.run(() => ops.clipBoxes(input, { sizes, counts: ints([2, 9]) }));
  assertClose(t, counted.data.slice(0, 24), expected.slice(0, 24));
  assertClose(t, counted.data.slice(108), expected.slice(108));
});

forEachVariant(test, 'clipBoxes', 'clips to a fixed size', async (t, device) => {
  for (const count of [0, 1, 5, 33]) {
    const boxes = randomBoxes(count, count);
    const result = await device.run(() => ops.clipBoxes(Tensor.from(boxes, [count, 4]), { size: [30, 60] }));
    assertClose(t, result.data, clip(boxes, count, [[30, 60]]));
  }
});

forEachVariant(test, 'clipBoxes', 'refuses what does not fit', async (t, device) => {
  const boxes = Tensor.from(randomBoxes(1, 6), [2, 3, 4]);
  const sizes = ints([1, 1, 1, 1], [1, 4]);
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.clipBoxes(boxes, { sizes })));
  await rejects(t, 'ERR_ARGUMENT', () => device.run(() => ops.clipBoxes(boxes, {})));
  await rejects(t, 'ERR_ARGUMENT', () => device.run(() => ops.clipBoxes(boxes, { size: [3, -1] })));
  await rejects(t, 'ERR_SHAPE', () =>
    device.run(() => ops.clipBoxes(Tensor.from(new Float32Array(6), [2, 3]), { size: [3, 3] })),
  );
});
