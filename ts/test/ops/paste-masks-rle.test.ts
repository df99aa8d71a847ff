import test from 'ava';
import { ops } from '../../src/index.js';
import { floats, ints, rejects } from '../support/boxes.js';
import { expectedSoft, pasteCases, RULES, threshold } from '../support/paste.js';
import { forEachVariant } from '../support/ops.js';

/** Run lengths in column-major order, zeros first. */
function encode(mask: Uint8Array, [height, width]: readonly [number, number]): number[] {
  const runs = [0];
  let last = 0;
  for (let x = 0; x < width; x += 1) {
    for (let y = 0; y < height; y += 1) {
      const bit = mask[y * width + x]!;
      if (bit !== last) runs.push(0);
      runs[runs.length - 1]! += 1;
      last = bit;
    }
  }
  return runs;
}

forEachVariant(test, 'pasteMasksRle', 'encodes what pasteMasks pastes', async (t, device) => {
  for (const rule of RULES) {
    for (const [index, paste] of pasteCases().entries()) {
      // A threshold below 0 fills the region: runs that go from column to column.
      for (const limit of [0.4, -2]) {
        const { masks, boxes, sizes, image } = paste;
        const result = await device.run(() => ops.pasteMasksRle(masks, boxes, sizes, { rule, threshold: limit }));
        const runs = new Uint32Array(result.runs.data.slice().buffer);
        let next = 0;
        for (let i = 0; i < paste.count; i += 1) {
          const [x, y, width, height] = result.regions.data.subarray(i * 4, i * 4 + 4) as unknown as number[];
          const expected = threshold(rule, expectedSoft(rule, paste, i), limit).map((bit, at) => {
            const [row, column] = [Math.floor(at / image[1]), at % image[1]];
            return column >= x! && column < x! + width! && row >= y! && row < y! + height! ? bit : 0;
          });
          t.is(result.offsets.data[i], next);
          const count = result.runCounts.data[i]!;
          t.deepEqual([...runs.subarray(next, next + count)], encode(expected, image), `${rule} ${index} mask ${i}`);
          next += count;
        }
        t.is(runs.length, next);
      }
    }
  }
});

forEachVariant(test, 'pasteMasksRle', 'takes counts and refuses images that are too large', async (t, device) => {
  const masks = floats([1, 1, 1, 1, 0, 0, 0, 0], [1, 2, 2, 2]);
  const boxes = floats([0, 0, 4, 4, 0, 0, 4, 4], [1, 2, 4]);
  const run = (size: number, count: number) =>
    device.run(() => ops.pasteMasksRle(masks, boxes, ints([size, size, 1, 1], [1, 4]), { counts: ints([count]) }));
  const one = await run(100, 1);
  t.deepEqual(one.regions.shape, [1, 1, 4]);
  t.is(one.runs.length, one.runCounts.data[0]!);
  t.is(
    [...one.runs.data].reduce((sum, length) => sum + length),
    10000,
  );
  const both = await run(100, 2);
  t.is(both.runs.data.at(-1), 10000);
  t.is((await run(100, 0)).runs.length, 0);
  await rejects(t, 'ERR_ARGUMENT', () => run(70000, 1));
});
