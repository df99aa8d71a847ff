import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { floats, ints, rejects } from '../support/boxes.js';
import { expectedSoft, pasteCases, RULES, threshold } from '../support/paste.js';
import { assertClose, forEachVariant } from '../support/ops.js';

forEachVariant(test, 'pasteMasks', 'equals f32 arithmetic operation by operation', async (t, device) => {
  for (const rule of RULES) {
    for (const [index, paste] of pasteCases().entries()) {
      const { masks, boxes, sizes, image } = paste;
      const soft = await device.run(() => ops.pasteSoftMasks(masks, boxes, sizes, { rule }));
      const bits = await device.run(() => ops.pasteMasks(masks, boxes, sizes, { rule, threshold: 0.4 }));
      t.deepEqual(bits.regions, soft.regions);
      const words = new Uint32Array(bits.bits.data.slice().buffer);
      let [nextWord, nextValue] = [0, 0];
      for (let i = 0; i < paste.count; i += 1) {
        const label = `${rule} ${index} mask ${i}`;
        const [x, y, width, height] = bits.regions.data.subarray(i * 4, i * 4 + 4) as unknown as number[];
        t.true(x! >= 0 && y! >= 0 && x! + width! <= image[1] && y! + height! <= image[0], label);
        t.is(bits.offsets.data[i], nextWord, label);
        t.is(soft.offsets.data[i], nextValue, label);
        const stride = Math.ceil(width! / 32);
        const pasted = new Float32Array(image[0] * image[1]);
        const binary = new Uint8Array(pasted.length);
        for (let row = 0; row < height!; row += 1) {
          for (let column = 0; column < stride * 32; column += 1) {
            const bit = (words[nextWord + row * stride + (column >> 5)]! >>> (column & 31)) & 1;
            if (column >= width!) {
              if (bit) t.fail(`${label}: a bit past the width`);
              continue;
            }
            const at = (y! + row) * image[1] + x! + column;
            binary[at] = bit;
            pasted[at] = soft.values.data[nextValue + row * width! + column]!;
          }
        }
        const expected = expectedSoft(rule, paste, i);
        assertClose(t, pasted, expected, {}, label);
        t.deepEqual(binary, threshold(rule, expected, 0.4), label);
        nextWord += stride * height!;
        nextValue += width! * height!;
      }
      t.is(words.length, nextWord);
      t.is(soft.values.length, nextValue);
    }
  }
});

forEachVariant(test, 'pasteMasks', 'takes images, counts and flat masks', async (t, device) => {
  const masks = floats(Array<number>(4 * 4).fill(1), [4, 2, 2]);
  const boxes = floats([1, 1, 4, 4, 0, 0, 2, 2, 2, 2, 6, 6, NaN, 0, 2, 2], [2, 2, 4]);
  const sizes = ints([8, 8, 0, 0, 5, 4, 0, 0], [2, 4]);
  const run = (counts: number[]) =>
    device.run(() => ops.pasteMasks(masks, boxes, sizes, { counts: ints(counts), rule: 'detectron2' }));
  const all = await run([2, 2]);
  t.deepEqual([...all.regions.data.slice(12)], [0, 0, 0, 0]);
  t.true(all.regions.data[8 + 0]! + all.regions.data[8 + 2]! <= 4);
  const some = await run([0, 1]);
  t.deepEqual([...some.regions.data.slice(8, 12)], [...all.regions.data.slice(8, 12)]);
  t.is(some.offsets.data[2], 0);
  t.is(some.bits.length, 4 * some.regions.data[11]!);
  const none = await run([0, 0]);
  t.is(none.bits.length, 0);
});

forEachVariant(test, 'pasteMasks', 'refuses what does not fit', async (t, device) => {
  const masks = floats([1, 1, 1, 1], [1, 1, 2, 2]);
  const boxes = floats([0, 0, 2, 2], [1, 1, 4]);
  const sizes = ints([4, 4, 4, 4], [1, 4]);
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.pasteMasks(Tensor.from(masks.data, [2, 2]), boxes, sizes)));
  await rejects(t, 'ERR_SHAPE', () =>
    device.run(() => ops.pasteMasks(Tensor.from(masks.data, [2, 1, 2]), boxes, sizes)),
  );
  await rejects(t, 'ERR_SHAPE', () => device.run(() => ops.pasteMasks(masks, boxes, ints([4, 4], [1, 2]))));
  await rejects(t, 'ERR_DTYPE', () => device.run(() => ops.pasteMasks(masks, boxes, floats([4, 4, 4, 4], [1, 4]))));
  await rejects(t, 'ERR_ARGUMENT', () =>
    device.run(() => ops.pasteMasks(masks, boxes, sizes, { rule: 'other' as 'torchvision' })),
  );
  // 40000 x 40000 soft values are more than 8 GB.
  await rejects(t, 'ERR_OUT_OF_MEMORY', () =>
    device.run(() =>
      ops.pasteSoftMasks(masks, floats([0, 0, 60000, 60000], [1, 1, 4]), ints([60000, 60000, 1, 1], [1, 4])),
    ),
  );
});
