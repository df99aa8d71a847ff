import test from 'ava';
import sharp from 'sharp';
import { Mask } from '../../src/masks/mask.js';
import { frame, packNaively } from './support.js';

const picture = frame('......|.##...|..#...|......');
const region = { x: 0, y: 0, width: 5, height: 3 };
const mask = new Mask(packNaively(picture, region));

test('a mask tells its size, region, area and pixels', (t) => {
  t.deepEqual([mask.width, mask.height, mask.area], [6, 4, 3]);
  t.deepEqual(mask.region, region);
  t.true(mask.at(1, 1));
  t.false(mask.at(1, 2));
  t.false(mask.at(5, 3));
  t.false(mask.at(-1, 0));
  t.deepEqual(mask.toBitmap(), { ...picture, x: 0, y: 0 });
  t.deepEqual(mask.toBitmap({ crop: true }), { ...frame('.....|.##..|..#..'), x: 0, y: 0 });
  t.is(JSON.stringify({ mask }), JSON.stringify({ mask: mask.toRLE() }));
});

test('an empty mask works throughout', async (t) => {
  const empty = Mask.fromBitmap({ data: new Uint8Array(6), width: 3, height: 2 });
  t.is(empty.area, 0);
  t.deepEqual(empty.toRLE(), { size: [2, 3], counts: '6' });
  t.deepEqual(empty.toPolygons(), []);
  t.is(empty.toBitmap({ crop: true }).data.length, 0);
  t.deepEqual(Mask.fromRLE(empty.toRLE()).region, { x: 0, y: 0, width: 0, height: 0 });
  const { data } = await sharp(await empty.toPNG())
    .raw()
    .toBuffer({ resolveWithObject: true });
  t.true(data.every((value) => value === 0));
  const image = { data: new Uint8Array(18), width: 3, height: 2, channels: 3 } as const;
  await t.throwsAsync(empty.cutout(image), { code: 'ERR_ARGUMENT', message: /empty/ });
});

test('the constructor refuses bits that do not fit', (t) => {
  t.throws(() => new Mask({ ...mask.bits, words: new Uint32Array(1) }), { code: 'ERR_ARGUMENT' });
});

test('toPNG writes grey 0 and 255 of the whole image', async (t) => {
  const png = await mask.toPNG();
  const { channels, depth, width, height, format, space } = await sharp(png).metadata();
  t.deepEqual(
    { channels, depth, width, height, format, space },
    {
      channels: 1,
      depth: 'uchar',
      width: 6,
      height: 4,
      format: 'png',
      space: 'b-w',
    },
  );
  const pixels = await sharp(png).toColourspace('b-w').raw().toBuffer();
  t.deepEqual(
    [...pixels],
    [...picture.data].map((value) => value * 255),
  );
});

test('cutout keeps the colours inside and nothing outside', async (t) => {
  const rgb = Uint8Array.from({ length: 6 * 4 * 3 }, (_, i) => i + 1);
  const image = { data: rgb, width: 6, height: 4, channels: 3 } as const;
  const expected = [...picture.data].flatMap((inside, i) =>
    inside ? [rgb[i * 3]!, rgb[i * 3 + 1]!, rgb[i * 3 + 2]!, 255] : [0, 0, 0, 0],
  );
  const whole = await sharp(await mask.cutout(image, { crop: false }))
    .raw()
    .toBuffer({ resolveWithObject: true });
  t.deepEqual([whole.info.width, whole.info.height, whole.info.channels], [6, 4, 4]);
  t.deepEqual([...whole.data], expected);

  const cropped = await sharp(await mask.cutout(await sharp(rgb, { raw: image }).png().toBuffer()))
    .raw()
    .toBuffer({ resolveWithObject: true });
  t.deepEqual([cropped.info.width, cropped.info.height], [2, 2]);
  const row = (y: number): number[] => expected.slice((y * 6 + 1) * 4, (y * 6 + 3) * 4);
  t.deepEqual([...cropped.data], [...row(1), ...row(2)]);
});

test('cutout refuses another image', async (t) => {
  const image = { data: new Uint8Array(75), width: 5, height: 5, channels: 3 } as const;
  await t.throwsAsync(mask.cutout(image), { code: 'ERR_ARGUMENT', message: /6x4.*5x5/ });
});
