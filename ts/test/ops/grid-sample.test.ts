import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { assertClose, forEachVariant, integerTensor, randomTensor } from '../support/ops.js';
import { offsetOf, positions, refused, sameBits } from './checks.js';

function expected(input: Tensor, grid: Tensor, alignCorners: boolean): number[] {
  const [n, h, w, c] = input.shape as [number, number, number, number];
  const place = (at: number, size: number): number =>
    alignCorners ? ((at + 1) / 2) * (size - 1) : ((at + 1) * size - 1) / 2;
  return [...positions([n, grid.shape[1]!, grid.shape[2]!, c])].map(([image, oy, ox, channel]) => {
    const at = offsetOf(grid.shape, [image!, oy!, ox!, 0]);
    const [x, y] = [place(grid.data[at]!, w), place(grid.data[at + 1]!, h)];
    const [left, top] = [Math.floor(x), Math.floor(y)];
    let sum = 0;
    for (const [py, px, weight] of [
      [top, left, (top + 1 - y) * (left + 1 - x)],
      [top, left + 1, (top + 1 - y) * (x - left)],
      [top + 1, left, (y - top) * (left + 1 - x)],
      [top + 1, left + 1, (y - top) * (x - left)],
    ] as const) {
      const inside = py >= 0 && py < h && px >= 0 && px < w;
      if (inside) sum += weight * input.data[offsetOf(input.shape, [image!, py, px, channel!])]!;
    }
    return sum;
  });
}

forEachVariant(test, 'gridSample', 'agrees with the definition', async (t, device) => {
  for (const alignCorners of [false, true]) {
    for (const [seed, shape] of [
      [2, 5, 7, 3],
      [1, 1, 1, 8],
      [1, 6, 2, 17],
      [1, 3, 4, 1],
    ].entries()) {
      const input = randomTensor(seed + 1, shape);
      const grid = randomTensor(seed + 10, [shape[0]!, 6, 7, 2], { scale: 1.5 });
      const output = await device.run(() => ops.gridSample(input, grid, { alignCorners }));
      t.deepEqual(output.shape, [shape[0]!, 6, 7, shape[3]!]);
      assertClose(t, output.data, expected(input, grid, alignCorners), { rtol: 1e-5, atol: 1e-5 }, shape.join('x'));
    }
  }
});

forEachVariant(test, 'gridSample', 'hits pixel centres exactly and fades at the border', async (t, device) => {
  const input = integerTensor(1, [1, 3, 5, 2], -9, 9);
  const centres = Float32Array.from([...positions([3, 5])].flatMap(([y, x]) => [x! / 2 - 1, y! - 1]));
  const same = await device.run(() =>
    ops.gridSample(input, Tensor.from(centres, [1, 3, 5, 2]), { alignCorners: true }),
  );
  assertClose(t, same.data, input.data);
  const ones = Tensor.from(new Float32Array(16).fill(8), [1, 4, 4, 1]);
  const edge = Tensor.from(Float32Array.of(-1, 0, 1, 0, -1, -1, -1.25, 0), [1, 1, 4, 2]);
  const faded = await device.run(() => ops.gridSample(ones, edge));
  t.deepEqual([...faded.data], [4, 4, 2, 0]);
});

forEachVariant(test, 'gridSample', 'gives 0 for places that are far, NaN or infinite', async (t, device) => {
  const input = randomTensor(1, [1, 4, 4, 9]);
  const places = [NaN, 0, 0, NaN, Infinity, 0, 0, -Infinity, 3e38, 0, 0, -3e38, 1e10, 1e10, -2, 0, NaN, NaN, 5, 5];
  for (const alignCorners of [false, true]) {
    const grid = Tensor.from(Float32Array.from(places), [1, 2, 5, 2]);
    const { data } = await device.run(() => ops.gridSample(input, grid, { alignCorners }));
    t.true(data.every((value) => value === 0));
  }
});

forEachVariant(test, 'gridSample', 'keeps NaN next to its pixel and accepts empty tensors', async (t, device) => {
  const input = randomTensor(1, [1, 4, 4, 9]);
  input.data[(1 * 4 + 1) * 9 + 3] = NaN;
  const grid = Tensor.from(Float32Array.of(-0.2, -0.2, 0.9, 0.9), [1, 1, 2, 2]);
  const { data } = await device.run(() => ops.gridSample(input, grid));
  for (const [i, value] of data.entries()) t.is(Number.isNaN(value), i === 3);
  t.deepEqual(
    (await device.run(() => ops.gridSample(Tensor.zeros([0, 2, 2, 3]), Tensor.zeros([0, 4, 5, 2])))).shape,
    [0, 4, 5, 3],
  );
  const nothing = await device.run(() => ops.gridSample(Tensor.zeros([1, 0, 2, 3]), Tensor.zeros([1, 1, 1, 2])));
  t.deepEqual([...nothing.data], [0, 0, 0]);
});

test('gridSample gives the same bits with any thread count and instruction set', async (t) => {
  const input = randomTensor(1, [2, 20, 21, 19]);
  const grid = randomTensor(2, [2, 30, 31, 2], { scale: 1.2 });
  await sameBits(t, 'gridSample', () => ops.gridSample(input, grid));
});

test('gridSample refuses arguments that do not fit', async (t) => {
  const input = Tensor.zeros([2, 4, 4, 1]);
  await refused(
    t,
    () => ops.gridSample(input, Tensor.zeros([1, 2, 2, 2])),
    'ERR_SHAPE',
    /grid must have shape \[2, height, width, 2\]/,
  );
  await refused(t, () => ops.gridSample(input, Tensor.zeros([2, 2, 2, 3])), 'ERR_SHAPE', /grid must have shape/);
  await refused(t, () => ops.gridSample(input, Tensor.zeros([2, 2, 2, 2], 'i32')), 'ERR_DTYPE', /grid must be f32/);
});
