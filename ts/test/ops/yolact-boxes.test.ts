import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { f32, floats, ints, rejects } from '../support/boxes.js';
import { forEachVariant, randomTensor } from '../support/ops.js';

/** sanitize_coordinates with cast. */
function side(a: number, b: number, size: number, padding: number): [number, number] {
  const [x, y] = [a, b].map((value) => Math.trunc(f32(value * size))) as [number, number];
  return [Math.max(Math.min(x, y) - padding, 0), Math.min(Math.max(x, y) + padding, size)];
}

forEachVariant(test, 'yolactBoxes', 'scales, truncates, swaps and clamps one end each', async (t, device) => {
  const boxes = randomTensor(1, [2, 50, 4], { scale: 1.4 });
  const sizes = ints([480, 641, 0, 0, 333, 1, 0, 0], [2, 4]);
  for (const padding of [undefined, 3]) {
    const result = await device.run(() => ops.yolactBoxes(boxes, sizes, { padding }));
    t.is(result.dtype, 'i32');
    t.deepEqual(result.shape, [2, 50, 4]);
    for (let i = 0; i < 100; i += 1) {
      const [x1, y1, x2, y2] = boxes.data.subarray(i * 4, i * 4 + 4) as unknown as [number, number, number, number];
      const [height, width] = i < 50 ? [480, 641] : [333, 1];
      const [left, right] = side(x1, x2, width, padding ?? 0);
      const [top, bottom] = side(y1, y2, height, padding ?? 0);
      t.deepEqual(
        [...result.data.subarray(i * 4, i * 4 + 4)],
        [left, top, right, bottom].map((value) => value + 0),
      );
    }
  }
});

forEachVariant(test, 'yolactBoxes', 'gives the reference implementation its values', async (t, device) => {
  // box_utils.sanitize_coordinates of dbolya/yolact, size 138.
  const low = [0.1, 0.9, -0.2, 0.5, 1.2, 0.3333, 0, 0.7];
  const high = [0.6, 0.2, 0.4, 0.5, 1.4, 1.01, 1, -0.1];
  const boxes = floats(
    low.flatMap((value, i) => [value, 0, high[i]!, 1]),
    [1, 8, 4],
  );
  const { data } = await device.run(() => ops.yolactBoxes(boxes, ints([10, 138, 0, 0], [1, 4])));
  t.deepEqual(
    low.map((_, i) => [data[i * 4], data[i * 4 + 2]]),
    [
      [13, 82],
      [27, 124],
      [0, 55],
      [69, 69],
      [165, 138],
      [45, 138],
      [0, 138],
      [0, 96],
    ],
  );
});

forEachVariant(test, 'yolactBoxes', 'survives what is no number, takes counts and empty images', async (t, device) => {
  const boxes = floats([NaN, 1e30, Infinity, -1e30, NaN, -Infinity, NaN, Infinity], [1, 2, 4]);
  const { data } = await device.run(() => ops.yolactBoxes(boxes, ints([100, 100, 0, 0], [1, 4])));
  t.deepEqual([...data], [0, 0, 100, 100, 0, 0, 0, 100]);
  const unit = floats([0.5, 0.5, 1, 1, 0.5, 0.5, 1, 1], [1, 2, 4]);
  const one = await device.run(() => ops.yolactBoxes(unit, ints([10, 20, 0, 0], [1, 4]), { counts: ints([1]) }));
  t.deepEqual(one.shape, [1, 1, 4]);
  t.deepEqual([...one.data], [10, 5, 20, 10]);
  const empty = await device.run(() => ops.yolactBoxes(unit, ints([0, -5, 0, 0], [1, 4])));
  t.true(empty.data.every((value) => value === 0));
  t.is((await device.run(() => ops.yolactBoxes(Tensor.zeros([0, 3, 4]), Tensor.zeros([0, 4], 'i32')))).length, 0);
});

forEachVariant(test, 'yolactBoxes', 'refuses what does not fit', async (t, device) => {
  const [boxes, sizes] = [floats([0, 0, 1, 1], [1, 1, 4]), ints([4, 4, 0, 0], [1, 4])];
  const run =
    (...args: Parameters<typeof ops.yolactBoxes>) =>
    () =>
      device.run(() => ops.yolactBoxes(...args));
  await rejects(t, 'ERR_SHAPE', run(floats([0, 0, 1, 1], [1, 4]), sizes));
  await rejects(t, 'ERR_SHAPE', run(boxes, ints([4, 4], [1, 2])));
  await rejects(t, 'ERR_DTYPE', run(boxes, floats([4, 4, 0, 0], [1, 4])));
  await rejects(t, 'ERR_SHAPE', run(boxes, sizes, { counts: ints([1, 1]) }));
  await rejects(t, 'ERR_ARGUMENT', run(boxes, sizes, { padding: -1 }));
});
