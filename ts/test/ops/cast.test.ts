import test from 'ava';
import { ops, Tensor, type DType } from '../../src/index.js';
import { forEachVariant, randomTensor } from '../support/ops.js';
import { FLOAT_DTYPES, floatTensor, numbersOf, refused, roundTo, sameBits, type FloatDType } from './checks.js';

// Around every rule of rounding: ties, the smallest and largest numbers, what lies beyond them.
const EDGES = [
  [0, -0, 1, -1, 1 / 3, 65504, 65519.9, 65520, -65520, 1e9, Infinity, -Infinity, NaN],
  [2 ** -14, 2 ** -24, 2 ** -25, 1.0001 * 2 ** -25, 3 * 2 ** -25, 2 ** -26, 1023.5 * 2 ** -24, -1.5 * 2 ** -24],
  [1 + 2 ** -11, 1 + 3 * 2 ** -11, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 2048.5, 4097, 1e-40, -3e-39, 3.4e38, 3.39e38],
].flat();

forEachVariant(test, 'cast', 'rounds f32 to the nearest half precision number', async (t, device) => {
  for (const length of [0, 1, 7, 8, 9, 33, 1000]) {
    const values = [...EDGES, ...randomTensor(length, [1000], { scale: 1e5 }).data].slice(0, length);
    const input = Tensor.from(Float32Array.from(values));
    for (const dtype of ['f16', 'bf16'] as const) {
      const output = await device.run(() => ops.cast(input, dtype));
      t.is(output.dtype, dtype);
      t.deepEqual(output.shape, [length]);
      t.deepEqual(
        [...numbersOf(output)],
        Array.from(input.data, (x) => roundTo(dtype, x)),
        `${dtype} ${length}`,
      );
    }
  }
});

forEachVariant(test, 'cast', 'widens every half precision number exactly', async (t, device) => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
  for (const dtype of ['f16', 'bf16'] as const) {
    const input = Tensor.from(bits, [256, 256], dtype);
    const output = await device.run(() => ops.cast(input, 'f32'));
    t.deepEqual(output.shape, [256, 256]);
    const expected = numbersOf(input);
    t.is(
      expected.findIndex((value, i) => !Object.is(output.data[i], value)),
      -1,
      dtype,
    );
    const back = numbersOf(await device.run(() => ops.cast(Tensor.from(output.data), dtype)));
    t.is(
      expected.findIndex((value, i) => !Object.is(back[i], value)),
      -1,
      `${dtype} and back`,
    );
  }
});

forEachVariant(test, 'cast', 'rounds once between the half precision formats', async (t, device) => {
  const values = [...EDGES, ...randomTensor(3, [100], { scale: 300 }).data];
  for (const [from, to] of [
    ['f16', 'bf16'],
    ['bf16', 'f16'],
  ] as const) {
    const input = floatTensor(from, values);
    const output = await device.run(() => ops.cast(input, to));
    t.deepEqual(
      [...numbersOf(output)],
      Array.from(numbersOf(input), (x) => roundTo(to, x)),
    );
  }
});

forEachVariant(test, 'cast', 'turns integers into f32 and back within their range', async (t, device) => {
  const whole = Int32Array.of(0, -1, 7, 16777217, -16777219, 2147483647, -2147483648);
  const widened = await device.run(() => ops.cast(Tensor.from(whole), 'f32'));
  t.deepEqual([...widened.data], [...Float32Array.from(whole)]);
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  t.deepEqual([...(await device.run(() => ops.cast(Tensor.from(bytes), 'f32'))).data], [...bytes]);

  const values = Float32Array.of(0.9, -0.9, 254.99, 255.5, 1e9, -3, NaN, Infinity, -Infinity, 2147483648, -2147483648);
  const i32 = await device.run(() => ops.cast(Tensor.from(values), 'i32'));
  t.deepEqual([...i32.data], [0, 0, 254, 255, 1e9, -3, 0, 2147483647, -2147483648, 2147483647, -2147483648]);
  const u8 = await device.run(() => ops.cast(Tensor.from(values), 'u8'));
  t.deepEqual([...u8.data], [0, 0, 254, 255, 255, 0, 0, 255, 0, 255, 0]);
});

forEachVariant(test, 'cast', 'copies where the dtype is the same', async (t, device) => {
  const tensors = [
    Tensor.from(Int32Array.of(-5, 2147483647)),
    Tensor.from(Uint8Array.of(0, 255, 3)),
    ...FLOAT_DTYPES.map((dtype: FloatDType) => floatTensor(dtype, [1.5, -Infinity, 1e-7])),
  ];
  for (const input of tensors) {
    const output = await device.run(() => ops.cast(input, input.dtype));
    t.is(output.dtype, input.dtype);
    t.deepEqual(output.data, input.data);
  }
});

test('cast gives the same bits with any thread count', async (t) => {
  const input = randomTensor(1, [70001], { scale: 100 });
  for (const dtype of ['f16', 'bf16', 'i32', 'u8'] as const) await sameBits(t, 'cast', () => ops.cast(input, dtype));
});

test('cast refuses what it does not convert', async (t) => {
  const bytes = Tensor.zeros([3], 'u8');
  await refused(t, () => ops.cast(bytes, 'f16'), 'ERR_DTYPE', /no cast from u8 to f16; cast to f32 first/);
  await refused(t, () => ops.cast(bytes, 'i32'), 'ERR_DTYPE', /no cast from u8 to i32/);
  await refused(t, () => ops.cast(floatTensor('bf16', [1]), 'i32'), 'ERR_DTYPE', /no cast from bf16 to i32/);
  await refused(t, () => ops.cast(bytes, 'f64' as DType), 'ERR_ARGUMENT', /dtype must be one of "f32"/);
});
