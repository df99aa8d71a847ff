import test from 'ava';
import { ops } from '../../src/index.js';
import { f32, rejects } from '../support/boxes.js';
import { forEachVariant } from '../support/ops.js';

const ratios = [1, 0.5, 2];

forEachVariant(test, 'priors', 'gives centre and sides in the order y, x, scale, ratio', async (t, device) => {
  for (const [height, width, scales, square] of [
    [1, 1, [24], false],
    [3, 5, [24, 30.238105197476955, 38.097625247236785], false],
    [69, 41, [96], true],
    [0, 4, [96], true],
  ] as const) {
    const result = await device.run(() => ops.priors({ grid: [height, width], maxSize: 550, scales, ratios, square }));
    t.deepEqual(result.shape, [height * width * scales.length * 3, 4]);
    const expected: number[] = [];
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        for (const scale of scales) {
          for (const ratio of ratios) {
            const [w, h] = [(scale * Math.sqrt(ratio)) / 550, scale / Math.sqrt(ratio) / 550];
            expected.push(f32((x + 0.5) / width), f32((y + 0.5) / height), f32(w), f32(square ? w : h));
          }
        }
      }
    }
    t.deepEqual([...result.data], expected);
  }
});

forEachVariant(test, 'priors', 'refuses bad attributes', async (t, device) => {
  const run = (options: Partial<Parameters<typeof ops.priors>[0]>) => () =>
    device.run(() => ops.priors({ grid: [2, 2], maxSize: 550, scales: [24], ratios, ...options }));
  await rejects(t, 'ERR_ARGUMENT', run({ grid: [2, -1] }));
  await rejects(t, 'ERR_ARGUMENT', run({ maxSize: 0 }));
  await rejects(t, 'ERR_ARGUMENT', run({ maxSize: Infinity }));
  await rejects(t, 'ERR_ARGUMENT', run({ scales: [] }));
  await rejects(t, 'ERR_ARGUMENT', run({ scales: [-24] }));
  await rejects(t, 'ERR_ARGUMENT', run({ ratios: [] }));
  await rejects(t, 'ERR_ARGUMENT', run({ ratios: [1, 0] }));
  await rejects(t, 'ERR_ARGUMENT', run({ ratios: [NaN] }));
});
