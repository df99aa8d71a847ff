import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { assertClose, forEachVariant, randomSource } from '../support/ops.js';
import { refused, sameBits } from './checks.js';

function image(seed: number, shape: readonly number[], array: typeof Uint8Array | typeof Float32Array): Tensor {
  const next = randomSource(seed);
  const length = shape.reduce((product, dim) => product * dim, 1);
  return Tensor.from(new array(Array.from({ length }, () => Math.floor(next() * 256))), shape);
}

forEachVariant(test, 'normalize', 'agrees with the definition, swapped or not', async (t, device) => {
  for (const channels of [1, 2, 3, 4, 300]) {
    const mean = Array.from({ length: channels }, (_, c) => 0.4 + c / 10);
    const std = Array.from({ length: channels }, (_, c) => 0.2 + c / 20);
    for (const array of [Uint8Array, Float32Array]) {
      for (const swapChannels of [false, true]) {
        const input = image(channels, [2, 7, 31, channels], array);
        const output = await device.run(() => ops.normalize(input, { mean, std, scale: 1 / 255, swapChannels }));
        t.is(output.dtype, 'f32');
        t.deepEqual(output.shape, input.shape);
        const expected = Float64Array.from(output.data, (_, i) => {
          const c = i % channels;
          return (input.data[swapChannels ? i - c + channels - 1 - c : i]! / 255 - mean[c]!) / std[c]!;
        });
        assertClose(t, output.data, expected, { rtol: 1e-6, atol: 1e-6 }, `${channels} ${array.name} ${swapChannels}`);
      }
    }
  }
});

forEachVariant(test, 'normalize', 'defaults to no scale, keeps NaN, accepts empty tensors', async (t, device) => {
  const input = Tensor.from(Float32Array.of(3, NaN, -5), [1, 1, 1, 3]);
  const output = await device.run(() => ops.normalize(input, { mean: [1, 1, 1], std: [2, 2, 2] }));
  t.deepEqual([...output.data], [1, NaN, -3]);
  const empty = await device.run(() => ops.normalize(Tensor.zeros([0, 2, 2, 1], 'u8'), { mean: [0], std: [1] }));
  t.deepEqual(empty.shape, [0, 2, 2, 1]);
});

test('normalize gives the same bits with any thread count and instruction set', async (t) => {
  const input = image(1, [1, 101, 97, 3], Uint8Array);
  const options = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], scale: 1 / 255 };
  for (const swapChannels of [false, true]) {
    await sameBits(t, 'normalize', () => ops.normalize(input, { ...options, swapChannels }));
  }
});

test('normalize refuses arguments that do not fit', async (t) => {
  const input = Tensor.zeros([1, 2, 2, 3], 'u8');
  const three = [1, 1, 1];
  await refused(t, () => ops.normalize(input, { mean: [1], std: [1] }), 'ERR_ARGUMENT', /must have 3 numbers/);
  await refused(
    t,
    () => ops.normalize(input, { mean: three, std: [1, 0, 1] }),
    'ERR_ARGUMENT',
    /std must be an array of positive/,
  );
  await refused(t, () => ops.normalize(input, { mean: [1, NaN, 1], std: three }), 'ERR_ARGUMENT', /mean must be/);
  await refused(
    t,
    () => ops.normalize(Tensor.zeros([2, 2, 3]), { mean: three, std: three }),
    'ERR_SHAPE',
    /4 dimensions/,
  );
  await refused(
    t,
    () => ops.normalize(Tensor.zeros([1, 2, 2, 3], 'i32'), { mean: three, std: three }),
    'ERR_UNSUPPORTED',
    /i32/,
  );
});
