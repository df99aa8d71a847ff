import test from 'ava';
import { type InstasegError, ops, Tensor } from '../../src/index.js';
import { assertClose, forEachVariant, randomTensor } from '../support/ops.js';
import { refused, sameBits } from './checks.js';

/** Values go where the indices say, later ones over earlier ones. */
function expected(input: Tensor, indices: Tensor, plane: number): Float32Array {
  const [n, h, w, c] = input.shape as [number, number, number, number];
  const output = new Float32Array(n * plane * c);
  for (let i = 0; i < input.length; i += 1) {
    const image = Math.floor(i / (h * w * c));
    output[(image * plane + indices.data[i]!) * c + (i % c)] = input.data[i]!;
  }
  return output;
}

forEachVariant(test, 'maxUnpool2d', 'undoes maxPool2d', async (t, device) => {
  for (const [shape, kernel, stride, padding] of [
    [[2, 6, 8, 3], 2, 2, 0],
    [[1, 7, 9, 17], 2, 2, 0],
    [[1, 9, 6, 16], 3, 3, 0],
    [[1, 6, 8, 33], 2, 2, 1],
    [[1, 7, 7, 2], 3, 2, 1],
  ] as const) {
    const input = randomTensor(shape[3], shape);
    const pooled = await device.run(() => ops.maxPool2dWithIndices(input, { kernel, stride, padding }));
    const output = await device.run(() =>
      ops.maxUnpool2d(pooled.output, pooled.indices, { kernel, stride, padding, outputSize: [shape[1], shape[2]] }),
    );
    t.deepEqual(output.shape, [...shape]);
    assertClose(t, output.data, expected(pooled.output, pooled.indices, shape[1] * shape[2]));
  }
});

forEachVariant(test, 'maxUnpool2d', "has PyTorch's default size", async (t, device) => {
  const input = Tensor.zeros([1, 3, 4, 1]);
  const indices = Tensor.zeros([1, 3, 4, 1], 'i32');
  const sizes = async (options: Parameters<typeof ops.maxUnpool2d>[2]): Promise<readonly number[]> =>
    (await device.run(() => ops.maxUnpool2d(input, indices, options))).shape;
  t.deepEqual(await sizes({ kernel: 2 }), [1, 6, 8, 1]);
  t.deepEqual(await sizes({ kernel: 3, stride: 2, padding: 1 }), [1, 5, 7, 1]);
  t.deepEqual(await sizes({ kernel: [2, 3], stride: [1, 2] }), [1, 4, 9, 1]);
  t.deepEqual(await sizes({ kernel: 2, outputSize: [7, 7] }), [1, 7, 7, 1]);
});

forEachVariant(test, 'maxUnpool2d', 'lets the later of two values stay', async (t, device) => {
  const input = Tensor.from(
    Float32Array.from({ length: 2 * 3 * 40 }, (_, i) => i + 1),
    [1, 2, 3, 40],
  );
  const indices = Tensor.from(
    Int32Array.from({ length: 240 }, (_, i) => (i % 7) % 3),
    [1, 2, 3, 40],
  );
  const output = await device.run(() => ops.maxUnpool2d(input, indices, { kernel: 2 }));
  assertClose(t, output.data, expected(input, indices, 24));
});

forEachVariant(test, 'maxUnpool2d', 'refuses indices outside the plane', async (t, device) => {
  const input = Tensor.zeros([1, 2, 2, 3]);
  for (const bad of [16, -1, 2 ** 31 - 1, -(2 ** 31)]) {
    const indices = Tensor.zeros([1, 2, 2, 3], 'i32');
    indices.data[7] = bad;
    const error = await t.throwsAsync<InstasegError>(() =>
      device.run(() => ops.maxUnpool2d(input, indices, { kernel: 2 })),
    );
    t.is(error?.code, 'ERR_ARGUMENT');
    t.regex(error?.message ?? '', new RegExp(`index ${bad} at element 7 is outside the output plane of 4 x 4`));
  }
});

forEachVariant(test, 'maxUnpool2d', 'accepts empty tensors', async (t, device) => {
  const output = await device.run(() =>
    ops.maxUnpool2d(Tensor.zeros([0, 2, 2, 3]), Tensor.zeros([0, 2, 2, 3], 'i32'), { kernel: 2 }),
  );
  t.deepEqual(output.shape, [0, 4, 4, 3]);
});

test('maxUnpool2d gives the same bits with any thread count', async (t) => {
  const input = randomTensor(1, [2, 20, 20, 37]);
  const indices = Tensor.from(
    Int32Array.from({ length: input.length }, (_, i) => (i * 31) % 1600),
    input.shape,
  );
  await sameBits(t, 'maxUnpool2d', () => ops.maxUnpool2d(input, indices, { kernel: 2 }));
});

test('maxUnpool2d refuses arguments that do not fit', async (t) => {
  const input = Tensor.zeros([1, 2, 2, 1]);
  const indices = Tensor.zeros([1, 2, 2, 1], 'i32');
  await refused(t, () => ops.maxUnpool2d(input, input, { kernel: 2 }), 'ERR_DTYPE', /indices must be i32/);
  await refused(
    t,
    () => ops.maxUnpool2d(input, Tensor.zeros([1, 2, 2, 2], 'i32'), { kernel: 2 }),
    'ERR_SHAPE',
    /indices must have shape/,
  );
  await refused(
    t,
    () => ops.maxUnpool2d(input, indices, { kernel: 2, outputSize: [6, 4] }),
    'ERR_SHAPE',
    /between 2 and 6/,
  );
  await refused(t, () => ops.maxUnpool2d(input, indices, { kernel: 0 }), 'ERR_ARGUMENT', /kernel must be/);
});
