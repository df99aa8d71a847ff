import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { f32, floats, ints, randomIntegers, rejects, spoil } from '../support/boxes.js';
import { assertClose, forEachVariant, randomSource, randomTensor } from '../support/ops.js';
import { sameBits } from './checks.js';

/** In f32, operation by operation. Math.exp is rounded once, as the op's exp is. */
function decode(loc: ArrayLike<number>, prior: ArrayLike<number>, variances: readonly [number, number]): number[] {
  const [centreVariance, sizeVariance] = variances.map(f32) as [number, number];
  const [x, y] = [0, 1].map((axis) => {
    const side = f32(prior[2 + axis]! * f32(Math.exp(f32(loc[2 + axis]! * sizeVariance))));
    const centre = f32(prior[axis]! + f32(f32(loc[axis]! * centreVariance) * prior[2 + axis]!));
    const low = f32(centre - f32(side / 2));
    return [low, f32(side + low)] as const;
  }) as [readonly [number, number], readonly [number, number]];
  return [x[0], y[0], x[1], y[1]];
}

function randomPriors(seed: number, count: number): Tensor<Float32Array> {
  const next = randomSource(seed);
  return Tensor.from(
    Float32Array.from({ length: count * 4 }, (_, i) => (i % 4 < 2 ? next() : 0.02 + next())),
    [count, 4],
  );
}

forEachVariant(test, 'decodePriors', 'equals f32 arithmetic operation by operation', async (t, device) => {
  for (const [images, count] of [
    [1, 1],
    [2, 63],
    [1, 64],
    [3, 65],
    [1, 5000],
    [2, 0],
    [0, 3],
  ] as const) {
    const priors = randomPriors(count, count);
    const loc = randomTensor(count + 1, [images, count, 4], { scale: 9 });
    loc.data.set(spoil(count, loc.data, 0.01));
    for (const variances of [undefined, [0.3, 1] as const]) {
      const { data, shape } = await device.run(() => ops.decodePriors(loc, priors, { variances }));
      t.deepEqual(shape, [images, count, 4]);
      const expected = Array.from({ length: images * count }, (_, i) =>
        decode(loc.data.subarray(i * 4, i * 4 + 4), priors.data.subarray((i % count) * 4), variances ?? [0.1, 0.2]),
      );
      assertClose(t, data, Float32Array.from(expected.flat()));
    }
  }
});

forEachVariant(
  test,
  'decodePriors',
  'decodes the priors that indices name, as many as counts say',
  async (t, device) => {
    const [images, count, kept] = [2, 40, 9];
    const priors = randomPriors(1, count);
    const loc = randomTensor(2, [images, count, 4]);
    const indices = Tensor.from(randomIntegers(3, images * kept, 0, count - 1), [images, kept]);
    const all = await device.run(() => ops.decodePriors(loc, priors));
    for (const counts of [undefined, [9, 3], [0, 99]]) {
      const result = await device.run(() =>
        ops.decodePriors(loc, priors, { indices, counts: counts && ints(counts, [2]) }),
      );
      t.deepEqual(result.shape, [images, kept, 4]);
      for (let row = 0; row < images * kept; row += 1) {
        const image = Math.floor(row / kept);
        if (counts && row % kept >= counts[image]!) continue;
        const at = (image * count + indices.data[row]!) * 4;
        t.deepEqual(result.data.subarray(row * 4, row * 4 + 4), all.data.subarray(at, at + 4));
      }
    }
    const bad = ints([0, 40], [1, 2]);
    const one = Tensor.from(loc.data.subarray(0, count * 4), [1, count, 4]);
    await rejects(t, 'ERR_ARGUMENT', () => device.run(() => ops.decodePriors(one, priors, { indices: bad })));
    // The bad one is past the count.
    await device.run(() => ops.decodePriors(one, priors, { indices: bad, counts: ints([1]) }));
  },
);

test('decodePriors gives the same bits with any thread count and instruction set', async (t) => {
  const [loc, priors] = [randomTensor(1, [2, 9000, 4], { scale: 5 }), randomPriors(2, 9000)];
  await sameBits(t, 'decodePriors', () => ops.decodePriors(loc, priors));
});

forEachVariant(test, 'decodePriors', 'refuses what does not fit', async (t, device) => {
  const [loc, priors] = [randomTensor(1, [1, 4, 4]), randomPriors(1, 4)];
  const run =
    (...args: Parameters<typeof ops.decodePriors>) =>
    () =>
      device.run(() => ops.decodePriors(...args));
  await rejects(t, 'ERR_SHAPE', run(loc, randomPriors(1, 5)));
  await rejects(t, 'ERR_SHAPE', run(priors, priors));
  await rejects(t, 'ERR_SHAPE', run(loc, priors, { indices: ints([0, 1], [2, 1]) }));
  await rejects(t, 'ERR_DTYPE', run(loc, priors, { indices: floats([0], [1, 1]) }));
  await rejects(t, 'ERR_SHAPE', run(loc, priors, { counts: ints([1, 1]) }));
  await rejects(t, 'ERR_ARGUMENT', run(loc, priors, { variances: [0.1] as unknown as [number, number] }));
});
