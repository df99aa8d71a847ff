import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { f32, ints, randomBoxes, rejects } from '../support/boxes.js';
import { assertClose, forEachVariant } from '../support/ops.js';

const sizes = ints([427, 640, 800, 1199, 37, 211, 140, 800], [2, 4]);

function scale(boxes: Float32Array, perImage: number): Float32Array {
  return boxes.map((value, i) => {
    const at = Math.floor(i / 4 / perImage) * 4 + (i % 2 ? 0 : 1);
    return f32(value * f32(sizes.data[at]! / sizes.data[at + 2]!));
  });
}

forEachVariant(test, 'scaleBoxes', 'multiplies by the f32 ratio of each axis', async (t, device) => {
  for (const count of [0, 1, 7, 50]) {
    const boxes = randomBoxes(count, count * 2, 700);
    const result = await device.run(() => ops.scaleBoxes(Tensor.from(boxes, [2, count, 4]), sizes));
    t.deepEqual(result.shape, [2, count, 4]);
    assertClose(t, result.data, scale(boxes, count));
  }
  const boxes = randomBoxes(9, 10);
  const counted = await device.run(() =>
    ops.scaleBoxes(Tensor.from(boxes, [2, 5, 4]), sizes, { counts: ints([5, 1]) }),
  );
  assertClose(t, counted.data.slice(0, 24), scale(boxes, 5).slice(0, 24));
});

forEachVariant(test, 'scaleBoxes', 'refuses what does not fit', async (t, device) => {
  const boxes = Tensor.from(randomBoxes(1, 6), [3, 2, 4]);
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.scaleBoxes(boxes, sizes)));
  await rejects(t, 'ERR_DTYPE', () =>
    device.run(() => ops.scaleBoxes(boxes, Tensor.from(new Float32Array(12), [3, 4]))),
  );
});
