import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { assertClose, forEachVariant, integerTensor, randomTensor } from '../support/ops.js';
import { offsetOf, positions, refused, sameBits } from './checks.js';

interface Window {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding?: readonly [number, number];
  readonly dilation?: readonly [number, number];
  readonly ceilMode?: boolean;
}

function outputSize(size: number, axis: 0 | 1, window: Window): number {
  const { kernel, stride, padding = [0, 0], dilation = [1, 1], ceilMode = false } = window;
  const last = size + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1;
  const count = (ceilMode ? Math.ceil : Math.floor)(last / stride[axis]) + 1;
  return ceilMode && (count - 1) * stride[axis] >= size + padding[axis] ? count - 1 : count;
}

function expected(input: Tensor, window: Window): { shape: number[]; output: number[]; indices: number[] } {
  const { kernel, stride, padding = [0, 0], dilation = [1, 1] } = window;
  const [n, h, w, c] = input.shape as [number, number, number, number];
  const shape = [n, outputSize(h, 0, window), outputSize(w, 1, window), c];
  const output: number[] = [];
  const indices: number[] = [];
  for (const [image, oy, ox, channel] of positions(shape) as Iterable<[number, number, number, number]>) {
    let best = -Infinity;
    let index = -1;
    for (let ky = 0; ky < kernel[0]; ky += 1) {
      for (let kx = 0; kx < kernel[1]; kx += 1) {
        const y = oy * stride[0] - padding[0] + ky * dilation[0];
        const x = ox * stride[1] - padding[1] + kx * dilation[1];
        if (y < 0 || y >= h || x < 0 || x >= w) continue;
        const value = input.data[offsetOf(input.shape, [image, y, x, channel])]!;
        if (index < 0 || value > best || Number.isNaN(value)) {
          best = value;
          index = y * w + x;
        }
      }
    }
    output.push(best);
    indices.push(Math.max(index, 0));
  }
  return { shape, output, indices };
}

const windows: Window[] = [
  { kernel: [1, 1], stride: [2, 2] },
  { kernel: [2, 2], stride: [2, 2] },
  { kernel: [2, 2], stride: [2, 2], ceilMode: true },
  { kernel: [3, 3], stride: [2, 2], padding: [1, 1] },
  { kernel: [3, 3], stride: [2, 2], padding: [1, 1], ceilMode: true },
  { kernel: [2, 2], stride: [3, 3], padding: [1, 1], ceilMode: true },
  { kernel: [3, 2], stride: [1, 3], padding: [1, 0], dilation: [2, 1] },
  { kernel: [2, 3], stride: [2, 1], padding: [0, 1], dilation: [1, 2], ceilMode: true },
  { kernel: [5, 6], stride: [5, 6] },
];

forEachVariant(test, 'maxPool2d', 'agrees with the definition for all kinds of windows', async (t, device) => {
  for (const [seed, window] of windows.entries()) {
    for (const shape of [
      [2, 7, 9, 3],
      [1, 6, 8, 17],
      [1, 7, 7, 8],
    ]) {
      const input = integerTensor(seed + 1, shape, -4, 4); // small integers make ties
      const want = expected(input, window);
      const { output, indices } = await device.run(() => ops.maxPool2dWithIndices(input, window));
      const label = JSON.stringify(window);
      t.deepEqual(output.shape, want.shape, label);
      t.deepEqual(indices.shape, want.shape);
      t.is(indices.dtype, 'i32');
      assertClose(t, output.data, want.output, {}, label);
      assertClose(t, indices.data, want.indices, {}, `indices, ${label}`);
      const alone = await device.run(() => ops.maxPool2d(input, window));
      t.deepEqual(alone.data, output.data, label);
    }
  }
});

forEachVariant(test, 'maxPool2d', 'lets NaN win and takes -infinity', async (t, device) => {
  const input = randomTensor(1, [1, 9, 9, 5]);
  for (let i = 0; i < input.length; i += 7) input.data[i] = NaN;
  for (let i = 3; i < input.length; i += 11) input.data[i] = -Infinity;
  const window: Window = { kernel: [2, 2], stride: [1, 2] };
  const want = expected(input, window);
  const { output, indices } = await device.run(() => ops.maxPool2dWithIndices(input, window));
  assertClose(t, output.data, want.output);
  assertClose(t, indices.data, want.indices);
  const lowest = Tensor.from(new Float32Array(16).fill(-Infinity), [1, 4, 4, 1]);
  const all = await device.run(() => ops.maxPool2dWithIndices(lowest, { kernel: 2 }));
  t.deepEqual([...all.output.data], [-Infinity, -Infinity, -Infinity, -Infinity]);
  t.deepEqual([...all.indices.data], [0, 2, 8, 10]);
});

forEachVariant(test, 'maxPool2d', 'gives -infinity and index 0 for a window of padding alone', async (t, device) => {
  const input = Tensor.from(Float32Array.of(1, 2), [1, 2, 1, 1]);
  const { output, indices } = await device.run(() =>
    ops.maxPool2dWithIndices(input, { kernel: [2, 1], dilation: [3, 1], padding: [2, 0], stride: 1 }),
  );
  t.deepEqual([...output.data], [2, -Infinity, 1]);
  t.deepEqual([...indices.data], [1, 0, 0]);
});

forEachVariant(test, 'maxPool2d', 'accepts empty batches and channels', async (t, device) => {
  t.deepEqual((await device.run(() => ops.maxPool2d(Tensor.zeros([0, 4, 4, 3]), { kernel: 2 }))).shape, [0, 2, 2, 3]);
  t.deepEqual((await device.run(() => ops.maxPool2d(Tensor.zeros([1, 4, 4, 0]), { kernel: 2 }))).shape, [1, 2, 2, 0]);
});

test('maxPool2d gives the same bits with any thread count', async (t) => {
  const input = randomTensor(1, [2, 37, 41, 19]);
  await sameBits(t, 'maxPool2d', () => ops.maxPool2d(input, { kernel: 3, stride: 2, padding: 1 }));
});

test('maxPool2d refuses arguments that do not fit', async (t) => {
  const input = Tensor.zeros([1, 4, 4, 1]);
  await refused(t, () => ops.maxPool2d(input, { kernel: 5 }), 'ERR_SHAPE', /window of 5 does not fit the size 4/);
  await refused(t, () => ops.maxPool2d(input, { kernel: 2, padding: 2 }), 'ERR_ARGUMENT', /at most half of the window/);
  await refused(
    t,
    () => ops.maxPool2d(input, { kernel: 0 }),
    'ERR_ARGUMENT',
    /kernel must be an integer of at least 1/,
  );
  await refused(t, () => ops.maxPool2d(input, { kernel: 2, stride: 0 }), 'ERR_ARGUMENT', /stride must be/);
  await refused(t, () => ops.maxPool2d(input, {} as { kernel: 1 }), 'ERR_ARGUMENT', /kernel must be/);
  await refused(t, () => ops.maxPool2d(Tensor.zeros([4, 4, 1]), { kernel: 2 }), 'ERR_SHAPE', /must have 4 dimensions/);
  await refused(
    t,
    () => ops.maxPool2d(Tensor.zeros([1, 0, 4, 1]), { kernel: 1 }),
    'ERR_SHAPE',
    /does not fit the size 0/,
  );
});
