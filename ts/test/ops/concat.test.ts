import test from 'ava';
import { ops, Tensor, type DType } from '../../src/index.js';
import { forEachVariant, randomSource } from '../support/ops.js';
import { offsetOf, positions, refused } from './checks.js';

const arrays = { f32: Float32Array, i32: Int32Array, u8: Uint8Array } as const;

function random(seed: number, shape: readonly number[], dtype: keyof typeof arrays): Tensor {
  const next = randomSource(seed);
  const length = shape.reduce((product, dim) => product * dim, 1);
  return Tensor.from(new arrays[dtype](Array.from({ length }, () => Math.floor(next() * 250))), shape);
}

forEachVariant(test, 'concat', 'joins any number of tensors along any axis', async (t, device) => {
  for (const dtype of ['f32', 'i32', 'u8'] as const) {
    for (const [axis, sizes] of [
      [0, [2, 1, 3]],
      [1, [1, 4]],
      [2, [5, 1, 7, 2]],
      [-1, [3]],
      [1, [2, 0, 1]],
    ] as const) {
      const at = axis < 0 ? axis + 3 : axis;
      const inputs = sizes.map((size, i) => random(i + 1, [2, 3, 4].with(at, size), dtype));
      const output = await device.run(() => ops.concat(inputs, { axis }));
      const shape = [2, 3, 4].with(
        at,
        sizes.reduce<number>((sum, size) => sum + size, 0),
      );
      t.deepEqual(output.shape, shape);
      t.is(output.dtype, dtype satisfies DType);
      for (const index of positions(shape)) {
        let k = index[at]!;
        let which = 0;
        while (k >= sizes[which]!) k -= sizes[which++]!;
        const source = inputs[which]!;
        t.is(output.data[offsetOf(shape, index)], source.data[offsetOf(source.shape, index.with(at, k))]);
      }
    }
  }
});

forEachVariant(test, 'concat', 'copies long runs in pieces', async (t, device) => {
  const a = random(1, [100003], 'f32');
  const b = random(2, [70001], 'f32');
  const output = await device.run(() => ops.concat([a, b], { axis: 0 }));
  t.deepEqual(output.data, Float32Array.from([...a.data, ...b.data]));
});

forEachVariant(test, 'concat', 'accepts empty tensors', async (t, device) => {
  const empty = Tensor.zeros([0, 3]);
  t.deepEqual((await device.run(() => ops.concat([empty, empty], { axis: 0 }))).shape, [0, 3]);
});

test('concat refuses arguments that do not fit', async (t) => {
  const a = Tensor.zeros([2, 3]);
  await refused(t, () => ops.concat([], { axis: 0 }), 'ERR_ARGUMENT', /inputs must be an array of at least one tensor/);
  await refused(t, () => ops.concat([a, a], { axis: 2 }), 'ERR_ARGUMENT', /axis must be from -2 to 1/);
  await refused(t, () => ops.concat([a, Tensor.zeros([3, 3])], { axis: 1 }), 'ERR_SHAPE', /input 1 of shape \[3, 3\]/);
  await refused(t, () => ops.concat([a, Tensor.zeros([2])], { axis: 0 }), 'ERR_SHAPE', /input 1 of shape \[2\]/);
  await refused(
    t,
    () => ops.concat([a, Tensor.zeros([2, 3], 'u8')], { axis: 0 }),
    'ERR_DTYPE',
    /must be f32; received u8/,
  );
});
