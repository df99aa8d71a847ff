import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { forEachVariant } from '../support/ops.js';
import { offsetOf, positions, refused } from './checks.js';

const arrays = { f32: Float32Array, i32: Int32Array, u8: Uint8Array } as const;

forEachVariant(test, 'slice', 'takes blocks of any axes', async (t, device) => {
  const shape = [3, 4, 5, 6];
  const blocks = [
    [
      [0, 0, 0, 0],
      [-1, -1, -1, -1],
    ],
    [
      [1, 0, 0, 0],
      [2, 4, 5, 6],
    ],
    [
      [0, 2, 0, 0],
      [-1, 1, -1, -1],
    ],
    [
      [0, 0, 1, 0],
      [3, 4, 3, -1],
    ],
    [
      [0, 0, 0, 5],
      [-1, -1, -1, 1],
    ],
    [
      [1, 1, 1, 1],
      [1, 2, 3, 4],
    ],
    [
      [3, 0, 0, 0],
      [-1, -1, -1, -1],
    ],
    [
      [0, 0, 2, 0],
      [-1, -1, 0, -1],
    ],
  ] as const;
  for (const dtype of ['f32', 'i32', 'u8'] as const) {
    const input = Tensor.from(new arrays[dtype](Array.from({ length: 360 }, (_, i) => i % 251)), shape);
    for (const [begin, size] of blocks) {
      const output = await device.run(() => ops.slice(input, { begin, size }));
      const expected = shape.map((dim, axis) => (size[axis]! < 0 ? dim - begin[axis]! : size[axis]!));
      t.deepEqual(output.shape, expected);
      t.is(output.dtype, dtype);
      for (const index of positions(expected)) {
        const from = index.map((at, axis) => at + begin[axis]!);
        t.is(output.data[offsetOf(expected, index)], input.data[offsetOf(shape, from)]);
      }
    }
  }
});

forEachVariant(test, 'slice', 'copies long runs in pieces', async (t, device) => {
  const input = Tensor.from(
    Float32Array.from({ length: 2 * 100003 }, (_, i) => i),
    [2, 100003],
  );
  const output = await device.run(() => ops.slice(input, { begin: [1, 3], size: [1, -1] }));
  t.deepEqual(output.data, input.data.slice(100006));
});

test('slice refuses arguments that do not fit', async (t) => {
  const input = Tensor.zeros([4, 3]);
  await refused(t, () => ops.slice(input, { begin: [0], size: [1] }), 'ERR_ARGUMENT', /must have 2 numbers/);
  await refused(t, () => ops.slice(input, { begin: [0, 4], size: [1, 0] }), 'ERR_SHAPE', /outside axis 1/);
  await refused(t, () => ops.slice(input, { begin: [2, 0], size: [3, 1] }), 'ERR_SHAPE', /outside axis 0/);
  await refused(t, () => ops.slice(input, { begin: [-1, 0], size: [1, 1] }), 'ERR_ARGUMENT', /begin must be/);
  await refused(t, () => ops.slice(input, { begin: [0, 0], size: [1, -2] }), 'ERR_ARGUMENT', /size must be/);
});
