import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { assertClose, forEachVariant, integerTensor, randomTensor } from '../support/ops.js';
import { offsetOf, positions, refused, sameBits } from './checks.js';

interface Window {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding?: readonly [number, number];
  readonly ceilMode?: boolean;
  readonly countIncludePad?: boolean;
  readonly divisor?: number;
}

/** Sums over the window; cells of padding count with `countIncludePad`, cells beyond the padding (ceil mode) never do. */
function expected(input: Tensor, window: Window): { shape: number[]; output: number[] } {
  const { kernel, stride, padding = [0, 0], ceilMode = false, countIncludePad = true, divisor } = window;
  const [n, h, w, c] = input.shape as [number, number, number, number];
  const size = (length: number, axis: 0 | 1): number => {
    const count = (ceilMode ? Math.ceil : Math.floor)((length + 2 * padding[axis] - kernel[axis]) / stride[axis]) + 1;
    return ceilMode && (count - 1) * stride[axis] >= length + padding[axis] ? count - 1 : count;
  };
  const shape = [n, size(h, 0), size(w, 1), c];
  const output: number[] = [];
  for (const [image, oy, ox, channel] of positions(shape) as Iterable<[number, number, number, number]>) {
    let sum = 0;
    let count = 0;
    for (let ky = 0; ky < kernel[0]; ky += 1) {
      for (let kx = 0; kx < kernel[1]; kx += 1) {
        const y = oy * stride[0] - padding[0] + ky;
        const x = ox * stride[1] - padding[1] + kx;
        const inside = y >= 0 && y < h && x >= 0 && x < w;
        if (inside) sum += input.data[offsetOf(input.shape, [image, y, x, channel])]!;
        if (inside || (countIncludePad && y < h + padding[0] && x < w + padding[1])) count += 1;
      }
    }
    output.push(sum / (divisor ?? count));
  }
  return { shape, output };
}

const windows: Window[] = [
  { kernel: [2, 2], stride: [2, 2] },
  { kernel: [3, 3], stride: [2, 2], padding: [1, 1] },
  { kernel: [3, 3], stride: [2, 2], padding: [1, 1], countIncludePad: false },
  { kernel: [3, 3], stride: [2, 2], ceilMode: true },
  { kernel: [3, 2], stride: [2, 3], padding: [1, 1], ceilMode: true },
  { kernel: [3, 2], stride: [2, 3], padding: [1, 1], ceilMode: true, countIncludePad: false },
  { kernel: [4, 1], stride: [1, 1], padding: [2, 0] },
  { kernel: [3, 3], stride: [2, 2], padding: [1, 1], divisor: 5 },
];

forEachVariant(test, 'avgPool2d', 'agrees with the definition for all kinds of windows', async (t, device) => {
  for (const [seed, window] of windows.entries()) {
    for (const shape of [
      [2, 7, 9, 3],
      [1, 6, 8, 17],
      [1, 4, 5, 8],
    ]) {
      const input = integerTensor(seed + 1, shape, -9, 9);
      const want = expected(input, window);
      const output = await device.run(() => ops.avgPool2d(input, window));
      t.deepEqual(output.shape, want.shape, JSON.stringify(window));
      // The sums are exact, the quotients are rounded once.
      assertClose(t, output.data, Float32Array.from(want.output), {}, JSON.stringify(window));
    }
  }
});

forEachVariant(test, 'avgPool2d', 'keeps NaN in its windows and accepts empty tensors', async (t, device) => {
  const input = integerTensor(1, [1, 4, 4, 9], 0, 3);
  input.data[9 * 5 + 2] = NaN;
  const { data } = await device.run(() => ops.avgPool2d(input, { kernel: 2 }));
  for (const [i, value] of data.entries()) t.is(Number.isNaN(value), i === 2);
  t.deepEqual((await device.run(() => ops.avgPool2d(Tensor.zeros([0, 4, 4, 3]), { kernel: 2 }))).shape, [0, 2, 2, 3]);
});

test('avgPool2d gives the same bits with any thread count and instruction set', async (t) => {
  const input = randomTensor(1, [2, 37, 41, 19]);
  await sameBits(t, 'avgPool2d', () => ops.avgPool2d(input, { kernel: 3, stride: 2, padding: 1 }));
});

test('avgPool2d refuses arguments that do not fit', async (t) => {
  const input = Tensor.zeros([1, 4, 4, 1]);
  await refused(t, () => ops.avgPool2d(input, { kernel: 5 }), 'ERR_SHAPE', /window of 5 does not fit the size 4/);
  await refused(t, () => ops.avgPool2d(input, { kernel: 2, padding: 2 }), 'ERR_ARGUMENT', /at most half of the window/);
  await refused(t, () => ops.avgPool2d(input, { kernel: 2, divisor: 0 }), 'ERR_ARGUMENT', /divisor must be/);
  await refused(t, () => ops.avgPool2d(input, { kernel: [1, 2, 3] as unknown as 1 }), 'ERR_ARGUMENT', /kernel must be/);
});
