import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { f32, floats, ints, rejects, spoil } from '../support/boxes.js';
import { assertClose, forEachVariant, integerTensor, randomTensor, TEST_DEVICE } from '../support/ops.js';
import { assertWithinPolicy, floatTensor, numbersOf, sameBits } from './checks.js';

/** Whether cell i of `size` lies between two relative coordinates: sanitize_coordinates and crop in f32. */
function within(a: number, b: number, size: number, padding: number): (i: number) => boolean {
  const [low, high] = [f32(a * size), f32(b * size)];
  const begin = Math.max(f32(Math.min(low, high) - padding), 0);
  const end = Math.min(f32(Math.max(low, high) + padding), size);
  return (i) => i >= begin && i < end;
}

/** The mask of one detection, in f64. */
function assemble(
  prototypes: ArrayLike<number>,
  [height, width, depth]: readonly [number, number, number],
  coefficients: ArrayLike<number>,
  box: ArrayLike<number>,
  padding: number,
): Float64Array {
  const column = within(box[0]!, box[2]!, width, padding);
  const row = within(box[1]!, box[3]!, height, padding);
  return Float64Array.from({ length: height * width }, (_, cell) => {
    if (!row(Math.floor(cell / width)) || !column(cell % width)) return 0;
    let sum = 0;
    for (let k = 0; k < depth; k += 1) sum += prototypes[cell * depth + k]! * coefficients[k]!;
    return 1 / (1 + Math.exp(-sum));
  });
}

/** Boxes inside and across the borders, some with reversed sides, beyond the image or not finite. */
function randomBoxes(seed: number, images: number, count: number): Tensor<Float32Array> {
  const boxes = randomTensor(seed, [images, count, 4], { scale: 0.8 });
  boxes.data.forEach((value, i) => (boxes.data[i] = value + 0.5));
  boxes.data.set(spoil(seed, boxes.data, 0.02));
  return boxes;
}

forEachVariant(test, 'assembleMasks', 'agrees with the definition', async (t, device) => {
  for (const [images, height, width, depth, count, padding] of [
    [1, 1, 1, 1, 1, 1],
    [1, 9, 31, 32, 20, 1],
    [2, 17, 32, 9, 12, 1],
    [1, 8, 33, 7, 30, 0],
    [1, 13, 70, 8, 15, 2.5],
    [1, 5, 7, 0, 3, 1],
    [1, 5, 7, 4, 0, 1],
    [0, 5, 7, 4, 3, 1],
    [2, 0, 7, 4, 3, 1],
  ] as const) {
    const prototypes = randomTensor(width, [images, height, width, depth], { scale: 2 });
    const coefficients = randomTensor(count, [images, count, depth]);
    const boxes = randomBoxes(width, images, count);
    const result = await device.run(() => ops.assembleMasks(prototypes, coefficients, boxes, { padding }));
    t.deepEqual(result.shape, [images * count, height, width, 1]);
    const [cells, label] = [height * width, `${images} x ${height} x ${width} x ${depth}`];
    for (let mask = 0; mask < images * count; mask += 1) {
      const image = Math.floor(mask / count);
      const expected = assemble(
        prototypes.data.subarray(image * cells * depth, (image + 1) * cells * depth),
        [height, width, depth],
        coefficients.data.subarray(mask * depth, (mask + 1) * depth),
        boxes.data.subarray(mask * 4, mask * 4 + 4),
        padding,
      );
      const actual = result.data.subarray(mask * cells, (mask + 1) * cells);
      assertClose(t, actual, expected, { rtol: 3e-6 }, `${label} mask ${mask}`);
      t.true(
        actual.every((value, cell) => (value === 0) === (expected[cell] === 0)),
        `${label} mask ${mask}: the cells of the box`,
      );
    }
  }
});

if (TEST_DEVICE !== 'cpu') {
  forEachVariant(test, 'assembleMasks', 'keeps the dtype of f16 and bf16 prototypes', async (t, device) => {
    const [height, width, count] = [9, 21, 11];
    for (const dtype of ['f16', 'bf16'] as const) {
      for (const [depth, own] of [
        [32, 'f32'],
        [7, dtype],
      ] as const) {
        const shape = [1, height, width, depth];
        const prototypes = floatTensor(dtype, randomTensor(depth, shape, { scale: 2 }).data, shape);
        const coefficients = floatTensor(own, randomTensor(depth + 1, [count, depth]).data, [1, count, depth]);
        const boxes = randomBoxes(depth, 1, count);
        const result = await device.run(() => ops.assembleMasks(prototypes, coefficients, boxes));
        t.is(result.dtype, dtype);
        const [values, weights] = [numbersOf(prototypes), numbersOf(coefficients)];
        const exact = Array.from({ length: count }, (_, mask) => [
          ...assemble(
            values,
            [height, width, depth],
            weights.subarray(mask * depth, (mask + 1) * depth),
            boxes.data.subarray(mask * 4, mask * 4 + 4),
            1,
          ),
        ]).flat();
        assertWithinPolicy(t, dtype, numbersOf(result), exact, exact.map(f32), { per: 'tensor' });
      }
    }
  });
}

