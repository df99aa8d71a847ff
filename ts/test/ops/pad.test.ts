import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { forEachVariant } from '../support/ops.js';
import { offsetOf, positions, refused } from './checks.js';

const arrays = { f32: Float32Array, i32: Int32Array, u8: Uint8Array } as const;

forEachVariant(test, 'pad', 'surrounds any axes', async (t, device) => {
  const shape = [2, 3, 4];
  const cases = [
    [
      [0, 0, 0],
      [0, 0, 0],
    ],
    [
      [1, 0, 0],
      [0, 0, 0],
    ],
    [
      [0, 2, 0],
      [0, 1, 0],
    ],
    [
      [0, 0, 1],
      [0, 0, 3],
    ],
    [
      [1, 2, 3],
      [3, 2, 1],
    ],
  ] as const;
  for (const dtype of ['f32', 'i32', 'u8'] as const) {
    const input = Tensor.from(arrays[dtype].from(Array.from({ length: 24 }, (_, i) => i + 1)), shape);
    for (const [before, after] of cases) {
      const output = await device.run(() => ops.pad(input, { before, after, value: 77 }));
      const expected = shape.map((dim, axis) => dim + before[axis]! + after[axis]!);
      t.deepEqual(output.shape, expected);
      t.is(output.dtype, dtype);
      for (const index of positions(expected)) {
        const from = index.map((at, axis) => at - before[axis]!);
        const inside = from.every((at, axis) => at >= 0 && at < shape[axis]!);
        t.is(output.data[offsetOf(expected, index)], inside ? input.data[offsetOf(shape, from)] : 77);
      }
    }
  }
});

forEachVariant(test, 'pad', 'takes infinity, keeps NaN and fills around nothing', async (t, device) => {
  const input = Tensor.from(Float32Array.of(NaN, -1));
  const lowest = await device.run(() => ops.pad(input, { before: [1], after: [2], value: -Infinity }));
  t.deepEqual([...lowest.data], [-Infinity, NaN, -1, -Infinity, -Infinity]);
  const empty = await device.run(() => ops.pad(Tensor.zeros([0, 2]), { before: [1, 0], after: [1, 1] }));
  t.deepEqual(empty.shape, [2, 3]);
  t.deepEqual([...empty.data], [0, 0, 0, 0, 0, 0]);
});

test('pad refuses arguments that do not fit', async (t) => {
  const input = Tensor.zeros([4, 3]);
  await refused(t, () => ops.pad(input, { before: [1], after: [1] }), 'ERR_ARGUMENT', /must have 2 numbers/);
  await refused(t, () => ops.pad(input, { before: [-1, 0], after: [0, 0] }), 'ERR_ARGUMENT', /before must be/);
  await refused(
    t,
    () => ops.pad(input, { before: [0, 0], after: [0, 0], value: NaN }),
    'ERR_ARGUMENT',
    /value must be/,
  );
  const bytes = Tensor.zeros([2], 'u8');
  await refused(t, () => ops.pad(bytes, { before: [0], after: [1], value: 256 }), 'ERR_ARGUMENT', /256 is not an u8/);
  await refused(t, () => ops.pad(bytes, { before: [0], after: [1], value: 0.5 }), 'ERR_ARGUMENT', /0.5 is not an u8/);
});
