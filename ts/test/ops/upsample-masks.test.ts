import test from 'ava';
import { Device, ops, Tensor } from '../../src/index.js';
import { f32, floats, ints, rejects } from '../support/boxes.js';
import { assertClose, forEachVariant, randomSource } from '../support/ops.js';
import { sameBits } from './checks.js';

interface Tap {
  readonly first: number;
  readonly second: number;
  readonly w0: number;
  readonly w1: number;
}

/** torch.nn.functional.interpolate, bilinear, align_corners=False. */
function taps(cells: number, pixels: number): Tap[] {
  return Array.from({ length: pixels }, (_, pixel) => {
    if (cells === pixels) return { first: pixel, second: pixel, w0: 1, w1: 0 };
    const source = Math.max(f32(cells / pixels) * (pixel + 0.5) - 0.5, 0);
    const first = Math.min(Math.floor(source), cells - 1);
    const w1 = f32(Math.min(source - first, 1));
    return { first, second: Math.min(first + 1, cells - 1), w0: f32(1 - w1), w1 };
  });
}

/** The whole enlarged mask, in f32. */
function upsample(
  mask: Float32Array,
  [height, width]: readonly [number, number],
  [imageHeight, imageWidth]: readonly [number, number],
): Float32Array {
  const [rows, columns] = [taps(height, imageHeight), taps(width, imageWidth)];
  const mix = (row: number, x: Tap): number =>
    f32(f32(mask[row * width + x.first]! * x.w0) + f32(mask[row * width + x.second]! * x.w1));
  return Float32Array.from(
    rows.flatMap((y) => columns.map((x) => f32(f32(mix(y.first, x) * y.w0) + f32(mix(y.second, x) * y.w1)))),
  );
}

/** Masks that are 0 outside of a random box; the first is all 0, the second nowhere. */
function croppedMasks(seed: number, count: number, [height, width]: readonly [number, number]): Float32Array {
  const next = randomSource(seed);
  const masks = new Float32Array(count * height * width);
  for (let mask = 1; mask < count; mask += 1) {
    const below = (limit: number): number => (mask === 1 ? 0 : Math.floor(next() * limit));
    const [top, left] = [below(height), below(width)];
    const bottom = mask === 1 ? height : top + 1 + below(height - top);
    const right = mask === 1 ? width : left + 1 + below(width - left);
    for (let y = top; y < bottom; y += 1) {
      for (let x = left; x < right; x += 1) masks[(mask * height + y) * width + x] = next();
    }
  }
  return masks;
}

const CASES = [
  // Enlarged, reduced, each on one axis, the same size; around a word and a tile; one cell; one pixel.
  [[13, 11], [40, 64], 8],
  [[13, 11], [31, 33], 6],
  [[20, 30], [7, 9], 6],
  [[5, 40], [60, 20], 6],
  [[12, 33], [12, 33], 5],
  [[6, 70], [9, 1100], 4],
  [[9, 3], [300, 1], 4],
  [[1, 1], [5, 7], 3],
  [[8, 8], [1, 1], 4],
  [[8, 8], [0, 5], 3],
] as const;

forEachVariant(
  test,
  'upsampleMasks',
  'equals the whole enlarged mask, inside its region and outside',
  async (t, device) => {
    for (const [seed, [cells, image, count]] of CASES.entries()) {
      const [height, width] = cells;
      const values = croppedMasks(seed + 1, count, cells);
      const masks = Tensor.from(values, [count, height, width, 1]);
      const sizes = ints([...image, 0, 0], [1, 4]);
      const soft = await device.run(() => ops.upsampleSoftMasks(masks, sizes));
      const hard = await device.run(() => ops.upsampleMasks(masks, sizes, { threshold: 0.4 }));
      const filled = await device.run(() => ops.upsampleMasks(masks, sizes, { threshold: 0 }));
      t.deepEqual(hard.regions, soft.regions);
      const words = new Uint32Array(hard.bits.data.slice().buffer);
      const filledWords = new Uint32Array(filled.bits.data.slice().buffer);
      let [nextWord, nextValue] = [0, 0];
      for (let i = 0; i < count; i += 1) {
        const label = `${cells.join('x')} to ${image.join('x')} mask ${i}`;
        const expected = upsample(values.subarray(i * height * width, (i + 1) * height * width), cells, image);
        const [x, y, w, h] = hard.regions.data.subarray(i * 4, i * 4 + 4) as unknown as [
          number,
          number,
          number,
          number,
        ];
        t.is(hard.offsets.data[i], nextWord, label);
        t.is(soft.offsets.data[i], nextValue, label);
        if (i === 0 || expected.length === 0) t.deepEqual([x, y, w, h], [0, 0, 0, 0], label);
        const stride = Math.ceil(w / 32);
        const actual = new Float32Array(expected.length);
        const [binary, aboveZero] = [new Uint8Array(expected.length), new Uint8Array(expected.length)];
        for (let row = 0; row < h; row += 1) {
          for (let column = 0; column < stride * 32; column += 1) {
            const word = nextWord + row * stride + (column >> 5);
            const bit = (words[word]! >>> (column & 31)) & 1;
            if (column >= w) {
              if (bit) t.fail(`${label}: a bit past the width`);
              continue;
            }
            const at = (y + row) * image[1] + x + column;
            binary[at] = bit;
            aboveZero[at] = (filledWords[word]! >>> (column & 31)) & 1;
            actual[at] = soft.values.data[nextValue + row * w + column]!;
          }
        }
        assertClose(t, actual, expected, {}, label);
        const above = (limit: number): Uint8Array => Uint8Array.from(expected, (value) => Number(value > f32(limit)));
        t.deepEqual(binary, above(0.4), label);
        t.deepEqual(aboveZero, above(0), label);
        nextWord += stride * h;
        nextValue += w * h;
      }
      t.is(words.length, nextWord);
      t.is(soft.values.length, nextValue);
    }
  },
);