forEachVariant(test, 'assembleMasks', 'crops on the float coordinates', async (t, device) => {
  const inside = async (a: number, b: number, padding: number): Promise<number[]> => {
    const boxes = floats([a, 0, b, 1], [1, 1, 4]);
    const [prototypes, coefficients] = [Tensor.zeros([1, 1, 8, 1]), Tensor.zeros([1, 1, 1])];
    const { data } = await device.run(() => ops.assembleMasks(prototypes, coefficients, boxes, { padding }));
    return [...data.keys()].filter((i) => data[i] === 0.5);
  };
  t.deepEqual(await inside(0.25, 0.5, 0), [2, 3]);
  t.deepEqual(await inside(0.25, 0.5, 1), [1, 2, 3, 4]);
  t.deepEqual(await inside(0.5, 0.25, 1), [1, 2, 3, 4]);
  t.deepEqual(await inside(0.26, 0.51, 0), [3, 4]);
  t.deepEqual(await inside(-5, 0.1, 0), [0]);
  t.deepEqual(await inside(0.9, 7, 0), []);
  t.deepEqual(await inside(0.8, 7, 0), [7]);
  t.deepEqual(await inside(1.5, 2, 1), []);
  t.deepEqual(await inside(-2, -1.5, 1), []);
  t.deepEqual(await inside(NaN, 0.5, 1), []);
  t.deepEqual(await inside(-Infinity, Infinity, 1), [0, 1, 2, 3, 4, 5, 6, 7]);
});

forEachVariant(test, 'assembleMasks', 'spreads NaN no further, computes what counts say', async (t, device) => {
  const prototypes = integerTensor(1, [2, 6, 40, 3], -2, 2);
  prototypes.data[3 * (40 * 2 + 5)] = NaN;
  const coefficients = integerTensor(2, [2, 4, 3], -2, 2);
  const boxes = Tensor.from(
    new Float32Array(32).map((_, i) => Number(i % 4 > 1)),
    [2, 4, 4],
  );
  const all = await device.run(() => ops.assembleMasks(prototypes, coefficients, boxes));
  for (const [i, value] of all.data.entries()) t.is(Number.isNaN(value), i % 240 === 85 && i < 960);
  for (const counts of [
    [4, 1],
    [0, 9],
    [-3, 2],
  ]) {
    const some = await device.run(() =>
      ops.assembleMasks(prototypes, coefficients, boxes, { counts: ints(counts, [2]) }),
    );
    for (const [image, count] of counts.entries()) {
      const [begin, end] = [image * 960, image * 960 + Math.min(Math.max(count, 0), 4) * 240];
      assertClose(t, some.data.subarray(begin, end), all.data.subarray(begin, end));
      t.true(some.data.subarray(end, image * 960 + 960).every((value) => value === 0));
    }
  }
});

test('assembleMasks gives the same bits with any thread count and instruction set', async (t) => {
  const prototypes = randomTensor(1, [2, 30, 70, 32]);
  const [coefficients, boxes] = [randomTensor(2, [2, 20, 32]), randomBoxes(3, 2, 20)];
  await sameBits(t, 'assembleMasks', () => ops.assembleMasks(prototypes, coefficients, boxes));
});

forEachVariant(test, 'assembleMasks', 'gives an image the same bits alone and in a batch', async (t, device) => {
  const prototypes = randomTensor(1, [2, 12, 70, 32]);
  const [coefficients, boxes] = [randomTensor(2, [2, 20, 32]), randomBoxes(3, 2, 20)];
  const half = ({ data, shape }: Tensor<Float32Array>): Tensor =>
    Tensor.from(data.subarray(data.length / 2), [1, ...shape.slice(1)]);
  const both = await device.run(() => ops.assembleMasks(prototypes, coefficients, boxes));
  const alone = await device.run(() => ops.assembleMasks(half(prototypes), half(coefficients), half(boxes)));
  t.deepEqual(alone.data, both.data.slice(both.length / 2));
});

forEachVariant(test, 'assembleMasks', 'refuses what does not fit', async (t, device) => {
  const zeros = (...shape: number[]) => Tensor.zeros(shape);
  const run =
    (...args: Parameters<typeof ops.assembleMasks>) =>
    () =>
      device.run(() => ops.assembleMasks(...args));
  await rejects(t, 'ERR_SHAPE', run(zeros(1, 2, 2), zeros(1, 3, 4), zeros(1, 3, 4)));
  await rejects(t, 'ERR_SHAPE', run(zeros(1, 2, 2, 5), zeros(1, 3, 4), zeros(1, 3, 4)));
  await rejects(t, 'ERR_SHAPE', run(zeros(1, 2, 2, 4), zeros(1, 2, 4), zeros(1, 3, 4)));
  await rejects(t, 'ERR_SHAPE', run(zeros(2, 2, 2, 4), zeros(1, 3, 4), zeros(1, 3, 4)));
  await rejects(t, 'ERR_DTYPE', run(zeros(1, 2, 2, 4), Tensor.zeros([1, 3, 4], 'i32'), zeros(1, 3, 4)));
  await rejects(t, 'ERR_SHAPE', run(zeros(1, 2, 2, 4), zeros(1, 3, 4), zeros(1, 3, 4), { counts: ints([1, 1]) }));
  await rejects(t, 'ERR_ARGUMENT', run(zeros(1, 2, 2, 4), zeros(1, 3, 4), zeros(1, 3, 4), { padding: -1 }));
});
