import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { f32, floats, rejects, spoil } from '../support/boxes.js';
import { assertClose, forEachVariant, randomTensor } from '../support/ops.js';

forEachVariant(test, 'multiply', 'multiplies element by element', async (t, device) => {
  for (const shape of [[], [0], [1], [7], [8], [9], [3, 5, 11], [40001]]) {
    const [a, b] = [randomTensor(1, shape, { scale: 9 }), randomTensor(2, shape, { scale: 9 })];
    a.data.set(spoil(3, a.data, 0.02));
    b.data.set(spoil(4, b.data, 0.02));
    const result = await device.run(() => ops.multiply(a, b));
    t.deepEqual(result.shape, shape);
    assertClose(
      t,
      result.data,
      a.data.map((value, i) => f32(value * b.data[i]!)),
    );
  }
});

forEachVariant(test, 'multiply', 'refuses what does not fit', async (t, device) => {
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.multiply(floats([1, 2]), floats([1, 2], [2, 1]))));
  await rejects(t, 'ERR_DTYPE', () => device.run(() => ops.multiply(floats([1]), Tensor.from(Int32Array.of(1)))));
});
