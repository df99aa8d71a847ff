import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { box, iou, randomBoxes, rejects, spoil } from '../support/boxes.js';
import { assertClose, forEachVariant } from '../support/ops.js';

forEachVariant(test, 'boxIou', 'equals f32 arithmetic operation by operation', async (t, device) => {
  for (const [n, m] of [
    [1, 1],
    [3, 7],
    [5, 8],
    [4, 9],
    [20, 33],
    [0, 3],
    [3, 0],
  ] as const) {
    const a = spoil(n, randomBoxes(n, n, 60), 0.03);
    const b = spoil(m + 90, randomBoxes(m + 90, m, 60), 0.03);
    const result = await device.run(() => ops.boxIou(Tensor.from(a, [n, 4]), Tensor.from(b, [m, 4])));
    t.deepEqual(result.shape, [n, m]);
    const expected = Array.from({ length: n * m }, (_, i) => iou(box(a, Math.floor(i / m)), box(b, i % m)));
    assertClose(t, result.data, expected);
  }
});

forEachVariant(test, 'boxIou', 'refuses other shapes', async (t, device) => {
  const boxes = Tensor.from(randomBoxes(1, 6), [6, 4]);
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.boxIou(boxes, Tensor.from(boxes.data, [2, 3, 4]))));
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.boxIou(boxes, Tensor.from(boxes.data, [8, 3]))));
});