forEachVariant(test, 'upsampleMasks', 'has regions no larger than what samples a cell', async (t, device) => {
  const masks = new Float32Array(64);
  masks[3 * 8 + 5] = 1;
  masks[7] = -0;
  const { regions } = await device.run(() =>
    ops.upsampleMasks(Tensor.from(masks, [1, 8, 8, 1]), ints([64, 32, 0, 0], [1, 4])),
  );
  // Cell 3 of 8 at 8 pixels a cell: centres from 2.5 to 4.5 cells; cell 5 at 4 pixels a cell.
  t.deepEqual([...regions.data], [18, 20, 8, 16]);
});

forEachVariant(test, 'upsampleMasks', 'takes images, counts and both layouts; NaN sets no pixel', async (t, device) => {
  const values = croppedMasks(7, 6, [9, 10]);
  values[2 * 90 + 4] = NaN;
  values[4 * 90 + 44] = Infinity;
  const sizes = ints([40, 50, 0, 0, 21, 90, 0, 0], [2, 4]);
  const run = (masks: Tensor, counts?: number[]) =>
    device.run(() => ops.upsampleMasks(masks, sizes, { counts: counts && ints(counts) }));
  const all = await run(Tensor.from(values, [6, 9, 10, 1]));
  t.deepEqual(all.regions.shape, [2, 3, 4]);
  t.deepEqual(await run(Tensor.from(values, [2, 3, 9, 10])), all);
  const alone = await device.run(() =>
    ops.upsampleMasks(Tensor.from(values.subarray(270), [3, 9, 10, 1]), ints([21, 90, 0, 0], [1, 4])),
  );
  t.deepEqual([...alone.regions.data], [...all.regions.data.subarray(12)]);
  t.deepEqual([...alone.bits.data], [...all.bits.data.subarray(4 * all.offsets.data[3]!)]);
  const some = await run(Tensor.from(values, [6, 9, 10, 1]), [0, 2]);
  t.deepEqual([...some.regions.data.subarray(12, 20)], [...all.regions.data.subarray(12, 20)]);
  t.is(some.offsets.data[3], 0);
  t.deepEqual([...some.bits.data], [...alone.bits.data.subarray(0, some.bits.length)]);
  t.is((await run(Tensor.from(values, [6, 9, 10, 1]), [0, -1])).bits.length, 0);
  const none = await device.run(() => ops.upsampleMasks(Tensor.zeros([0, 9, 10, 1]), Tensor.zeros([0, 4], 'i32')));
  t.deepEqual(none.regions.shape, [0, 0, 4]);
});

test('upsampleMasks gives the same bits with any thread count and instruction set', async (t) => {
  const masks = Tensor.from(croppedMasks(3, 8, [138, 138]), [8, 138, 138, 1]);
  const sizes = ints([333, 700, 0, 0], [1, 4]);
  await sameBits(t, 'upsampleMasks', () => ops.upsampleMasks(masks, sizes).bits);
  await sameBits(t, 'upsampleMasks', () => ops.upsampleSoftMasks(masks, sizes).values);
});

test('upsampleMasks agrees with resize', async (t) => {
  const device = await Device.open('cpu', { threads: 2 });
  const values = Float32Array.from({ length: 138 * 138 }, randomSource(1));
  const mask = Tensor.from(values, [1, 138, 138, 1]);
  const { soft, resized } = await device.run(() => ({
    soft: ops.upsampleSoftMasks(mask, ints([300, 400, 0, 0], [1, 4])).values,
    resized: ops.resize(mask, { size: [300, 400] }),
  }));
  assertClose(t, soft.data, resized.data, { atol: 2e-7 });
  await device.dispose();
});

forEachVariant(test, 'upsampleMasks', 'refuses what does not fit', async (t, device) => {
  const [masks, sizes] = [floats([1, 1, 1, 1], [1, 2, 2, 1]), ints([4, 4, 0, 0], [1, 4])];
  const run =
    (...args: Parameters<typeof ops.upsampleMasks>) =>
    () =>
      device.run(() => ops.upsampleMasks(...args));
  await rejects(t, 'ERR_SHAPE', run(floats([1, 1, 1, 1], [1, 2, 2]), sizes));
  await rejects(t, 'ERR_SHAPE', run(floats([1, 1, 1, 1, 1, 1, 1, 1], [2, 1, 2, 2]), sizes));
  await rejects(t, 'ERR_SHAPE', run(masks, ints([4, 4, 0, 0, 4, 4, 0, 0], [2, 4])));
  await rejects(t, 'ERR_SHAPE', run(Tensor.zeros([1, 0, 2, 1]), sizes));
  await rejects(t, 'ERR_SHAPE', run(masks, ints([4, 4], [1, 2])));
  await rejects(t, 'ERR_DTYPE', run(masks, floats([4, 4, 0, 0], [1, 4])));
  await rejects(t, 'ERR_SHAPE', run(masks, sizes, { counts: ints([1, 1]) }));
  await rejects(t, 'ERR_ARGUMENT', run(masks, sizes, { threshold: -0.1 }));
  await rejects(t, 'ERR_ARGUMENT', run(masks, sizes, { threshold: NaN }));
  await rejects(t, 'ERR_OUT_OF_MEMORY', () =>
    device.run(() => ops.upsampleSoftMasks(masks, ints([60000, 60000, 0, 0], [1, 4]))),
  );
});
