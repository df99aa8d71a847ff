import test from 'ava';
import { ops } from '../../src/index.js';
import { rejects } from '../support/boxes.js';
import { forEachVariant } from '../support/ops.js';

const base = [-4, -2, 4, 2, -1.5, -3, 1.5, 3, -8, -8, 8, 8];

forEachVariant(test, 'anchors', 'repeats the base anchors in the order y, x, anchor', async (t, device) => {
  for (const [height, width, offset] of [
    [1, 1, 0],
    [3, 5, 0],
    [70, 41, 8],
    [0, 4, 0],
  ] as const) {
    const result = await device.run(() => ops.anchors({ grid: [height, width], stride: [16, 8], base, offset }));
    t.deepEqual(result.shape, [height * width * 3, 4]);
    const expected: number[] = [];
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        base.forEach((side, i) => expected.push(side + offset + (i % 2 ? y * 16 : x * 8)));
      }
    }
    t.deepEqual([...result.data], expected);
  }
});

forEachVariant(test, 'anchors', 'refuses bad attributes', async (t, device) => {
  const run = (options: Partial<Parameters<typeof ops.anchors>[0]>) => () =>
    device.run(() => ops.anchors({ grid: [2, 2], stride: [4, 4], base, ...options }));
  await rejects(t, 'ERR_ARGUMENT', run({ base: [1, 2, 3] }));
  await rejects(t, 'ERR_ARGUMENT', run({ base: [] }));
  await rejects(t, 'ERR_ARGUMENT', run({ base: [1, 2, 3, NaN] }));
  await rejects(t, 'ERR_ARGUMENT', run({ stride: [0, 4] }));
  await rejects(t, 'ERR_ARGUMENT', run({ grid: [2, -1] }));
});
