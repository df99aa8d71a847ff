import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { assertClose, forEachVariant, integerTensor, randomTensor } from '../support/ops.js';
import { offsetOf, positions, refused, sameBits } from './checks.js';

function expected(input: Tensor, output: readonly [number, number], kind: 'avg' | 'max'): number[] {
  const [n, h, w, c] = input.shape as [number, number, number, number];
  const range = (i: number, size: number, cells: number): [number, number] => [
    Math.floor((i * size) / cells),
    Math.ceil(((i + 1) * size) / cells),
  ];
  return [...positions([n, ...output, c])].map(([image, oy, ox, channel]) => {
    const [top, bottom] = range(oy!, h, output[0]);
    const [left, right] = range(ox!, w, output[1]);
    const values: number[] = [];
    for (let y = top; y < bottom; y += 1) {
      for (let x = left; x < right; x += 1) values.push(input.data[offsetOf(input.shape, [image!, y, x, channel!])]!);
    }
    return kind === 'max' ? Math.max(...values) : values.reduce((sum, x) => sum + x, 0) / values.length;
  });
}

forEachVariant(test, 'adaptivePool2d', 'agrees with the definition', async (t, device) => {
  for (const kind of ['avg', 'max'] as const) {
    for (const output of [
      [1, 1],
      [7, 7],
      [3, 5],
      [8, 2],
      [11, 13],
    ] as const) {
      for (const channels of [1, 5, 8, 65, 130]) {
        const input = integerTensor(channels, [2, 5, 7, channels], -9, 9);
        const result = await device.run(() => ops.adaptivePool2d(input, { output, kind }));
        t.deepEqual(result.shape, [2, ...output, channels]);
        assertClose(
          t,
          result.data,
          Float32Array.from(expected(input, output, kind)),
          {},
          `${kind} ${output.join('x')} ${channels}`,
        );
      }
    }
  }
});

forEachVariant(test, 'adaptivePool2d', 'keeps NaN in its cells and accepts empty tensors', async (t, device) => {
  const input = integerTensor(1, [1, 4, 4, 9], 0, 3);
  input.data[9 * 5 + 2] = NaN;
  for (const kind of ['avg', 'max'] as const) {
    const { data } = await device.run(() => ops.adaptivePool2d(input, { output: 2, kind }));
    for (const [i, value] of data.entries()) t.is(Number.isNaN(value), i === 2);
  }
  const empty = await device.run(() => ops.adaptivePool2d(Tensor.zeros([0, 4, 4, 3]), { output: 1 }));
  t.deepEqual(empty.shape, [0, 1, 1, 3]);
});

forEachVariant(test, 'adaptivePool2d', 'pools the counted planes of each group', async (t, device) => {
  const input = integerTensor(3, [6, 5, 4, 70], -9, 9);
  for (const kind of ['avg', 'max'] as const) {
    const all = await device.run(() => ops.adaptivePool2d(input, { output: [1, 2], kind }));
    for (const counts of [
      [3, 1],
      [0, 9],
      [-1, 2],
    ]) {
      const { data } = await device.run(() =>
        ops.adaptivePool2d(input, { output: [1, 2], kind, counts: Tensor.from(Int32Array.from(counts)) }),
      );
      for (const [group, count] of counts.entries()) {
        const [begin, end] = [group * 420, group * 420 + Math.min(Math.max(count, 0), 3) * 140];
        assertClose(t, data.subarray(begin, end), all.data.subarray(begin, end));
        t.true(data.subarray(end, group * 420 + 420).every((value) => value === 0));
      }
    }
  }
});

test('adaptivePool2d gives the same bits with any thread count and instruction set', async (t) => {
  const input = randomTensor(1, [2, 37, 41, 130]);
  await sameBits(t, 'adaptivePool2d', () => ops.adaptivePool2d(input, { output: [3, 1] }));
});

test('adaptivePool2d refuses arguments that do not fit', async (t) => {
  const input = Tensor.zeros([1, 4, 4, 1]);
  await refused(t, () => ops.adaptivePool2d(input, { output: 0 }), 'ERR_ARGUMENT', /output must be/);
  await refused(
    t,
    () => ops.adaptivePool2d(input, { output: 1, kind: 'min' as 'max' }),
    'ERR_ARGUMENT',
    /kind must be/,
  );
  await refused(
    t,
    () => ops.adaptivePool2d(Tensor.zeros([1, 0, 4, 1]), { output: 1 }),
    'ERR_SHAPE',
    /must be positive/,
  );
  await refused(t, () => ops.adaptivePool2d(Tensor.zeros([4, 1]), { output: 1 }), 'ERR_SHAPE', /4 dimensions/);
  await refused(
    t,
    () => ops.adaptivePool2d(Tensor.zeros([3, 4, 4, 1]), { output: 1, counts: Tensor.zeros([2], 'i32') }),
    'ERR_SHAPE',
    /split evenly/,
  );
});
